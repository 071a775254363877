// Side effects published while something of the chain is away: none is lost,
// none overtakes another, and what was acked is there exactly once.
import assert from 'node:assert/strict';

import { Chain, DEVICE, Emulator } from './support/chain.mjs';
import { eventually, scenario } from './support/inbox.mjs';
import { Proxy } from './support/proxy.mjs';
import { FORMATS, bytesOf, connected, inboxOf, rest } from './support/sdk.mjs';

const upTo = (count, from = 0) => Array.from({ length: count }, (_, i) => from + i);
const numbers = (messages) => messages.map((message) => JSON.parse(bytesOf(message)).sequence_number);
const channelOf = (session) => `session:${session}:conversation`;

/** A conversation message, which keeps its identity over a daemon's attempts. */
const message = (session, n) => JSON.stringify({
  type: 'message_appended', session_id: session, channel: channelOf(session), event: 'conversation.message.v1',
  payload: { message_id: `m-${session}`, sequence_number: n },
});

/** What a daemon does: one session's effects in order, each until it is acked. */
async function deliver(daemon, session, sequence) {
  let failures = 0;
  for (const n of sequence) {
    while (!(await daemon.send(message(session, n))).ok) failures += 1;
  }
  return failures;
}

/** Everything of a channel's history, oldest first. */
async function history(chain, session) {
  const found = [];
  let page = await rest(chain, 'msgpack').channels.get(channelOf(session)).history({ direction: 'forwards', limit: 1000 });
  for (; page; page = page.hasNext() ? await page.next() : null) found.push(...page.items);
  return found;
}

for (const format of FORMATS) {
  scenario(`the emulator is killed: what was not acked is published when it is back, ${format}`, async (t) => {
    const chain = await Chain.start(t);
    const subscriber = await connected(t, chain, format);
    const channel = subscriber.channels.get(channelOf('s'));
    const inbox = await inboxOf(channel);
    const daemon = await chain.daemon();
    await deliver(daemon, 's', upTo(20));
    assert.deepEqual(numbers(await inbox.first(20)), upTo(20));
    const back = new Promise((resolve) => channel.once('attached', resolve));
    const { restarted } = await chain.kill('emulator');
    const acks = await Promise.all(upTo(200, 20).map((n) => daemon.send(message('s', n))));
    assert.deepEqual(acks.filter(({ ok }) => !ok), [], 'a short absence costs no effect its attempts');
    await restarted;
    assert.equal((await back).resumed, false, 'the new emulator does not claim continuity');
    // The emulator keeps nothing over a crash, so its history starts with the first effect after it.
    assert.deepEqual(numbers(await history(chain, 's')), upTo(200, 20));
    const seen = numbers(inbox.items.slice(20));
    assert.deepEqual(seen, upTo(220).slice(220 - seen.length), 'what came live has no hole');
    await deliver(daemon, 's', [220]);
    await inbox.until((items) => numbers(items).at(-1) === 220, 'the next effect');
  });
}

scenario('the transport is killed again and again: everything arrives once and in order', async (t) => {
  const chain = await Chain.start(t);
  const subscriber = await connected(t, chain, 'msgpack');
  const sessions = upTo(5).map((i) => `s${i}`);
  const inboxes = await Promise.all(sessions.map((session) => inboxOf(subscriber.channels.get(channelOf(session)))));
  const daemon = await chain.daemon();
  let over = false;
  const killer = (async () => {
    for (let round = 0; round < 3; round++) await (await chain.kill('transport')).restarted;
    over = true;
  })();
  let sent = 0;
  while (!over || sent < 200) {
    await Promise.all(sessions.map((session) => deliver(daemon, session, [sent])));
    sent += 1;
  }
  await killer;
  for (const [i, inbox] of inboxes.entries()) {
    assert.deepEqual(numbers(await inbox.first(sent)), upTo(sent), sessions[i]);
    assert.deepEqual(numbers(await history(chain, sessions[i])), upTo(sent));
  }
});

scenario('the socket between transport and server is cut again and again: everything arrives once and in order', async (t) => {
  const emulator = await Emulator.start(t);
  const proxy = await Proxy.start(t, emulator.port);
  const chain = await Chain.withKey(t, { key: emulator.key, port: proxy.port });
  const subscriber = await connected(t, emulator, 'json');
  const sessions = upTo(5).map((i) => `s${i}`);
  const inboxes = await Promise.all(sessions.map((session) => inboxOf(subscriber.channels.get(channelOf(session)))));
  const daemon = await chain.daemon();
  const count = 400;
  const acked = sessions.flatMap((session) => upTo(count).map((n) => daemon.send(message(session, n))));
  for (const part of upTo(5)) {
    await Promise.all(acked.slice(part * 100, part * 100 + 20));
    proxy.cut();
  }
  const fates = await Promise.all(acked);
  assert.deepEqual(fates.filter(({ ok }) => !ok), []);
  for (const [i, inbox] of inboxes.entries()) {
    assert.deepEqual(numbers(await inbox.first(count)), upTo(count), sessions[i]);
    assert.equal(inbox.items.length, count);
  }
});

scenario('a subscription on ably.sock survives a cut socket without a gap', async (t) => {
  const emulator = await Emulator.start(t);
  const proxy = await Proxy.start(t, emulator.port);
  const chain = await Chain.withKey(t, { key: emulator.key, port: proxy.port });
  const ipc = await chain.ipc();
  const channel = `remote:${DEVICE}:commands`;
  const inbox = await ipc.subscribe(channel);
  const sdk = await connected(t, emulator, 'json');
  let sent = 0;
  for (const round of upTo(4)) {
    await Promise.all(upTo(50).map((i) => {
      if (i === 25) proxy.cut();
      return sdk.channels.get(channel).publish('n', String(sent++));
    }));
    await inbox.first((round + 1) * 50);
  }
  assert.deepEqual(inbox.items.map(({ payload }) => Number(payload)), upTo(sent));
  assert.ok(inbox.items.every(({ continuity_lost }) => !continuity_lost));
});

scenario('effects wait for a server that is not there yet', async (t) => {
  const emulator = await Emulator.start(t);
  const proxy = await Proxy.start(t, emulator.port);
  const chain = await Chain.withKey(t, { key: emulator.key, port: proxy.port });
  const daemon = await chain.daemon();
  await emulator.restart();
  await deliver(daemon, 's', upTo(10));
  assert.deepEqual(numbers(await history(emulator, 's')), upTo(10));
  await eventually(async () => (await chain.part('transport')).ready, 'a ready transport');
});
