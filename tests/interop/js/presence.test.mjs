// Presence between stock clients.
import assert from 'node:assert/strict';

import { Emulator } from './support/chain.mjs';
import { Inbox, eventually, scenario } from './support/inbox.mjs';
import { FORMATS, connected, rest } from './support/sdk.mjs';

const summary = (members) => members.map(({ clientId, data }) => [clientId, data]).sort();

async function presenceInbox(channel) {
  const inbox = new Inbox(`presence of ${channel.name}`);
  await channel.presence.subscribe(inbox.put);
  return inbox;
}

for (const format of FORMATS) {
  scenario(`enter, update and leave are seen by others, with their data, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const watcher = await connected(t, emulator, format === 'json' ? 'msgpack' : 'json');
    const inbox = await presenceInbox(watcher.channels.get('room'));
    const alice = await connected(t, emulator, format, { clientId: 'alice' });
    const { presence } = alice.channels.get('room');
    await presence.enter('here');
    await presence.update({ state: 'busy' });
    await presence.leave(Buffer.from([0, 255]));
    const seen = await inbox.first(3);
    assert.deepEqual(seen.map(({ action, clientId }) => [action, clientId]), [['enter', 'alice'], ['update', 'alice'], ['leave', 'alice']]);
    assert.deepEqual(seen.slice(0, 2).map(({ data }) => data), ['here', { state: 'busy' }]);
    assert.deepEqual(Buffer.from(seen[2].data), Buffer.from([0, 255]));
    assert.ok(seen.every(({ connectionId }) => connectionId === alice.connection.id));
  });

  scenario(`who comes later learns who is there, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const [alice, bob] = [await connected(t, emulator, format, { clientId: 'alice' }), await connected(t, emulator, format, { clientId: 'bob' })];
    await alice.channels.get('room').presence.enter('a');
    await bob.channels.get('room').presence.enter({ b: 1 });
    const late = await connected(t, emulator, format);
    const channel = late.channels.get('room');
    const inbox = await presenceInbox(channel);
    const members = await channel.presence.get();
    assert.deepEqual(summary(members), [['alice', 'a'], ['bob', { b: 1 }]]);
    assert.deepEqual(summary(await inbox.first(2)), [['alice', 'a'], ['bob', { b: 1 }]]);
    assert.ok(inbox.items.every(({ action }) => action === 'present'));
    assert.deepEqual(summary(await channel.presence.get({ clientId: 'bob' })), [['bob', { b: 1 }]]);
    assert.equal(channel.presence.syncComplete, true);
  });

  scenario(`hundreds of members are synced completely, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const crowd = await connected(t, emulator, format);
    const { presence } = crowd.channels.get('crowd');
    const names = Array.from({ length: 350 }, (_, i) => `member-${i}`);
    await Promise.all(names.map((name) => presence.enterClient(name, name)));
    const late = await connected(t, emulator, format);
    const members = await late.channels.get('crowd').presence.get();
    assert.deepEqual(summary(members), names.map((name) => [name, name]).sort());
  });

  scenario(`closing leaves at once, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const watcher = await connected(t, emulator, format);
    const inbox = await presenceInbox(watcher.channels.get('room'));
    const alice = await connected(t, emulator, format, { clientId: 'alice' });
    await alice.channels.get('room').presence.enter('here');
    await inbox.first(1);
    alice.close();
    const [, left] = await inbox.first(2);
    assert.deepEqual([left.action, left.clientId], ['leave', 'alice']);
    assert.deepEqual(await watcher.channels.get('room').presence.get(), []);
  });

  scenario(`REST knows who is there and what happened, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const alice = await connected(t, emulator, format, { clientId: 'alice' });
    const { presence } = alice.channels.get('room');
    await presence.enter('one');
    await presence.update({ two: 2 });
    const client = rest(emulator, format).channels.get('room').presence;
    assert.deepEqual(summary((await client.get()).items), [['alice', { two: 2 }]]);
    assert.deepEqual(summary((await client.get({ clientId: 'nobody' })).items), []);
    const history = await client.history({ direction: 'forwards' });
    assert.deepEqual(history.items.map(({ action, data }) => [action, data]), [['enter', 'one'], ['update', { two: 2 }]]);
  });

  scenario(`a second connection of one client is a second member, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const [one, two] = [await connected(t, emulator, format, { clientId: 'alice' }), await connected(t, emulator, format, { clientId: 'alice' })];
    await one.channels.get('room').presence.enter('1');
    await two.channels.get('room').presence.enter('2');
    const connections = async () => (await one.channels.get('room').presence.get()).map(({ connectionId }) => connectionId);
    await eventually(async () => (await connections()).length === 2, 'the second member coming');
    assert.deepEqual((await connections()).sort(), [one.connection.id, two.connection.id].sort());
    two.close();
    await eventually(async () => (await connections()).length === 1, 'the second member leaving');
  });

  scenario(`presence needs a client id, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const client = await connected(t, emulator, format);
    await assert.rejects(client.channels.get('room').presence.enter('x'), { code: 40012 });
  });
}
