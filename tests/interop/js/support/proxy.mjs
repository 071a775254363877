// A TCP proxy whose connections can be cut.
import { createServer, connect } from 'node:net';
import { once } from 'node:events';

import { atEnd } from './inbox.mjs';

export class Proxy {
  #server;
  #upstream;
  #pairs = new Set();

  static async start(t, upstream) {
    const proxy = new Proxy();
    proxy.#upstream = upstream;
    proxy.#server = createServer((client) => proxy.#join(client));
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    atEnd(t, () => {
      proxy.#server.close();
      proxy.cut();
    });
    return proxy;
  }

  get port() {
    return this.#server.address().port;
  }

  /** Resets every connection as it stands, whatever is in flight. */
  cut() {
    for (const [client, server] of this.#pairs) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  #join(client) {
    const server = connect(this.#upstream, '127.0.0.1');
    const pair = [client, server];
    this.#pairs.add(pair);
    for (const [from, to] of [[client, server], [server, client]]) {
      from.setNoDelay(true);
      from.on('error', () => {});
      from.on('close', () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
      from.pipe(to);
    }
  }
}
