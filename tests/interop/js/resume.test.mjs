// What a subscriber and a publisher keep when the socket or the server goes away.
import assert from 'node:assert/strict';

import { Emulator } from './support/chain.mjs';
import { Inbox, eventually, scenario } from './support/inbox.mjs';
import { Proxy } from './support/proxy.mjs';
import { FORMATS, connected, inboxOf, rest } from './support/sdk.mjs';

const upTo = (count) => Array.from({ length: count }, (_, i) => i);
const numbers = (messages) => messages.map(({ data }) => Number(data));

function watch(emitter, name) {
  const inbox = new Inbox(name);
  emitter.on(inbox.put);
  return inbox;
}

for (const format of FORMATS) {
  scenario(`a subscriber whose socket is cut misses nothing and sees nothing twice, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const proxy = await Proxy.start(t, emulator.port);
    const receiver = await connected(t, { ...emulator, key: emulator.key, port: proxy.port }, format);
    const sender = await connected(t, emulator, format);
    const channel = receiver.channels.get('cut');
    const inbox = await inboxOf(channel);
    const changes = watch(channel, 'channel changes');
    const { id } = receiver.connection;
    let sent = 0;
    for (let round = 0; round < 5; round++) {
      const publishes = upTo(40).map((i) => {
        if (i === 20) proxy.cut();
        return sender.channels.get('cut').publish('n', String(sent++));
      });
      await Promise.all(publishes);
      await inbox.first(sent);
    }
    assert.deepEqual(numbers(inbox.items), upTo(sent));
    assert.equal(receiver.connection.id, id, 'the connection is resumed');
    assert.ok(changes.items.every(({ resumed, current }) => resumed || current !== 'attached'), 'continuity is kept');
  });

  scenario(`a publisher whose socket is cut sends everything once and in order, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const proxy = await Proxy.start(t, emulator.port);
    const sender = await connected(t, { ...emulator, key: emulator.key, port: proxy.port }, format);
    const receiver = await connected(t, emulator, format);
    const inbox = await inboxOf(receiver.channels.get('cut'));
    let sent = 0;
    for (let round = 0; round < 5; round++) {
      const publishes = upTo(40).map((i) => {
        if (i % 20 === 10) proxy.cut();
        return sender.channels.get('cut').publish('n', String(sent++));
      });
      await Promise.all(publishes);
    }
    await inbox.first(sent);
    const last = sender.channels.get('cut').publish('n', String(sent++));
    await last;
    await inbox.first(sent);
    assert.deepEqual(numbers(inbox.items), upTo(sent));
  });

  scenario(`presence survives a cut socket and ends when its client stays away, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const proxy = await Proxy.start(t, emulator.port);
    const through = { ...emulator, key: emulator.key, port: proxy.port };
    const alice = await connected(t, through, format, { clientId: 'alice', transportParams: { remainPresentFor: '1000' } });
    const watcher = await connected(t, emulator, format);
    const inbox = new Inbox('presence events');
    await watcher.channels.get('room').presence.subscribe(inbox.put);
    await alice.channels.get('room').presence.enter('here');
    await inbox.first(1);
    proxy.cut();
    await alice.connection.once('connected');
    await eventually(async () => (await watcher.channels.get('room').presence.get()).length === 1, 'alice staying');
    assert.ok(!inbox.items.some(({ action }) => action === 'leave'), 'a resumed connection does not leave');
  });

  scenario(`a restarted server is found again, and the loss of continuity is said, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const client = await connected(t, emulator, format);
    const channel = client.channels.get('restart');
    const inbox = await inboxOf(channel);
    await channel.publish('n', '0');
    await inbox.first(1);
    const changes = watch(channel, 'channel changes');
    await emulator.restart();
    await changes.until((items) => items.some(({ current }) => current === 'attached'), 'a new attachment');
    await channel.publish('n', '1');
    assert.deepEqual(numbers(await inbox.first(2)), [0, 1]);
    const attached = changes.items.filter(({ current }) => current === 'attached');
    assert.ok(attached.length > 0 && attached.every(({ resumed }) => !resumed), 'continuity is not claimed');
    const page = await rest(emulator, format).channels.get('restart').history();
    assert.deepEqual(numbers(page.items), [1]);
  });

  scenario(`a server that stops in good order is found again, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const client = await connected(t, emulator, format);
    const channel = client.channels.get('restart');
    const inbox = await inboxOf(channel);
    const states = watch(client.connection, 'connection states');
    const changes = watch(channel, 'channel changes');
    await emulator.restart('SIGTERM');
    await changes.until((items) => items.some(({ current }) => current === 'attached'), 'a new attachment');
    await channel.publish('n', '1');
    assert.deepEqual(numbers(await inbox.first(1)), [1]);
    assert.ok(!states.items.some(({ current }) => current === 'failed'));
  });
}

scenario('an idle connection outlives its idle timeout', async (t) => {
  const emulator = await Emulator.start(t);
  // The SDK gives up after maxIdleInterval (15 s) and this much of silence.
  const clients = await Promise.all(FORMATS.map((format) => connected(t, emulator, format, { realtimeRequestTimeout: 1000 })));
  const states = clients.map((client) => watch(client.connection, 'connection states'));
  await new Promise((resolve) => setTimeout(resolve, 17_000));
  assert.deepEqual(states.flatMap(({ items }) => items), []);
  for (const client of clients) await client.channels.get('c').publish('n', 'still here');
});
