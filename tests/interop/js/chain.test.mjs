// Through the whole chain: a daemon on falco.sock, a client on ably.sock, and
// stock SDKs on the other side.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';

import { Chain, DEVICE, Emulator, USER } from './support/chain.mjs';
import { scenario } from './support/inbox.mjs';
import { FORMATS, bytesOf, connected, inboxOf, rest } from './support/sdk.mjs';

const upTo = (count) => Array.from({ length: count }, (_, i) => i);

/** A payload whose every byte matters: odd whitespace, escapes, numbers. */
const payload = (session, i) => `{ "session" :"${session}",\t"n": ${i}.0e0 , "text":"\\u00e9\\/\u00e9 ${'x'.repeat(i % 50)}"  ,"a":[ ]\n}`;
const effect = (session, i) => `{"type":"message_appended","session_id":"${session}","channel":"session:${session}:conversation","event":"n","payload":${payload(session, i)}}`;

for (const format of FORMATS) {
  scenario(`what goes into falco.sock comes out byte for byte and in order, ${format}`, async (t) => {
    const chain = await Chain.start(t);
    const subscriber = await connected(t, chain, format);
    const sessions = upTo(8).map((i) => `s${i}`);
    const inboxes = await Promise.all(sessions.map((s) => inboxOf(subscriber.channels.get(`session:${s}:conversation`))));
    const daemon = await chain.daemon();
    const count = 500;
    const acks = await Promise.all(upTo(count).flatMap((i) => sessions.map((s) => daemon.send(effect(s, i)))));
    assert.deepEqual([...new Set(acks.map(({ ok, error }) => `${ok}${error}`))], ['true']);
    for (const [at, inbox] of inboxes.entries()) {
      const messages = await inbox.first(count);
      const got = messages.map((message) => bytesOf(message).toString());
      assert.deepEqual(got, upTo(count).map((i) => payload(sessions[at], i)));
      assert.equal(inbox.items.length, count);
      assert.ok(messages.every(({ name, id }) => name === 'n' && id));
    }
  });

  scenario(`several daemons keep each session's order, ${format}`, async (t) => {
    const chain = await Chain.start(t);
    const subscriber = await connected(t, chain, format);
    const daemons = await Promise.all(upTo(4).map(() => chain.daemon()));
    const inboxes = await Promise.all(upTo(4).map((d) => inboxOf(subscriber.channels.get(`session:d${d}:conversation`))));
    const acks = await Promise.all(upTo(300).flatMap((i) => daemons.map((daemon, d) => daemon.send(effect(`d${d}`, i)))));
    assert.ok(acks.every(({ ok }) => ok));
    for (const [d, inbox] of inboxes.entries()) {
      const got = (await inbox.first(300)).map((message) => bytesOf(message).toString());
      assert.deepEqual(got, upTo(300).map((i) => payload(`d${d}`, i)));
    }
  });

  scenario(`an effect without payload is published whole, without channel to the device, ${format}`, async (t) => {
    const chain = await Chain.start(t);
    const subscriber = await connected(t, chain, format);
    const inbox = await inboxOf(subscriber.channels.get(`device-events:${DEVICE}`));
    const daemon = await chain.daemon();
    const whole = ' {"type":"repository_created" ,\n "repository_id":"r1"} ';
    assert.deepEqual(await daemon.send(whole), { ok: true, error: '' });
    assert.deepEqual(await daemon.send('{"type":"t","payload":null}'), { ok: true, error: '' });
    const messages = await inbox.first(2);
    assert.deepEqual(messages.map((m) => [m.name, bytesOf(m).toString()]), [['repository_created', whole], ['t', 'null']]);
  });

  scenario(`what an SDK publishes arrives on ably.sock with its true bytes, ${format}`, async (t) => {
    const chain = await Chain.start(t);
    const ipc = await chain.ipc();
    const channel = `remote:${DEVICE}:commands`;
    const all = await ipc.subscribe(channel);
    const some = await ipc.subscribe(channel, 'binary');
    const sdk = await connected(t, chain, format);
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const text = 'h\u00e9llo \u2713 \u0000 \u{1f600}';
    await sdk.channels.get(channel).publish('string', text);
    await sdk.channels.get(channel).publish('json', { a: [1, null, 'x'] });
    await sdk.channels.get(channel).publish('binary', bytes);
    await rest(chain, format).channels.get(channel).publish('binary', bytes.subarray(0, 3));
    const messages = await all.first(4);
    assert.deepEqual(messages.map(({ event }) => event), ['string', 'json', 'binary', 'binary']);
    assert.equal(messages[0].payload.toString(), text);
    assert.equal(messages[1].payload.toString(), '{"a":[1,null,"x"]}');
    assert.deepEqual(messages[2].payload, bytes);
    assert.deepEqual(messages[3].payload, bytes.subarray(0, 3));
    assert.ok(messages.every((m) => m.channel === channel && m.message_id && Math.abs(m.received_at_ms - Date.now()) < 60_000));
    assert.deepEqual((await some.first(2)).map(({ message_id }) => message_id), messages.slice(2).map(({ message_id }) => message_id));
  });

  scenario(`thousands of messages reach ably.sock in order, ${format}`, async (t) => {
    const chain = await Chain.start(t);
    const ipc = await chain.ipc();
    const channel = `remote:${DEVICE}:commands`;
    const inbox = await ipc.subscribe(channel);
    const sdk = await connected(t, chain, format);
    await Promise.all(upTo(2000).map((i) => sdk.channels.get(channel).publish('n', String(i))));
    const got = (await inbox.first(2000)).map((message) => Number(message.payload));
    assert.deepEqual(got, upTo(2000));
  });

  scenario(`publish.v1 and publish.ack.v1 reach an SDK as bytes, ${format}`, async (t) => {
    const chain = await Chain.start(t);
    const ipc = await chain.ipc();
    const sdk = await connected(t, chain, format);
    const [session, commands] = await Promise.all(['session:x:conversation', `remote:${DEVICE}:commands`].map((name) => inboxOf(sdk.channels.get(name))));
    const body = Buffer.from([0, 1, 254, 255]);
    const request = { event: 'e', payload_b64: body.toString('base64') };
    assert.equal((await ipc.request('publish.v1', { ...request, channel: 'session:x:conversation' })).ok, true);
    assert.equal((await ipc.request('publish.ack.v1', { ...request, channel: `remote:${DEVICE}:commands` })).ok, true);
    assert.deepEqual(bytesOf((await session.first(1))[0]), body);
    assert.deepEqual(bytesOf((await commands.first(1))[0]), body);
  });

  scenario(`an object set through falco.sock is read back over REST, ${format}`, async (t) => {
    const chain = await Chain.start(t);
    const daemon = await chain.daemon();
    const channel = 'session:s1:status';
    const set = (key, value) => daemon.send(JSON.stringify({ type: 'agent_status_changed', channel, object_key: key, payload: value }));
    assert.deepEqual(await set('coding_session_status', { state: 'running', n: 1.5 }), { ok: true, error: '' });
    assert.deepEqual(await set('word', 'text'), { ok: true, error: '' });
    assert.deepEqual(await set('word', 'newer'), { ok: true, error: '' });
    const read = await rest(chain, format).request('get', `/channels/${encodeURIComponent(channel)}/object`, 6, {}, null, {});
    assert.equal(read.statusCode, 200, JSON.stringify(read.errorMessage));
    const text = JSON.stringify(read.items);
    assert.match(text, /running/);
    assert.match(text, /newer/);
    assert.doesNotMatch(text, /"text"/);
  });

  scenario(`the device is seen online at once and offline when it stops, ${format}`, async (t) => {
    const chain = await Chain.start(t);
    const sdk = await connected(t, chain, format);
    const channel = sdk.channels.get(`presence:${USER}`, { params: { rewind: '1' } });
    const inbox = await inboxOf(channel);
    const [online] = await inbox.first(1);
    assert.equal(online.name, 'daemon.presence.v1');
    const heartbeat = JSON.parse(bytesOf(online));
    assert.ok(Math.abs(heartbeat.sent_at_ms - Date.now()) < 60_000);
    delete heartbeat.sent_at_ms;
    assert.deepEqual(heartbeat, { schema_version: 1, user_id: USER, device_id: DEVICE, status: 'online', source: 'daemon-ably' });
    process.kill((await chain.part('transport')).pid, 'SIGTERM');
    const messages = await inbox.until((items) => items.length >= 2, 'an offline heartbeat');
    assert.equal(JSON.parse(bytesOf(messages[1])).status, 'offline');
  });
}

