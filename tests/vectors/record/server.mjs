// A stand-in for Ably that answers with the fewest literal frames that keep a
// stock SDK talking, and writes down every byte the SDK sends.
//
//   node server.mjs OUT_DIR
//
// Prints the port it listens on. Knows nothing of falco: its answers are the
// ones of the Ably documents, encoded by JSON.stringify or @ably/msgpack-js.
import { createServer } from 'node:http';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WebSocketServer } from 'ws';
import msgpack from '@ably/msgpack-js';

const out = process.argv[2];
const ACTIONS = [
  'heartbeat', 'ack', 'nack', 'connect', 'connected', 'disconnect', 'disconnected', 'close', 'closed', 'error', 'attach',
  'attached', 'detach', 'detached', 'presence', 'message', 'sync', 'auth',
];
const PRESENCE = ['absent', 'present', 'enter', 'leave', 'update'];
const KEPT_HEADERS = ['authorization', 'content-type', 'accept', 'x-ably-version', 'x-ably-clientid', 'ably-agent'];
const taken = new Map();

function save(format, name, extension, bytes) {
  const base = `${format}/${name}`;
  const count = (taken.get(base) ?? 0) + 1;
  taken.set(base, count);
  mkdirSync(join(out, format), { recursive: true });
  writeFileSync(join(out, format, `${name}${count > 1 ? `-${count}` : ''}.${extension}`), bytes);
}

function nameOf(message) {
  const action = ACTIONS[message.action ?? 0] ?? `action-${message.action}`;
  if (message.messages) return `${action}-${message.messages[0].name ?? 'nameless'}`;
  if (message.presence) return `${action}-${PRESENCE[message.presence[0].action ?? 0]}`;
  return action;
}

function answers(message, state) {
  const { channel, msgSerial = 0 } = message;
  switch (message.action ?? 0) {
    case 0: return [{ action: 0, id: message.id }];
    case 7: return [{ action: 8 }];
    case 10: return [{ action: 11, channel, channelSerial: '01745828651671-000@e025VxXLABoR0C19591332', flags: message.flags ?? 983040 }];
    case 12: return [{ action: 13, channel }];
    case 14: case 15: {
      const count = (message.messages ?? message.presence).length;
      const serials = Array.from({ length: count }, (_, i) => `01745828651671-000@e025VxXLABoR0C19591332:00${i}`);
      return [{ action: 1, msgSerial, count: 1, res: [{ serials }] }];
    }
    case 17: return [connected(state)];
    default: return [];
  }
}

function connected({ clientId }) {
  return {
    action: 4,
    connectionId: 'QcH6yZ',
    connectionDetails: {
      ...(clientId && { clientId }), connectionKey: 'QcH6yZ!key', maxMessageSize: 65536, maxFrameSize: 524288, maxInboundRate: 50,
      connectionStateTtl: 120000, maxIdleInterval: 15000, serverId: 'recorder', siteCode: 'e02',
    },
  };
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => rest(request, Buffer.concat(chunks), response));
});

function rest(request, body, response) {
  const binary = (request.headers['content-type'] ?? request.headers.accept ?? '').includes('msgpack');
  const format = binary ? 'msgpack' : 'json';
  const path = request.url.split('?')[0].split('/').filter(Boolean).map(decodeURIComponent);
  const headers = Object.fromEntries(KEPT_HEADERS.filter((h) => request.headers[h]).map((h) => [h, request.headers[h]]));
  const record = { method: request.method, url: request.url, headers };
  if (body.length > 0) record[binary ? 'body_hex' : 'body'] = body.toString(binary ? 'hex' : 'utf8');
  const decoded = body.length === 0 ? undefined : binary ? msgpack.decode(body) : JSON.parse(body);
  const first = Array.isArray(decoded) ? decoded[0] : decoded;
  const suffix = path.at(-1) === 'messages' && first ? `-${first.name ?? 'nameless'}` : '';
  const what = path[0] === 'channels' && path.length === 2 ? 'status' : path.at(-1);
  save(format, `rest-${request.method.toLowerCase()}-${what}${suffix}`, 'http.json', JSON.stringify(record, null, 2) + '\n');
  const [status, value] = restAnswer(request.method, path, decoded);
  const encoded = binary ? msgpack.encode(value) : JSON.stringify(value);
  response.writeHead(status, { 'content-type': binary ? 'application/x-msgpack' : 'application/json' }).end(encoded);
}

function restAnswer(method, path, body) {
  if (path[0] === 'time') return [200, [Date.now()]];
  if (path[2] === 'requestToken') {
    const issued = Date.now();
    const capability = body.capability || '{"*":["*"]}';
    return [201, { token: 'recorded.token', keyName: path[1], issued, expires: issued + 3600000, capability, ...(body.clientId && { clientId: body.clientId }) }];
  }
  if (method === 'POST') return [201, { channel: path[1], messageId: 'recorded', serials: [] }];
  return [200, []];
}

const sockets = new WebSocketServer({ server });
sockets.on('connection', (socket, request) => {
  const query = new URL(request.url, 'ws://recorder').searchParams;
  const format = query.get('format') === 'msgpack' ? 'msgpack' : 'json';
  const encode = (value) => (format === 'msgpack' ? msgpack.encode(value) : JSON.stringify(value));
  const state = { clientId: query.get('clientId') ?? undefined };
  save(format, 'connect', 'url', request.url + '\n');
  socket.send(encode(connected(state)));
  socket.on('message', (bytes) => {
    const message = format === 'msgpack' ? msgpack.decode(bytes) : JSON.parse(bytes);
    if (format === 'msgpack') save(format, nameOf(message), 'hex', bytes.toString('hex') + '\n');
    else save(format, nameOf(message), 'json', bytes);
    for (const answer of answers(message, state)) socket.send(encode(answer));
  });
});

server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume().on('end', () => process.exit(0));
