"""Through the whole chain, from falco.sock to a stock client and back."""

import asyncio
import base64
import json
import os
import signal

import pytest
from ably.types.channeloptions import ChannelOptions

from conftest import DEVICE, PATIENCE, USER, inbox_of


def payload(session: str, i: int) -> str:
    """A payload whose every byte matters: odd whitespace, escapes, numbers."""
    return f'{{ "session" :"{session}",\t"n": {i}.0e0 , "text":"\\u00e9\\/\u00e9 {"x" * (i % 50)}"  ,"a":[ ]\n}}'


def effect(session: str, i: int) -> bytes:
    envelope = f'{{"session_id":"{session}","channel":"session:{session}:conversation","event":"n","payload":{payload(session, i)}}}'
    return envelope.encode()


def as_bytes(data) -> bytes:
    return data.encode() if isinstance(data, str) else bytes(data)


async def test_what_goes_into_falco_sock_comes_out_byte_for_byte_and_in_order(chain, binary):
    subscriber = await chain.connected(binary)
    sessions = [f"s{i}" for i in range(4)]
    inboxes = [await inbox_of(subscriber.channels.get(f"session:{s}:conversation")) for s in sessions]
    daemon = await chain.daemon()
    acks = [daemon.send(effect(session, i)) for i in range(300) for session in sessions]
    assert set(await asyncio.wait_for(asyncio.gather(*acks), PATIENCE)) == {(True, "")}
    for session, inbox in zip(sessions, inboxes):
        got = [as_bytes(m.data).decode() for m in await inbox.first(300)]
        assert got == [payload(session, i) for i in range(300)]
        assert len(inbox.items) == 300


async def test_what_an_sdk_publishes_arrives_on_ably_sock_with_its_true_bytes(chain, binary):
    reader, writer = await asyncio.open_unix_connection(str(chain.base / "ably.sock"))
    channel = f"remote:{DEVICE}:commands"
    request = {"op": "subscribe.v1", "request_id": "r", "subscription_id": "s", "channel": channel}
    writer.write(json.dumps(request).encode() + b"\n")

    async def line() -> dict:
        return json.loads(await asyncio.wait_for(reader.readline(), PATIENCE))

    assert await line() == {"op": "subscribe.ack.v1", "request_id": "r", "ok": True}
    client = await chain.connected(binary)
    sent = ["h\u00e9llo \u0000", {"a": [1, None]}, bytes(range(256))]
    for data in sent:
        await client.channels.get(channel).publish("e", data)
    got = [base64.b64decode((await line())["payload_b64"]) for _ in sent]
    assert got[0] == sent[0].encode()
    assert json.loads(got[1]) == sent[1]
    assert got[2] == sent[2]
    writer.close()


async def test_emit_reaches_an_sdk(chain, binary):
    subscriber = await chain.connected(binary)
    inbox = await inbox_of(subscriber.channels.get("session:demo:conversation"))
    chain.falco("emit", "--channel", "session:demo:conversation", "--event", "hello", "--payload", '{"n":1}')
    message = (await inbox.first(1))[0]
    assert (message.name, as_bytes(message.data)) == ("hello", b'{"n":1}')


async def test_the_device_is_seen_online(chain, binary):
    subscriber = await chain.connected(binary)
    options = ChannelOptions(params={"rewind": "1"})
    inbox = await inbox_of(subscriber.channels.get(f"presence:{USER}", options))
    heartbeat = json.loads(as_bytes((await inbox.first(1))[0].data))
    assert (heartbeat["status"], heartbeat["device_id"]) == ("online", DEVICE)


@pytest.mark.parametrize("graceful", [False, True], ids=["killed", "restarted"])
async def test_a_subscriber_finds_its_way_back_after_a_restart(chain, binary, graceful):
    subscriber = await chain.connected(binary)
    channel = subscriber.channels.get("session:s:conversation")
    inbox = await inbox_of(channel)
    status = json.loads(chain.falco("status", "--json"))
    emulator = next(part["pid"] for part in status["parts"] if part["name"] == "emulator")
    lost = asyncio.ensure_future(subscriber.connection.once_async("connecting"))
    if graceful:
        await asyncio.to_thread(chain.falco, "restart", "emulator")
    else:
        os.kill(emulator, signal.SIGKILL)
    await asyncio.wait_for(lost, PATIENCE)
    if subscriber.connection.state != "connected":
        await asyncio.wait_for(subscriber.connection.once_async("connected"), PATIENCE)
    daemon = await chain.daemon()
    sent = 0
    # What is published before the channel is attached again is not for it.
    while not inbox.items:
        ok, error = await asyncio.wait_for(daemon.send(effect("s", sent)), PATIENCE)
        sent += ok
    await asyncio.wait_for(daemon.send(effect("s", sent)), PATIENCE)
    await inbox.first(2)
    numbers = [json.loads(as_bytes(m.data))["n"] for m in inbox.items]
    assert numbers == sorted(numbers)
