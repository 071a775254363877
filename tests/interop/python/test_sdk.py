"""Messages, history, presence and credentials between stock clients."""

import asyncio
import json
import time

import pytest
from ably.types.channeloptions import ChannelOptions
from ably.types.message import Message
from ably.util.exceptions import AblyException

from conftest import PATIENCE, Inbox, eventually, inbox_of

TEXT = 'h\u00e9llo \u2713 "quoted" \\ \u0000 \U0001f600'
BYTES = bytes(range(256))


async def test_every_kind_of_payload_arrives_as_it_was_sent(chain, binary):
    sender, receiver = await chain.connected(binary), await chain.connected(not binary)
    inbox = await inbox_of(receiver.channels.get("payloads"))
    channel = sender.channels.get("payloads")
    payloads = [TEXT, {"a": 1.5, "nested": {"b": [True, None, "x"]}}, [1, "two"], bytearray(BYTES), BYTES, None]
    for i, payload in enumerate(payloads):
        await channel.publish(f"n{i}", payload)
    for i, message in enumerate(await inbox.first(len(payloads))):
        assert message.name == f"n{i}"
        assert message.data == payloads[i]
        assert message.connection_id == sender.connection.connection_manager.connection_id


async def test_a_batch_arrives_whole_and_in_order(chain, binary):
    client = await chain.connected(binary)
    channel = client.channels.get("batch")
    inbox = await inbox_of(channel)
    headers = {"headers": {"k": "v", "n": 1.25}}
    await channel.publish(
        [Message("a", "zero", id="b:0", extras=headers), Message("b", {"one": 1}, id="b:1"), Message("c", BYTES, id="b:2")]
    )
    messages = await inbox.first(3)
    assert [(m.name, m.id) for m in messages] == [("a", "b:0"), ("b", "b:1"), ("c", "b:2")]
    assert messages[0].extras == headers
    assert messages[2].data == BYTES


async def test_many_publishes_at_once_arrive_once_each_and_in_order(chain, binary):
    sender, receiver = await chain.connected(binary), await chain.connected(binary)
    inbox = await inbox_of(receiver.channels.get("many"))
    channel = sender.channels.get("many")
    await asyncio.gather(*(channel.publish("n", str(i)) for i in range(1000)))
    assert [int(m.data) for m in await inbox.first(1000)] == list(range(1000))
    assert len(inbox.items) == 1000


async def test_history_pages_through_everything(chain, binary):
    client = await chain.connected(binary)
    for i in range(25):
        await client.channels.get("history").publish("n", str(i))
    channel = chain.rest(binary).channels.get("history")
    for direction, want in [("forwards", list(range(25))), ("backwards", list(range(24, -1, -1)))]:
        page = await channel.history(limit=10, direction=direction)
        found = []
        while True:
            found += [int(message.data) for message in page.items]
            if not page.has_next():
                break
            page = await page.next()
        assert found == want


async def test_rewind_replays_before_what_comes_live(chain, binary):
    sender, receiver = await chain.connected(binary), await chain.connected(binary)
    for i in range(5):
        await sender.channels.get("rewind").publish("n", str(i))
    inbox = await inbox_of(receiver.channels.get("rewind", ChannelOptions(params={"rewind": "2"})))
    await inbox.first(2)
    await sender.channels.get("rewind").publish("n", "5")
    assert [m.data for m in await inbox.first(3)] == ["3", "4", "5"]


async def test_a_message_id_is_taken_once(chain, binary):
    client = await chain.connected(binary)
    channel = client.channels.get("dedupe")
    inbox = await inbox_of(channel)
    for name, message_id in [("first", "effect-1"), ("again", "effect-1"), ("last", "effect-2")]:
        await channel.publish(Message(name, "x", id=message_id))
    assert [m.name for m in await inbox.first(2)] == ["first", "last"]


async def test_ids_of_a_batch_must_share_a_base(chain, binary):
    client = await chain.connected(binary)
    channel = client.channels.get("ids")
    with pytest.raises(AblyException) as refused:
        await channel.publish([Message("a", "x", id="a"), Message("b", "x", id="b")])
    assert refused.value.code == 40031
    await channel.publish("still here", "x")


async def test_rest_publishes_and_reads_time_status_and_history(chain, binary):
    live = await chain.connected(binary)
    inbox = await inbox_of(live.channels.get("rest:one"))
    rest = chain.rest(binary)
    assert abs(await rest.time() - time.time() * 1000) < 60_000
    channel = rest.channels.get("rest:one")
    await channel.publish("string", TEXT)
    await channel.publish("object", {"a": 1})
    await channel.publish("binary", BYTES)
    await channel.publish(messages=[Message("b0", "zero"), Message("b1", "one")])
    messages = await inbox.first(5)
    assert [m.data for m in messages] == [TEXT, {"a": 1}, BYTES, "zero", "one"]
    page = await channel.history(direction="forwards")
    assert [m.id for m in page.items] == [m.id for m in messages]
    status = await channel.status()
    assert status.channel_id == "rest:one"
    assert status.status.is_active is True


