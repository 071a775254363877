"""Drives PyPI `ably` through the scenario of README.md: python sdk.py PORT."""

import asyncio
import sys

from ably import AblyRealtime, AblyRest
from ably.types.message import Message

PORT = int(sys.argv[1])
BYTES = bytearray(range(256))


async def token(_params):
    return "recorded.token"


async def record(binary: bool) -> None:
    # The SDK puts no port into its websocket URL, so the host carries it; its
    # REST client refuses an API key without TLS, so it gets a token.
    client = AblyRealtime(
        key="app.key:secret",
        endpoint=f"127.0.0.1:{PORT}",
        tls=False,
        use_binary_protocol=binary,
        client_id="recorder",
    )
    await client.connection.once_async("connected")
    channel = client.channels.get("vectors:one")
    await channel.attach()
    await channel.publish("string", 'h\u00e9llo \u2713 "quoted" \\ \u0000 \U0001f600')
    await channel.publish("object", {"a": 1, "nested": {"b": [True, None, "x"]}})
    await channel.publish("array", [1, "two", {"three": 3}])
    await channel.publish("binary", BYTES)
    await channel.publish("empty", None)
    await channel.publish(Message(data="no name"))
    identified = Message("identified", "x", id="effect-1", extras={"headers": {"idempotency-key": "k-1"}})
    await channel.publish(identified)
    await channel.publish(
        [
            Message("batch", "zero", id="base:0"),
            Message("batch", {"one": 1}, id="base:1"),
            Message("batch", bytearray([0, 255]), id="base:2"),
        ]
    )
    await channel.presence.enter("here")
    await channel.presence.update({"state": "busy"})
    await channel.presence.leave(BYTES[:4])
    await client.connection.ping()
    await channel.detach()
    await client.close()

    client = AblyRealtime(auth_callback=token, endpoint=f"127.0.0.1:{PORT}", tls=False, use_binary_protocol=binary)
    await client.connection.once_async("connected")
    await client.auth.authorize()
    await client.close()

    options = {"endpoint": "127.0.0.1", "port": PORT, "tls": False, "use_binary_protocol": binary}
    async with AblyRest("app.key:secret", use_token_auth=True, **options) as rest:
        await rest.time()
        await rest.auth.request_token({"client_id": "someone", "ttl": 60000})
        channel = rest.channels.get("vectors:one")
        await channel.publish("string", "over rest")
        await channel.publish("object", {"a": 1})
        await channel.publish("binary", BYTES)
        await channel.publish(messages=[Message("batch", "zero"), Message("batch", "one")])
        await channel.history(limit=10, direction="forwards")
        await channel.presence.get()


async def main() -> None:
    await record(binary=False)
    await record(binary=True)


asyncio.run(main())
