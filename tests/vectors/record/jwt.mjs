// Signs the JWTs of ../jwts.json with node's crypto: node jwt.mjs > ../jwts.json
import { createHmac } from 'node:crypto';

const NOW = 1_700_000_000;
const key = 'app.key:s3cr3t/+\u00e9';
const secret = key.slice(key.indexOf(':') + 1);
const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const sign = (header, claims, signingSecret = secret) => {
  const text = `${part(header)}.${part(claims)}`;
  return `${text}.${createHmac('sha256', signingSecret).update(text).digest('base64url')}`;
};
const header = { typ: 'JWT', alg: 'HS256', kid: 'app.key' };
const claims = { iat: NOW, exp: NOW + 3600, 'x-ably-capability': '{"*":["*"]}', 'x-ably-clientId': 'user-1' };
const good = sign(header, claims);
const [head, body, signature] = good.split('.');
const none = `${part({ ...header, alg: 'none' })}.${body}.`;

const cases = [
  { name: 'as Ably documents it', token: good, claims },
  { name: 'members in another order, and unknown ones', token: sign({ kid: 'app.key', alg: 'HS256' }, { novel: [1], exp: NOW + 60, iat: NOW }), claims: { iat: NOW, exp: NOW + 60 } },
  { name: 'times with a fraction', token: sign(header, { iat: NOW + 0.25, exp: NOW + 60.75 }), claims: { iat: NOW, exp: NOW + 60 } },
  { name: 'expired', token: sign(header, { iat: NOW - 60, exp: NOW - 1 }), code: 40142 },
  { name: 'signed with another secret', token: sign(header, claims, 'guessed'), code: 40144 },
  { name: 'signed by a key nobody has', token: sign({ ...header, kid: 'app.other' }, claims), code: 40101 },
  { name: 'claims changed after signing', token: `${head}.${part({ ...claims, exp: NOW + 9e9 })}.${signature}`, code: 40144 },
  { name: 'no signature', token: `${head}.${body}.`, code: 40144 },
  { name: 'algorithm none', token: none, code: 40144 },
  { name: 'algorithm HS512 claimed', token: sign({ ...header, alg: 'HS512' }, claims), code: 40144 },
  { name: 'two parts', token: `${head}.${body}`, code: 40144 },
  { name: 'four parts', token: `${good}.${signature}`, code: 40144 },
  { name: 'standard base64 instead of base64url', token: `${head}.${body}.${Buffer.from(signature, 'base64url').toString('base64')}`, code: 40144 },
  { name: 'no text at all', token: '', code: 40144 },
];
console.log(JSON.stringify({ key, now: NOW, cases }, null, 1));
