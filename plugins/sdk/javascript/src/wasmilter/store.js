/** What a plugin remembers from one message to the next. Needs the grant `store`, or `store:NAME` to share it. */

import { ServiceFailure } from "./failure.js";
import { ask, host } from "./host.js";

/** The store could not be used. Left alone it becomes a failure of kind `service`. */
export class StoreError extends ServiceFailure {
  name = "StoreError";

  /**
   * @param {string} reason `unavailable` or `limit`: a key above 512 bytes, a value above 65 536, too many entries or calls.
   * @param {string} detail
   */
  constructor(reason, detail) {
    super(`store: ${reason}${detail && `: ${detail}`}`);
    this.reason = reason;
  }
}

/** @type {(reason: string, detail: string) => Error} */
const wrap = (reason, detail) => new StoreError(reason, detail);

/** Keys with values that expire. Counters and values have key spaces of their own. */
export const store = {
  /**
   * The value; undefined when there is none, or it has expired.
   *
   * @param {string} key
   * @returns {Uint8Array | undefined}
   */
  get(key) {
    return ask(() => host.store.get(key), wrap) ?? undefined;
  },

  /**
   * Sets a value that expires after that many seconds (at least 1, at most 31 622 400).
   *
   * @param {string} key
   * @param {Uint8Array} value
   * @param {number} seconds
   */
  set(key, value, seconds) {
    ask(() => host.store.set(key, value, seconds), wrap);
  },

  /**
   * Removes a value or a counter; it need not exist.
   *
   * @param {string} key
   */
  remove(key) {
    ask(() => host.store.remove(key), wrap);
  },

  /**
   * Adds to a counter in one step and gives the new value. A counter that does not exist begins at 0 and lives for that many
   * seconds, whatever is added later: a fixed window. With 0 to add it is read without being made.
   *
   * @param {string} key
   * @param {number} amount
   * @param {number} seconds
   * @returns {number}
   */
  add(key, amount, seconds) {
    return ask(() => host.store.add(key, amount, seconds), wrap);
  },
};
