// What has come so far, and ways to wait for more: every wait ends.
import { test } from 'node:test';

/** How long one thing may take before a test gives up; nothing sleeps this long. */
export const PATIENCE_MS = Number(process.env.PATIENCE_MS ?? 30_000);

const endings = new WeakMap();

/** A test with a deadline; what it opened last is closed first. */
export function scenario(name, body) {
  test(name, { timeout: 4 * PATIENCE_MS }, async (t) => {
    endings.set(t, []);
    t.after(async () => {
      for (const end of endings.get(t).reverse()) await end();
    });
    await body(t);
  });
}

/** Calls `end` when the scenario `t` is over. */
export function atEnd(t, end) {
  endings.get(t).push(end);
}

export class Inbox {
  items = [];
  #name;
  #waiting = [];

  constructor(name) {
    this.#name = name;
  }

  put = (item) => {
    this.items.push(item);
    this.#waiting = this.#waiting.filter((check) => !check());
  };

  /** Waits until `count` items have come, and returns the first `count`. */
  async first(count) {
    await this.until((items) => items.length >= count, `${count} items`);
    return this.items.slice(0, count);
  }

  /** Waits until `condition(items)` holds. */
  until(condition, what = 'a condition') {
    if (condition(this.items)) return Promise.resolve(this.items);
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`${this.#name}: ${what} did not come; ${this.items.length} items did`));
      const timer = setTimeout(late, PATIENCE_MS);
      this.#waiting.push(() => {
        if (!condition(this.items)) return false;
        clearTimeout(timer);
        resolve(this.items);
        return true;
      });
    });
  }
}

/** Waits until `probe()` returns something truthy, asking again every 10 ms. */
export async function eventually(probe, what) {
  const giveUp = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > giveUp) throw new Error(`${what} did not happen`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
