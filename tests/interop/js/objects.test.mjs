// Object sets through falco.sock, read by stock LiveObjects.
import assert from 'node:assert/strict';
import { LiveObjects } from 'ably/liveobjects';

import { Chain } from './support/chain.mjs';
import { Inbox, eventually, scenario } from './support/inbox.mjs';
import { FORMATS, realtime } from './support/sdk.mjs';

const CHANNEL = 'session:s1:status';
const modes = ['OBJECT_SUBSCRIBE', 'OBJECT_PUBLISH'];

/** A daemon that sets keys of the channel's root map. */
async function setter(chain) {
  const daemon = await chain.daemon();
  return async (key, payload) => {
    const effect = { type: 'agent_status_changed', channel: CHANNEL, object_key: key, payload };
    assert.deepEqual(await daemon.send(JSON.stringify(effect)), { ok: true, error: '' });
  };
}

for (const format of FORMATS) {
  scenario(`a LiveObjects client reads what was set before and sees what is set after, ${format}`, async (t) => {
    const chain = await Chain.start(t);
    const set = await setter(chain);
    const values = { status: { state: 'running', n: [1.1, null] }, word: 'text', number: 0.1, flag: true };
    for (const [key, value] of Object.entries(values)) await set(key, value);
    const client = realtime(t, chain, format, { plugins: { LiveObjects } });
    const root = await client.channels.get(CHANNEL, { modes }).object.get();
    assert.deepEqual(root.compactJson(), values);
    const updates = new Inbox('object updates');
    root.subscribe(updates.put);
    await set('word', 'newer');
    await updates.first(1);
    assert.deepEqual(root.compactJson(), { ...values, word: 'newer' });
  });

  scenario(`what a LiveObjects client sets, others see, ${format}`, async (t) => {
    const chain = await Chain.start(t);
    const set = await setter(chain);
    await set('word', 'text');
    const [one, two] = await Promise.all(FORMATS.map((f) => {
      const client = realtime(t, chain, f, { plugins: { LiveObjects } });
      return client.channels.get(CHANNEL, { modes }).object.get();
    }));
    await one.set('word', 'from one');
    await two.set('other', 2);
    await one.remove('other');
    const settled = () => [one, two].every((root) => JSON.stringify(root.compactJson()) === '{"word":"from one"}');
    await eventually(settled, 'the same map on both sides');
  });
}
