/** Time of day and randomness. */

import { host } from "./host.js";

/**
 * The time. Needs the grant `clock`; `new Date()` and `Date.now()` are the same.
 *
 * @returns {Date}
 */
export function now() {
  return new Date(host.clock.now() * 1000);
}

/**
 * At most 4096 bytes fit for keys. Needs the grant `random`.
 *
 * @param {number} length
 * @returns {Uint8Array}
 */
export function randomBytes(length) {
  return Uint8Array.from(host.random.bytes(length));
}