scenario('every effect that cannot be published is refused at once, with the reason', async (t) => {
  const chain = await Chain.start(t);
  const daemon = await chain.daemon();
  const refused = [
    ['{"channel":"c","payload":1}', /missing event name in side-effect payload/],
    ['{"object_key":"k","payload":1}', /missing channel for object-set side-effect/],
    ['{"object_key":"k","channel":"c"}', /missing payload for object-set side-effect/],
    ['not JSON', /^rejected: /],
    ['{"event":"e","channel":"c"} trailing', /^rejected: /],
    [JSON.stringify({ event: 'e', channel: 'session:s:conversation', payload: 'x'.repeat(70_000) }), /40009/],
  ];
  for (const [json, reason] of refused) {
    const { ok, error } = await daemon.send(json);
    assert.equal(ok, false, json.slice(0, 60));
    assert.match(error, reason);
  }
  assert.deepEqual(await daemon.send('{"event":"e","channel":"session:s:conversation","payload":1}'), { ok: true, error: '' });
});

scenario('with a key of Ably each audience may do what the contract lists and no more', async (t) => {
  const emulator = await Emulator.start(t);
  const chain = await Chain.withKey(t, emulator);
  const sdk = await connected(t, emulator, 'json');
  const daemon = await chain.daemon();
  const ipc = await chain.ipc();
  const commands = `remote:${DEVICE}:commands`;
  const allowed = ['session:s:conversation', commands, `session:secrets:${DEVICE}:x`, `device-events:${DEVICE}`];
  for (const channel of allowed) {
    const inbox = await inboxOf(sdk.channels.get(channel));
    assert.deepEqual(await daemon.send(JSON.stringify({ event: 'e', channel, payload: channel })), { ok: true, error: '' });
    assert.equal(bytesOf((await inbox.first(1))[0]).toString(), JSON.stringify(channel));
  }
  const status = { channel: 'session:s:status', object_key: 'k', payload: 'v' };
  assert.deepEqual(await daemon.send(JSON.stringify(status)), { ok: true, error: '' });
  for (const channel of ['not:ours', 'session:s', 'session:s:t:conversation', 'device-events:another']) {
    const { ok, error } = await daemon.send(JSON.stringify({ event: 'e', channel, payload: 1 }));
    assert.equal(ok, false, channel);
    assert.match(error, /^rejected: .*publish rejected: .*40160/);
    const denied = await ipc.request('publish.v1', { channel, event: 'e', payload_b64: 'MQ==' });
    assert.deepEqual([denied.ok, denied.code, denied.retryable], [false, 40160, false]);
  }
  const inbox = await ipc.subscribe(commands);
  const command_ack = await ipc.request('publish.ack.v1', { channel: commands, event: 'e', payload_b64: 'MQ==' });
  assert.equal(command_ack.ok, true, command_ack.error);
  await sdk.channels.get(commands).publish('e', '2');
  await inbox.until((items) => items.some(({ payload }) => payload.toString() === '2'));
  await assert.rejects(ipc.subscribe('session:s:conversation'), /40160/);
});

