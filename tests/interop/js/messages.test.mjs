// Publishing, subscribing and history between stock clients.
import assert from 'node:assert/strict';

import { Emulator } from './support/chain.mjs';
import { Inbox, scenario } from './support/inbox.mjs';
import { FORMATS, bytesOf, connected, inboxOf, rest } from './support/sdk.mjs';

const BYTES = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
const TEXT = 'h\u00e9llo \u2713 "quoted" \\ \u0000 \u{1f600}';
const PAYLOADS = [
  ['string', TEXT],
  ['empty string', ''],
  ['object', { a: 1.5, nested: { b: [true, null, 'x'] } }],
  ['array', [1, 'two', { three: 3 }]],
  ['binary', BYTES],
  ['empty binary', Buffer.alloc(0)],
  ['nothing', undefined],
];
const same = (data) => (data instanceof ArrayBuffer || ArrayBuffer.isView(data) ? Buffer.from(data) : data);

for (const from of FORMATS) {
  for (const to of FORMATS) {
    scenario(`every kind of payload arrives as it was sent, ${from} to ${to}`, async (t) => {
      const emulator = await Emulator.start(t);
      const [sender, receiver] = [await connected(t, emulator, from), await connected(t, emulator, to)];
      const inbox = await inboxOf(receiver.channels.get('payloads'));
      const channel = sender.channels.get('payloads');
      for (const [name, data] of PAYLOADS) await channel.publish(name, data);
      for (const [i, message] of (await inbox.first(PAYLOADS.length)).entries()) {
        assert.equal(message.name, PAYLOADS[i][0]);
        assert.deepEqual(same(message.data), PAYLOADS[i][1] ?? message.data);
        if (PAYLOADS[i][1] === undefined) assert.ok(message.data === undefined || message.data === null);
        assert.equal(message.encoding ?? null, null);
        assert.equal(message.connectionId, sender.connection.id);
        assert.ok(message.id && message.serial && message.timestamp);
      }
    });
  }
}