async def test_presence_is_seen_by_others_and_by_who_comes_later(chain, binary):
    watcher = await chain.connected(not binary)
    room = watcher.channels.get("room")
    inbox = Inbox()
    await room.presence.subscribe(inbox.put)
    alice = await chain.connected(binary, client_id="alice")
    presence = alice.channels.get("room").presence
    await presence.enter("here")
    await presence.update({"state": "busy"})
    seen = await inbox.first(2)
    assert [(m.client_id, m.data) for m in seen] == [("alice", "here"), ("alice", {"state": "busy"})]
    late = await chain.connected(binary)
    members = await asyncio.wait_for(late.channels.get("room").presence.get(), PATIENCE)
    assert [(m.client_id, m.data) for m in members] == [("alice", {"state": "busy"})]
    page = await chain.rest(binary).channels.get("room").presence.get()
    assert [(m.client_id, m.data) for m in page.items] == [("alice", {"state": "busy"})]
    await presence.leave(bytearray([0, 255]))
    await inbox.first(3)

    async def gone():
        return not await late.channels.get("room").presence.get()

    await eventually(gone, "alice leaving")


async def test_hundreds_of_members_are_synced_completely(chain, binary):
    crowd = await chain.connected(binary, client_id="*")
    presence = crowd.channels.get("crowd").presence
    await asyncio.gather(*(presence.enter_client(f"m{i}", f"m{i}") for i in range(350)))
    late = await chain.connected(binary)
    members = await asyncio.wait_for(late.channels.get("crowd").presence.get(), PATIENCE)
    assert sorted(m.client_id for m in members) == sorted(f"m{i}" for i in range(350))


async def test_ping_is_answered(chain, binary):
    client = await chain.connected(binary)
    assert await client.connection.ping() >= 0


async def test_a_token_request_connects_as_whom_it_names(chain, binary):
    issuer = chain.rest(binary)
    details = await issuer.auth.request_token({"client_id": "bob", "ttl": 60_000, "capability": {"mine": ["*"]}})
    assert (details.client_id, details.expires - details.issued) == ("bob", 60_000)
    client = await chain.connected(binary, token=details.token)
    inbox = await inbox_of(client.channels.get("mine"))
    await client.channels.get("mine").publish("n", "x")
    assert (await inbox.first(1))[0].client_id == "bob"


async def test_a_jwt_connects_and_publishes_over_rest(chain, binary):
    token = chain.jwt(**{"x-ably-clientId": "dave", "x-ably-capability": '{"*":["*"]}'})
    client = await chain.connected(binary, token=token)
    inbox = await inbox_of(client.channels.get("c"))
    await chain.rest(binary, token=token).channels.get("c").publish("n", "x")
    assert (await inbox.first(1))[0].client_id == "dave"


async def test_a_token_is_renewed_while_connected_and_nothing_is_missed(chain, binary):
    issued = []

    async def auth_callback(_params):
        issued.append(None)
        ttl = 3000 if len(issued) == 1 else 3_600_000
        return await chain.rest(binary).auth.request_token({"client_id": "erin", "ttl": ttl})

    client = await chain.connected(binary, auth_callback=auth_callback)
    connection_id = client.connection.connection_manager.connection_id
    inbox = await inbox_of(client.channels.get("c"))
    sender = await chain.connected(binary)
    sent = 0
    while len(issued) < 2 or sent < 50 or client.connection.state != "connected":
        await sender.channels.get("c").publish("n", str(sent))
        sent += 1
    assert [int(m.data) for m in await inbox.first(sent)] == list(range(sent))
    assert client.connection.connection_manager.connection_id == connection_id


async def test_what_a_capability_denies_is_refused_with_40160(chain, binary):
    token = chain.jwt(**{"x-ably-capability": json.dumps({"pub": ["publish"], "sub": ["subscribe"]})})
    client = await chain.connected(binary, token=token)
    await client.channels.get("pub").publish("n", "x")
    for attempt in [client.channels.get("sub").publish("n", "x"), client.channels.get("other").attach()]:
        with pytest.raises(AblyException) as denied:
            await asyncio.wait_for(attempt, PATIENCE)
        assert denied.value.code == 40160
    rest = chain.rest(binary, token=token)
    with pytest.raises(AblyException) as denied:
        await rest.channels.get("other").publish("n", "x")
    assert denied.value.code == 40160


async def test_a_wrong_key_is_refused(chain, binary):
    name, _ = chain.key.split(":")
    client = chain.realtime(binary, key=f"{name}:wrong")
    change = await asyncio.wait_for(client.connection.once_async("failed"), PATIENCE)
    assert change.reason.status_code == 401
