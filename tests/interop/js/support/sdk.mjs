// Stock Ably clients, pointed at a chain's emulator.
import { createHmac } from 'node:crypto';
import * as Ably from 'ably';

import { Inbox, atEnd } from './inbox.mjs';

export const FORMATS = ['json', 'msgpack'];

/** What every client needs to find the emulator; the port may be a proxy's. */
function options(chain, format, more) {
  return {
    endpoint: '127.0.0.1',
    port: chain.port,
    tls: false,
    useBinaryProtocol: format === 'msgpack',
    // The machine may have no network beyond itself.
    disableConnectivityCheck: true,
    disconnectedRetryTimeout: 250,
    channelRetryTimeout: 250,
    logLevel: 0,
    ...('authCallback' in more || 'token' in more || 'key' in more ? {} : { key: chain.key }),
    ...more,
  };
}

/** A realtime client that closes when the test `t` ends; not yet connected. */
export function realtime(t, chain, format, more = {}) {
  const client = new Ably.Realtime(options(chain, format, more));
  atEnd(t, () => {
    if (['closed', 'failed'].includes(client.connection.state)) return client.close();
    const over = Promise.race([client.connection.whenState('closed'), client.connection.whenState('failed')]);
    client.close();
    return over;
  });
  return client;
}

/** A realtime client that is connected. */
export async function connected(t, chain, format, more = {}) {
  const client = realtime(t, chain, format, more);
  await client.connection.whenState('connected');
  return client;
}

export function rest(chain, format, more = {}) {
  return new Ably.Rest(options(chain, format, more));
}

/** Attaches and returns the inbox the channel's messages come into. */
export async function inboxOf(channel, ...filter) {
  const inbox = new Inbox(`messages of ${channel.name}`);
  await channel.subscribe(...filter, inbox.put);
  return inbox;
}

/** A JWT as Ably documents it, made with node's crypto. */
export function jwt(key, claims) {
  const [name, secret] = [key.slice(0, key.indexOf(':')), key.slice(key.indexOf(':') + 1)];
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const text = `${part({ typ: 'JWT', alg: 'HS256', kid: name })}.${part({ iat: now, exp: now + 3600, ...claims })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** The payload as bytes, whatever a sender's SDK made of it. */
export function bytesOf({ data }) {
  if (Buffer.isBuffer(data)) return data;
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return Buffer.from(data);
  return Buffer.from(typeof data === 'string' ? data : JSON.stringify(data));
}