for (const format of FORMATS) {
  scenario(`a batch arrives whole, in order, with ids, names and extras, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const client = await connected(t, emulator, format);
    const channel = client.channels.get('batches');
    const inbox = await inboxOf(channel);
    const headers = { 'idempotency-key': 'k-1', depth: 1.25 };
    const result = await channel.publish([
      { name: 'a', data: 'zero', id: 'base:0', extras: { headers } },
      { name: 'b', data: { one: 1 }, id: 'base:1' },
      { name: 'c', data: BYTES, id: 'base:2' },
    ]);
    const messages = await inbox.first(3);
    assert.deepEqual(messages.map(({ name, id }) => [name, id]), [['a', 'base:0'], ['b', 'base:1'], ['c', 'base:2']]);
    assert.deepEqual(messages[0].extras.headers, headers);
    assert.deepEqual(result.serials, messages.map(({ serial }) => serial));
    assert.ok(messages[0].serial < messages[1].serial && messages[1].serial < messages[2].serial);
  });

  scenario(`a thousand publishes at once arrive once each and in order, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const [sender, receiver] = [await connected(t, emulator, format), await connected(t, emulator, format)];
    const inbox = await inboxOf(receiver.channels.get('many'));
    const channel = sender.channels.get('many');
    await Promise.all(Array.from({ length: 1000 }, (_, i) => channel.publish('n', String(i))));
    const order = (await inbox.first(1000)).map(({ data }) => Number(data));
    assert.deepEqual(order, Array.from({ length: 1000 }, (_, i) => i));
    assert.equal(inbox.items.length, 1000);
  });

  scenario(`echo off hides one's own messages and nobody else's, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const quiet = await connected(t, emulator, format, { echoMessages: false });
    const other = await connected(t, emulator, format);
    const inbox = await inboxOf(quiet.channels.get('echo'));
    const theirs = await inboxOf(other.channels.get('echo'));
    await quiet.channels.get('echo').publish('own', '1');
    await other.channels.get('echo').publish('other', '2');
    await theirs.first(2);
    assert.deepEqual((await inbox.first(1)).map(({ name }) => name), ['other']);
  });

  scenario(`a subscriber to one name gets that name only, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const client = await connected(t, emulator, format);
    const channel = client.channels.get('names');
    const inbox = await inboxOf(channel, 'wanted');
    for (const name of ['other', 'wanted', 'other', 'wanted']) await channel.publish(name, name);
    assert.deepEqual((await inbox.first(2)).map(({ name }) => name), ['wanted', 'wanted']);
  });

  scenario(`detaching ends the messages, attaching again resumes them, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const [sender, receiver] = [await connected(t, emulator, format), await connected(t, emulator, format)];
    const channel = receiver.channels.get('detach');
    const inbox = await inboxOf(channel);
    await sender.channels.get('detach').publish('n', '0');
    await inbox.first(1);
    await channel.detach();
    assert.equal(channel.state, 'detached');
    await sender.channels.get('detach').publish('n', '1');
    await channel.attach();
    await sender.channels.get('detach').publish('n', '2');
    assert.deepEqual((await inbox.first(2)).map(({ data }) => data), ['0', '2']);
  });

  scenario(`history pages both ways and stops where it is told, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const client = await connected(t, emulator, format);
    const channel = client.channels.get('history');
    for (let i = 0; i < 25; i++) await channel.publish('n', String(i));
    for (const [direction, want] of [['forwards', [...Array(25).keys()]], ['backwards', [...Array(25).keys()].reverse()]]) {
      const found = [];
      let page = await channel.history({ limit: 10, direction });
      const sizes = [];
      for (;;) {
        sizes.push(page.items.length);
        found.push(...page.items.map(({ data }) => Number(data)));
        if (!page.hasNext()) break;
        page = await page.next();
      }
      assert.deepEqual(found, want);
      assert.deepEqual(sizes, [10, 10, 5]);
      assert.equal(page.isLast(), true);
      const first = await page.first();
      assert.equal(Number(first.items[0].data), want[0]);
    }
  });

  scenario(`history between two times has what was published between them, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const client = await connected(t, emulator, format);
    const channel = client.channels.get('between');
    const inbox = await inboxOf(channel);
    for (let i = 0; i < 3; i++) {
      await channel.publish('n', String(i));
      const { timestamp } = (await inbox.first(i + 1))[i];
      while (Date.now() <= timestamp) await new Promise((resolve) => setImmediate(resolve));
    }
    const [, middle] = await inbox.first(3);
    const page = await channel.history({ start: middle.timestamp, end: middle.timestamp });
    assert.deepEqual(page.items.map(({ data }) => data), ['1']);
  });

  scenario(`history until attach meets what came live, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const [sender, receiver] = [await connected(t, emulator, format), await connected(t, emulator, format)];
    const from = sender.channels.get('until');
    for (let i = 0; i < 5; i++) await from.publish('n', String(i));
    const channel = receiver.channels.get('until');
    const inbox = await inboxOf(channel);
    for (let i = 5; i < 10; i++) await from.publish('n', String(i));
    await inbox.first(5);
    const page = await channel.history({ untilAttach: true });
    const all = [...page.items.reverse(), ...inbox.items].map(({ data }) => Number(data));
    assert.deepEqual(all, [...Array(10).keys()]);
  });

  scenario(`rewind replays before what comes live, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const [sender, receiver] = [await connected(t, emulator, format), await connected(t, emulator, format)];
    for (let i = 0; i < 5; i++) await sender.channels.get('rewind').publish('n', String(i));
    for (const [rewind, want] of [['2', ['3', '4']], ['2m', ['0', '1', '2', '3', '4']]]) {
      const channel = receiver.channels.get('rewind', { params: { rewind } });
      const inbox = await inboxOf(channel);
      assert.deepEqual((await inbox.first(want.length)).map(({ data }) => data), want);
      assert.equal(channel.params.rewind, rewind);
      await channel.detach();
      receiver.channels.release('rewind');
    }
  });

  scenario(`a message id is taken once, over realtime and over REST, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const client = await connected(t, emulator, format);
    const channel = client.channels.get('dedupe');
    const inbox = await inboxOf(channel);
    const restChannel = rest(emulator, format).channels.get('dedupe');
    await channel.publish({ name: 'first', data: '1', id: 'effect-1' });
    await channel.publish({ name: 'again', data: '2', id: 'effect-1' });
    await restChannel.publish({ name: 'again', data: '3', id: 'effect-1' });
    await channel.publish({ name: 'last', data: '4', id: 'effect-2' });
    assert.deepEqual((await inbox.first(2)).map(({ name }) => name), ['first', 'last']);
    const page = await channel.history({ direction: 'forwards' });
    assert.deepEqual(page.items.map(({ id }) => id), ['effect-1', 'effect-2']);
  });

  scenario(`ids of a batch must share a base and count up, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const client = await connected(t, emulator, format);
    const channel = client.channels.get('ids');
    for (const ids of [['a', 'b'], ['a:0', 'b:1'], ['a:1', 'a:2'], ['a:0', undefined]]) {
      const messages = ids.map((id) => ({ name: 'n', data: 'x', ...(id && { id }) }));
      await assert.rejects(channel.publish(messages), { code: 40031 }, ids.join());
    }
    await channel.publish([{ data: 'x', id: 'a:0' }, { data: 'x', id: 'a:1' }]);
  });

  scenario(`what is too large is refused with 40009 and the connection lives, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    // The SDK checks for itself against its own limit, so let it believe in a larger one.
    const client = await connected(t, emulator, format, { maxMessageSize: 1_000_000 });
    const channel = client.channels.get('large');
    assert.equal(client.connection.connectionManager.connectionDetails?.maxMessageSize ?? 65536, 65536);
    await channel.publish('fits', 'x'.repeat(65536 - 4));
    await assert.rejects(rest(emulator, format, { maxMessageSize: 1_000_000 }).channels.get('large').publish('n', 'x'.repeat(65537)), { code: 40009 });
    await assert.rejects(channel.publish('n', 'x'.repeat(65537)), { code: 40009 });
    await channel.publish('still here', 'x');
  });

  scenario(`REST publishes one, many, binary and JSON, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const client = await connected(t, emulator, format);
    const inbox = await inboxOf(client.channels.get('rest:a/b c\u00e9'));
    const channel = rest(emulator, format).channels.get('rest:a/b c\u00e9');
    await channel.publish('string', TEXT);
    await channel.publish('object', { a: 1 });
    await channel.publish('binary', BYTES);
    await channel.publish([{ name: 'b0', data: 'zero' }, { name: 'b1', data: 'one' }]);
    const messages = await inbox.first(5);
    assert.deepEqual(messages.map(({ name }) => name), ['string', 'object', 'binary', 'b0', 'b1']);
    assert.equal(messages[0].data, TEXT);
    assert.deepEqual(messages[1].data, { a: 1 });
    assert.deepEqual(bytesOf(messages[2]), BYTES);
    const page = await channel.history({ direction: 'forwards' });
    assert.deepEqual(page.items.map(({ id }) => id), messages.map(({ id }) => id));
    assert.deepEqual(bytesOf(page.items[2]), BYTES);
  });

  scenario(`time is the clock's, status is the channel's, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const client = rest(emulator, format);
    const before = Date.now();
    const time = await client.time();
    assert.ok(before - 1 <= time && time <= Date.now() + 1);
    const live = await connected(t, emulator, format);
    await inboxOf(live.channels.get('status'));
    const status = await client.channels.get('status').status();
    assert.equal(status.channelId, 'status');
    assert.equal(status.status.isActive, true);
    assert.equal(status.status.occupancy.metrics.connections, 1);
    assert.equal(status.status.occupancy.metrics.subscribers, 1);
  });

  scenario(`ping is answered and close is clean, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const client = await connected(t, emulator, format);
    assert.ok((await client.connection.ping()) >= 0);
    const states = new Inbox('connection states');
    client.connection.on(states.put);
    client.close();
    await states.until((items) => items.some(({ current }) => current === 'closed'));
    assert.deepEqual(states.items.map(({ current }) => current), ['closing', 'closed']);
  });
}
