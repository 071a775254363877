// A real chain of its own: `falco up` in a temporary base directory, and
// `falco stop` at the end, after which nothing may be left. Or only its
// emulator, in the foreground.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import { Falco } from './falco.mjs';
import { Ipc } from './ipc.mjs';
import { atEnd, eventually } from './inbox.mjs';

const run = promisify(execFile);
const BINARY = process.env.FALCO_UNDER_TEST ?? 'falco';
const SOCKETS = ['falco.sock', 'ably.sock', 'ably-auth.sock', 'falco-control.sock'];

export const DEVICE = '0f8fad5b-d9cb-469f-a165-70867728950e';
export const USER = 'user-1';

export class Chain {
  base = mkdtempSync(join(tmpdir(), 'falco-interop-'));
  #clients = [];

  /** As `start`, with an API key and an endpoint instead of an emulator of its own. */
  static withKey(t, { key, port }) {
    return Chain.start(t, { env: { ABLY_API_KEY: key, DAEMON_ABLY_ENDPOINT: `http://127.0.0.1:${port}` } });
  }

  /** Starts a chain that is stopped when the test `t` ends. */
  static async start(t, { env = {}, args = [] } = {}) {
    const chain = new Chain();
    atEnd(t, () => chain.stop());
    await chain.falco(['up', '--device-id', DEVICE, '--user-id', USER, ...args], env);
    return chain;
  }

  /** Runs a verb of falco on this chain and returns its standard output. */
  async falco(args, env = {}) {
    const [verb, ...rest] = args;
    const environment = { ...process.env, ABLY_API_KEY: '', ...env, UNBOUND_BASE_DIR: this.base };
    const { stdout } = await run(BINARY, [verb, ...rest], { env: environment });
    return stdout;
  }

  get port() {
    return Number(readFileSync(join(this.base, 'emulator/port'), 'utf8'));
  }

  get key() {
    return readFileSync(join(this.base, 'emulator/key'), 'utf8').trim();
  }

  /** A daemon's connection to falco.sock. */
  async daemon() {
    return this.#keep(await Falco.connect(join(this.base, 'falco.sock')));
  }

  /** A client of ably.sock. */
  async ipc() {
    return this.#keep(await Ipc.connect(join(this.base, 'ably.sock')));
  }

  #keep(client) {
    this.#clients.push(client);
    return client;
  }

  /** What `falco status --json` says; it fails while a part is not ready. */
  async status() {
    const printed = await this.falco(['status', '--json']).catch(({ stdout }) => stdout);
    return JSON.parse(printed);
  }

  /** The part called `name`, as the status has it. */
  async part(name) {
    return (await this.status()).parts.find((part) => part.name === name);
  }

  /** Kills a sidecar for good; `restarted` resolves when another answers in its place. */
  async kill(name) {
    const { pid: old } = await this.part(name);
    process.kill(old, 'SIGKILL');
    const replaced = async () => {
      const { pid, ready } = await this.part(name);
      return ready && pid !== old;
    };
    return { restarted: eventually(replaced, `a restart of ${name}`) };
  }

  async stop() {
    for (const client of this.#clients) client.close();
    const { pid, parts } = await this.status();
    await this.falco(['stop']);
    const left = SOCKETS.filter((name) => existsSync(join(this.base, name)));
    assert.deepEqual(left, [], 'stop removes the sockets');
    const pids = [pid, ...parts.map((part) => part.pid)].filter(Boolean);
    assert.deepEqual(await running(pids), [], 'stop ends every process');
    rmSync(this.base, { recursive: true });
  }
}

/** The commands of those of `pids` that run; a zombie waits for its parent, not for us. */
async function running(pids) {
  const { stdout } = await run('ps', ['-o', 'stat=,args=', '-p', pids.join()]).catch(({ stdout }) => ({ stdout }));
  return stdout.split('\n').filter((line) => line && !line.startsWith('Z'));
}

export class Emulator {
  base = mkdtempSync(join(tmpdir(), 'falco-interop-'));
  port;
  #child;

  /** Starts an emulator that is stopped when the test `t` ends. */
  static async start(t, args = []) {
    const emulator = new Emulator();
    atEnd(t, () => emulator.stop());
    await emulator.#spawn(['--listen', '127.0.0.1:0', ...args]);
    return emulator;
  }

  get key() {
    return readFileSync(join(this.base, 'key'), 'utf8').trim();
  }

  async #spawn(args) {
    this.#child = spawn(BINARY, ['emulator', '--dir', this.base, ...args], { stdio: ['ignore', 'inherit', 'pipe'] });
    for await (const line of createInterface({ input: this.#child.stderr })) {
      const [, port] = line.match(/listens on 127\.0\.0\.1:(\d+)/) ?? [];
      if (!port) continue;
      this.port = Number(port);
      this.#child.stderr.resume();
      return;
    }
    throw new Error('the emulator ended before it was ready');
  }

  /** Kills the emulator for good and starts another on the same port. */
  async restart(signal = 'SIGKILL') {
    await this.#end(signal);
    await this.#spawn(['--listen', `127.0.0.1:${this.port}`]);
  }

  async #end(signal) {
    const exited = once(this.#child, 'exit');
    this.#child.kill(signal);
    return exited;
  }

  async stop() {
    const [code] = await this.#end('SIGTERM');
    assert.equal(code, 0, 'the emulator exits cleanly');
    rmSync(this.base, { recursive: true });
  }
}
