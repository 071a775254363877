"""A chain of its own for every test, and stock Ably clients pointed at it."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import pytest_asyncio
from ably import AblyRealtime, AblyRest

from falco import Falco

BINARY = os.environ.get("FALCO_UNDER_TEST", "falco")
DEVICE = "0f8fad5b-d9cb-469f-a165-70867728950e"
USER = "user-1"
SOCKETS = ["falco.sock", "ably.sock", "ably-auth.sock", "falco-control.sock"]
PATIENCE = 30  # seconds any one thing may take; nothing sleeps this long


class Chain:
    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="falco-interop-"))
        self.closers = []

    def falco(self, *args: str) -> str:
        environment = {**os.environ, "UNBOUND_BASE_DIR": str(self.base), "ABLY_API_KEY": ""}
        done = subprocess.run([BINARY, *args], env=environment, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def port(self) -> int:
        return int((self.base / "emulator/port").read_text())

    @property
    def key(self) -> str:
        return (self.base / "emulator/key").read_text().strip()

    def jwt(self, **claims) -> str:
        name, secret = self.key.split(":", 1)
        now = int(time.time())

        def part(value) -> str:
            return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

        text = part({"typ": "JWT", "alg": "HS256", "kid": name}) + "." + part({"iat": now, "exp": now + 3600, **claims})
        mac = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
        return text + "." + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()

    async def daemon(self) -> Falco:
        daemon = await Falco.connect(str(self.base / "falco.sock"))
        self.closers.append(daemon.close)
        return daemon

    def realtime(self, binary: bool, **options) -> AblyRealtime:
        """A realtime client; the SDK puts no port into its websocket URL, so the host carries it."""
        if not {"key", "token", "auth_callback"} & options.keys():
            options["key"] = self.key
        client = AblyRealtime(
            endpoint=f"127.0.0.1:{self.port}",
            tls=False,
            use_binary_protocol=binary,
            disconnected_retry_timeout=250,
            **options,
        )
        self.closers.append(client.close)
        return client

    async def connected(self, binary: bool, **options) -> AblyRealtime:
        client = self.realtime(binary, **options)
        await asyncio.wait_for(client.connection.once_async("connected"), PATIENCE)
        return client

    def rest(self, binary: bool, **options) -> AblyRest:
        """A REST client; it refuses a key without TLS, so it trades it for a token."""
        if not {"token", "auth_callback"} & options.keys():
            options |= {"key": self.key, "use_token_auth": True}
        client = AblyRest(endpoint="127.0.0.1", port=self.port, tls=False, use_binary_protocol=binary, **options)
        self.closers.append(client.close)
        return client

    async def stop(self) -> None:
        for close in reversed(self.closers):
            await close()
        status = json.loads(self.falco("status", "--json"))
        self.falco("stop")
        assert [name for name in SOCKETS if (self.base / name).exists()] == []
        pids = [status["pid"], *(part["pid"] for part in status["parts"])]
        assert [pid for pid in pids if pid and running(pid)] == []
        shutil.rmtree(self.base)


def running(pid: int) -> bool:
    stat = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(stat) and not stat.startswith("Z")


class Inbox:
    """What has come so far, and a way to wait for more."""

    def __init__(self) -> None:
        self.items = []
        self._came = asyncio.Event()

    def put(self, item) -> None:
        self.items.append(item)
        self._came.set()

    async def first(self, count: int) -> list:
        async with asyncio.timeout(PATIENCE):
            while len(self.items) < count:
                self._came.clear()
                await self._came.wait()
        return self.items[:count]


async def inbox_of(channel, *args) -> Inbox:
    inbox = Inbox()
    await asyncio.wait_for(channel.subscribe(*args, inbox.put), PATIENCE)
    return inbox


async def eventually(probe, what: str):
    give_up = time.monotonic() + PATIENCE
    while not (found := await probe()):
        assert time.monotonic() < give_up, f"{what} did not happen"
        await asyncio.sleep(0.01)
    return found


@pytest.fixture(params=[False, True], ids=["json", "msgpack"])
def binary(request) -> bool:
    return request.param


@pytest_asyncio.fixture
async def chain():
    chain = Chain()
    chain.falco("up", "--device-id", DEVICE, "--user-id", USER)
    yield chain
    await chain.stop()
