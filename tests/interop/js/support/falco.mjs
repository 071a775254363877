// A daemon's side of falco.sock: binary frames, all integers little-endian.
//
//   const falco = await Falco.connect('/home/me/.unbound/falco.sock');
//   await falco.publish({ channel: 'c', event: 'e', payload: { any: 'JSON' } });
//
// Whatever was not acked with SUCCESS is the daemon's to send again.
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { once } from 'node:events';

const HEADER = 28; // total_len, type, flags, reserved, effect_id, payload_len
const SIDE_EFFECT = 0x03;
const PUBLISH_ACK = 0x04;
const SUCCESS = 0x01;

export class Falco {
  #socket;
  #waiting = new Map(); // effect id in hex → settle
  #buffer = Buffer.alloc(0);

  static async connect(path) {
    const socket = connect(path);
    await once(socket, 'connect');
    return new Falco(socket);
  }

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', (bytes) => this.#read(bytes));
    socket.on('error', () => {});
    socket.on('close', () => this.#fail(new Error('falco closed the connection')));
  }

  /** Sends one side effect; rejects with Falco's reason when it failed. */
  async publish(effect) {
    const { ok, error } = await this.send(JSON.stringify(effect));
    if (!ok) throw new Error(error);
  }

  /** Sends JSON as it is, and returns what became of it: { ok, error }. */
  send(json, effectId = randomBytes(16)) {
    const payload = Buffer.from(json);
    const frame = Buffer.alloc(HEADER + payload.length);
    frame.writeUInt32LE(HEADER - 4 + payload.length, 0);
    frame.writeUInt8(SIDE_EFFECT, 4);
    effectId.copy(frame, 8);
    frame.writeUInt32LE(payload.length, 24);
    payload.copy(frame, HEADER);
    this.#socket.write(frame);
    return new Promise((resolve, reject) => this.#waiting.set(effectId.toString('hex'), { resolve, reject }));
  }

  close() {
    this.#socket.destroy();
  }

  #read(bytes) {
    this.#buffer = this.#buffer.length > 0 ? Buffer.concat([this.#buffer, bytes]) : bytes;
    while (this.#buffer.length >= HEADER) {
      const end = 4 + this.#buffer.readUInt32LE(0);
      if (this.#buffer.length < end) return;
      this.#settle(this.#buffer.subarray(0, end));
      this.#buffer = this.#buffer.subarray(end);
    }
  }

  #settle(frame) {
    const id = frame.toString('hex', 8, 24);
    const waiting = this.#waiting.get(id);
    if (frame[4] !== PUBLISH_ACK || !waiting) throw new Error(`falco sent a frame that nobody waits for: ${id}`);
    this.#waiting.delete(id);
    waiting.resolve({ ok: frame[5] === SUCCESS, error: frame.toString('utf8', HEADER) });
  }

  #fail(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