scenario('a frame that cannot be framed ends its own connection only', async (t) => {
  const chain = await Chain.start(t);
  const daemon = await chain.daemon();
  const broken = connect(join(chain.base, 'falco.sock'));
  broken.write(Buffer.alloc(64));
  await once(broken, 'close');
  assert.deepEqual(await daemon.send('{"event":"e","channel":"session:s:conversation","payload":1}'), { ok: true, error: '' });
});

scenario('one effect id sent twice is answered twice and published once', async (t) => {
  const chain = await Chain.start(t);
  const daemon = await chain.daemon();
  const id = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
  for (let attempt = 0; attempt < 2; attempt++) {
    assert.deepEqual(await daemon.send('{"event":"e","channel":"session:s:conversation","payload":1}', id), { ok: true, error: '' });
  }
  const page = await rest(chain, 'json').channels.get('session:s:conversation').history();
  assert.equal(page.items.length, 1);
});

scenario('a conversation message sent again under a new effect id is published once', async (t) => {
  const chain = await Chain.start(t);
  const daemon = await chain.daemon();
  const message = (nonce) => JSON.stringify({
    type: 'message_appended', channel: 'session:s:conversation', event: 'conversation.message.v1',
    payload: { message_id: 'm-1', sequence_number: 7, nonce },
  });
  for (const nonce of [1, 2, 3]) assert.deepEqual(await daemon.send(message(nonce)), { ok: true, error: '' });
  const page = await rest(chain, 'json').channels.get('session:s:conversation').history();
  assert.equal(page.items.length, 1);
});
