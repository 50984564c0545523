/**
 * The domain name system. Needs the grant `dns`. No records of the kind asked for (NXDOMAIN or no data) is an empty list, not an
 * error.
 */

import { ServiceFailure } from "./failure.js";
import { ask, host } from "./host.js";

/** A question was not answered. Left alone it becomes a failure of kind `service`. */
export class DnsError extends ServiceFailure {
  name = "DnsError";

  /**
   * @param {string} reason `timed-out`, `failed` or `limit`.
   * @param {string} detail
   */
  constructor(reason, detail) {
    super(`dns: ${reason}${detail && `: ${detail}`}`);
    this.reason = reason;
  }
}

/** @type {(reason: string, detail: string) => Error} */
const wrap = (reason, detail) => new DnsError(reason, detail);

/**
 * IPv4 and IPv6 addresses of a name, following CNAME. Also the way to ask block lists.
 *
 * @param {string} name
 * @returns {string[]}
 */
export function addresses(name) {
  return ask(() => host.dns.addresses(name), wrap);
}

/**
 * TXT records; the strings of one record are joined without a space.
 *
 * @param {string} name
 * @returns {string[]}
 */
export function texts(name) {
  return ask(() => host.dns.texts(name), wrap);
}

/**
 * MX records by rising preference. `host` is without the final dot; empty for the null MX (RFC 7505).
 *
 * @param {string} name
 * @returns {{ preference: number, host: string }[]}
 */
export function mailExchangers(name) {
  return ask(() => host.dns.mailExchangers(name), wrap);
}

/**
 * Host names of an IPv4 or IPv6 address (PTR), without the final dot.
 *
 * @param {string} address
 * @returns {string[]}
 */
export function names(address) {
  return ask(() => host.dns.names(address), wrap);
}
