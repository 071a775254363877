// Credentials of every kind, and what they may do.
import assert from 'node:assert/strict';

import { Emulator } from './support/chain.mjs';
import { Inbox, scenario } from './support/inbox.mjs';
import { FORMATS, connected, inboxOf, jwt, realtime, rest } from './support/sdk.mjs';

/** Waits for a state other than the ones on the way to it. */
async function settled(client, ...states) {
  return new Promise((resolve) => {
    for (const state of states) client.connection.once(state, resolve);
  });
}

for (const format of FORMATS) {
  scenario(`an API key connects and may do everything, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const client = await connected(t, emulator, format, { clientId: 'alice' });
    const inbox = await inboxOf(client.channels.get('c'));
    await client.channels.get('c').publish('n', 'x');
    assert.equal((await inbox.first(1))[0].clientId, 'alice');
  });

  scenario(`an unknown key or a wrong secret is refused, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const [name] = emulator.key.split(':');
    for (const key of [`${name}:wrong`, 'no.such:key', `${name}x:${emulator.key.split(':')[1]}`]) {
      const client = realtime(t, emulator, format, { key });
      const { reason } = await settled(client, 'failed');
      assert.equal(reason.statusCode, 401, reason.message);
      assert.ok([40101, 40400].includes(reason.code) || (40100 <= reason.code && reason.code < 40200), String(reason.code));
      await assert.rejects(rest(emulator, format, { key }).channels.get('c').publish('n', 'x'), { statusCode: 401 });
    }
  });

  scenario(`a token request by callback connects with what it asks for, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const issuer = rest(emulator, format);
    const authCallback = (params, done) =>
      issuer.auth.createTokenRequest({ ...params, clientId: 'bob', capability: { 'mine:*': ['publish', 'subscribe'] } }).then((r) => done(null, r), done);
    const client = await connected(t, emulator, format, { authCallback });
    assert.equal(client.auth.clientId, 'bob');
    const channel = client.channels.get('mine:c');
    const inbox = await inboxOf(channel);
    await channel.publish('n', 'x');
    assert.equal((await inbox.first(1))[0].clientId, 'bob');
    assert.deepEqual(JSON.parse(client.auth.tokenDetails.capability), { 'mine:*': ['publish', 'subscribe'] });
  });

  scenario(`a requested token connects and publishes over REST, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const details = await rest(emulator, format).auth.requestToken({ clientId: 'carol', ttl: 60_000 });
    assert.equal(details.clientId, 'carol');
    assert.equal(details.expires - details.issued, 60_000);
    const client = await connected(t, emulator, format, { token: details.token });
    const inbox = await inboxOf(client.channels.get('c'));
    await rest(emulator, format, { token: details.token }).channels.get('c').publish('n', 'x');
    assert.equal((await inbox.first(1))[0].clientId, 'carol');
  });

  scenario(`a JWT connects as whom it names, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const token = jwt(emulator.key, { 'x-ably-clientId': 'dave', 'x-ably-capability': '{"*":["*"]}' });
    const client = await connected(t, emulator, format, { token });
    assert.equal(client.auth.clientId, 'dave');
    await client.channels.get('c').presence.enter('x');
    await rest(emulator, format, { token }).channels.get('c').publish('n', 'x');
  });

  scenario(`a forged JWT is refused, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const [name] = emulator.key.split(':');
    const client = realtime(t, emulator, format, { token: jwt(`${name}:guessed`, {}) });
    // Without a way to renew, a token error is the end (RSA4a).
    const { reason } = await settled(client, 'failed', 'disconnected');
    assert.ok([40144, 40171].includes(reason.code), `${reason.code} ${reason.message}`);
  });

  scenario(`a token is renewed while connected, and nothing is missed, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const issuer = rest(emulator, format);
    let tokens = 0;
    const authCallback = (params, done) => {
      tokens += 1;
      issuer.auth.requestToken({ clientId: 'erin', ttl: tokens === 1 ? 3000 : 3_600_000 }).then((r) => done(null, r), done);
    };
    const client = await connected(t, emulator, format, { authCallback });
    const states = new Inbox('connection states');
    client.connection.on(states.put);
    const channel = client.channels.get('c');
    const inbox = await inboxOf(channel);
    const { id } = client.connection;
    const sender = await connected(t, emulator, format);
    let sent = 0;
    while (tokens < 2 || sent < 50 || states.items.at(-1)?.current === 'connecting') {
      await sender.channels.get('c').publish('n', String(sent++));
    }
    const data = (await inbox.first(sent)).map((message) => Number(message.data));
    assert.deepEqual(data, [...Array(sent).keys()]);
    assert.equal(client.connection.id, id, 'the connection outlives its token');
    assert.ok(!states.items.some(({ current }) => ['failed', 'suspended'].includes(current)));
  });

  scenario(`authorize changes what may be done without a new connection, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const issuer = rest(emulator, format);
    let capability = { '*': ['*'] };
    const authCallback = (params, done) => issuer.auth.requestToken({ clientId: 'f', capability }).then((r) => done(null, r), done);
    const client = await connected(t, emulator, format, { authCallback });
    const [kept, lost] = [client.channels.get('kept'), client.channels.get('lost')];
    await Promise.all([kept.attach(), lost.attach()]);
    const failed = new Promise((resolve) => lost.once('failed', resolve));
    const { id } = client.connection;
    capability = { kept: ['publish', 'subscribe'] };
    await client.auth.authorize();
    assert.equal((await failed).reason.code, 40160);
    assert.equal(client.connection.id, id);
    await kept.publish('n', 'x');
    assert.equal(kept.state, 'attached');
  });

  scenario(`an expired token that cannot be renewed ends the connection, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const { token } = await rest(emulator, format).auth.requestToken({ ttl: 1500 });
    const client = await connected(t, emulator, format, { token });
    const { reason } = await settled(client, 'failed');
    assert.ok([40142, 40171].includes(reason.code), `${reason.code} ${reason.message}`);
  });

  scenario(`what a capability denies is refused with 40160, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const capability = { 'only:publish': ['publish'], 'only:subscribe': ['subscribe'], 'all:*': ['*'] };
    const { token } = await rest(emulator, format).auth.requestToken({ clientId: 'g', capability });
    const client = await connected(t, emulator, format, { token });
    await client.channels.get('only:publish').publish('n', 'x');
    await assert.rejects(client.channels.get('only:subscribe').publish('n', 'x'), { code: 40160, statusCode: 401 });
    await assert.rejects(client.channels.get('other').attach(), { code: 40160 });
    assert.equal(client.channels.get('other').state, 'failed');
    await client.channels.get('only:subscribe').attach();
    await assert.rejects(client.channels.get('only:subscribe').presence.enter('x'), { code: 40160 });
    const restClient = rest(emulator, format, { token });
    await restClient.channels.get('all:c').publish('n', 'x');
    await assert.rejects(restClient.channels.get('other').publish('n', 'x'), { code: 40160 });
    await assert.rejects(restClient.channels.get('only:publish').history(), { code: 40160 });
    assert.equal(client.connection.state, 'connected');
  });

  scenario(`a token cannot have more than its key, and nothing in common is an error, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const narrow = await rest(emulator, format).auth.requestToken({ capability: { 'a:*': ['subscribe'] } });
    assert.deepEqual(JSON.parse(narrow.capability), { 'a:*': ['subscribe'] });
    await assert.rejects(rest(emulator, format).auth.requestToken({ capability: { a: ['fly'] } }), { statusCode: 400 });
    await assert.rejects(rest(emulator, format).auth.requestToken({ ttl: 25 * 3600 * 1000 }), { statusCode: 400 });
  });

  scenario(`a token request is used once, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const client = rest(emulator, format);
    const request = await client.auth.createTokenRequest();
    const send = () => client.request('post', `/keys/${request.keyName}/requestToken`, 2, {}, request, {});
    assert.equal((await send()).statusCode, 201);
    const again = await send();
    assert.deepEqual([again.success, again.errorCode], [false, 40105]);
    const stale = await client.auth.createTokenRequest({ timestamp: Date.now() - 3_600_000 });
    await assert.rejects(rest(emulator, format, { authCallback: (_, done) => done(null, stale) }).auth.authorize(), { code: 40104 });
  });

  scenario(`a client cannot be somebody else, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const details = await rest(emulator, format).auth.requestToken({ clientId: 'henry' });
    const authCallback = (_, done) => done(null, details.token);
    const client = realtime(t, emulator, format, { authCallback, clientId: 'imposter' });
    const { reason } = await settled(client, 'failed');
    assert.ok([40102, 40012].includes(reason.code), `${reason.code} ${reason.message}`);
    const honest = await connected(t, emulator, format, { token: details.token });
    await assert.rejects(honest.channels.get('c').publish({ name: 'n', data: 'x', clientId: 'imposter' }), { code: 40012 });
    const restHonest = rest(emulator, format, { token: details.token });
    await assert.rejects(restHonest.channels.get('c').publish({ name: 'n', data: 'x', clientId: 'imposter' }), { code: 40012 });
  });

  scenario(`a wildcard token may be anybody, ${format}`, async (t) => {
    const emulator = await Emulator.start(t);
    const { token } = await rest(emulator, format).auth.requestToken({ clientId: '*' });
    const client = await connected(t, emulator, format, { token });
    const inbox = await inboxOf(client.channels.get('c'));
    await client.channels.get('c').publish({ name: 'n', data: 'x', clientId: 'anyone' });
    await client.channels.get('c').publish({ name: 'n', data: 'x' });
    assert.deepEqual((await inbox.first(2)).map(({ clientId }) => clientId ?? null), ['anyone', null]);
    await client.channels.get('c').presence.enterClient('someone', 'x');
  });
}
