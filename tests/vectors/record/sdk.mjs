// Drives npm `ably` through the scenario of README.md: node sdk.mjs PORT
import * as Ably from 'ably';

const port = Number(process.argv[2]);
const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

for (const useBinaryProtocol of [false, true]) {
  const options = { endpoint: '127.0.0.1', port, tls: false, useBinaryProtocol };
  const client = new Ably.Realtime({ ...options, key: 'app.key:secret', clientId: 'recorder' });
  const channel = client.channels.get('vectors:one', { params: { rewind: '2' }, modes: ['PUBLISH', 'SUBSCRIBE', 'PRESENCE', 'PRESENCE_SUBSCRIBE'] });
  await channel.attach();
  await channel.publish('string', 'h\u00e9llo \u2713 "quoted" \\ \u0000 \u{1f600}');
  await channel.publish('object', { a: 1, nested: { b: [true, null, 'x'] } });
  await channel.publish('array', [1, 'two', { three: 3 }]);
  await channel.publish('binary', bytes);
  await channel.publish('empty', undefined);
  await channel.publish({ data: 'no name' });
  await channel.publish({ name: 'identified', data: 'x', id: 'effect-1', extras: { headers: { 'idempotency-key': 'k-1' } } });
  await channel.publish([
    { name: 'batch', data: 'zero', id: 'base:0' },
    { name: 'batch', data: { one: 1 }, id: 'base:1' },
    { name: 'batch', data: Buffer.from([0, 255]), id: 'base:2' },
  ]);
  await channel.presence.enter('here');
  await channel.presence.update({ state: 'busy' });
  await channel.presence.leave(bytes.subarray(0, 4));
  await client.connection.ping();
  await channel.detach();
  await client.auth.authorize({ ttl: 60000, capability: { 'vectors:*': ['publish', 'subscribe'] } });
  client.close();
  await client.connection.once('closed');

  const rest = new Ably.Rest({ ...options, key: 'app.key:secret' });
  await rest.time();
  await rest.auth.requestToken({ clientId: 'someone', ttl: 60000 });
  const restChannel = rest.channels.get('vectors:one');
  await restChannel.publish('string', 'over rest');
  await restChannel.publish('object', { a: 1 });
  await restChannel.publish('binary', bytes);
  await restChannel.publish([{ name: 'batch', data: 'zero' }, { name: 'batch', data: 'one' }]);
  await restChannel.history({ limit: 10, direction: 'forwards' });
  await restChannel.presence.get();
  await restChannel.status();
}
