// A client of ably.sock: one JSON object a line, correlated by request_id.
import { connect } from 'node:net';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import { Inbox } from './inbox.mjs';

export class Ipc {
  #socket;
  #next = 0;
  #waiting = new Map();
  #subscriptions = new Map();

  static async connect(path) {
    const socket = connect(path);
    await once(socket, 'connect');
    return new Ipc(socket);
  }

  constructor(socket) {
    this.#socket = socket;
    socket.on('error', () => {});
    const lines = createInterface({ input: socket, crlfDelay: Infinity });
    lines.on('line', (line) => this.#read(JSON.parse(line)));
  }

  request(op, fields) {
    const request_id = `r${this.#next++}`;
    this.#socket.write(JSON.stringify({ op, request_id, ...fields }) + '\n');
    return new Promise((resolve) => this.#waiting.set(request_id, resolve));
  }

  /** Subscribes, and returns the inbox its messages come into. */
  async subscribe(channel, event) {
    const subscription_id = `s${this.#next++}`;
    const inbox = new Inbox(`message.v1 of ${channel}`);
    this.#subscriptions.set(subscription_id, inbox);
    const ack = await this.request('subscribe.v1', { subscription_id, channel, event });
    if (!ack.ok) throw new Error(ack.error);
    return inbox;
  }

  close() {
    this.#socket.destroy();
  }

  #read(answer) {
    if (answer.op === 'message.v1') {
      const payload = Buffer.from(answer.payload_b64, 'base64');
      this.#subscriptions.get(answer.subscription_id).put({ ...answer, payload });
      return;
    }
    const resolve = this.#waiting.get(answer.request_id);
    if (!resolve) throw new Error(`an answer nobody waits for: ${JSON.stringify(answer)}`);
    this.#waiting.delete(answer.request_id);
    resolve(answer);
  }
}
