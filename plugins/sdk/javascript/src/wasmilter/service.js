/** Network services that the administrator named and granted as `service:NAME`. */

import { ServiceFailure } from "./failure.js";
import { ask, host } from "./host.js";
import { decodeText, encodeText } from "./text.js";

/** Bytes that are handed over in one call. */
const PIECE = 64 * 1024;

/** A service could not be used. Left alone it becomes a failure of kind `service`. */
export class ServiceError extends ServiceFailure {
  name = "ServiceError";

  /**
   * @param {string} service
   * @param {string} reason `denied`, `unreachable`, `timed-out`, `closed` or `limit`.
   * @param {string} detail
   */
  constructor(service, reason, detail = "") {
    super(`service ${service}: ${reason}${detail && `: ${detail}`}`);
    this.service = service;
    this.reason = reason;
  }
}

/**
 * Opens a stream to a service. Close it; the host closes what is left open when the call ends.
 *
 * @param {string} service
 * @returns {Connection}
 */
export function connect(service) {
  return new Connection(service, ask(() => host.services.open(service), (...why) => new ServiceError(service, ...why)));
}

/** A stream of bytes. Waiting ends at the host's time limits. */
export class Connection {
  #id;
  #service;

  /**
   * @param {string} service
   * @param {number} id
   */
  constructor(service, id) {
    this.#service = service;
    this.#id = id;
  }

  /**
   * Writes all of it; text as UTF-8.
   *
   * @param {Uint8Array | string} data
   */
  write(data) {
    const bytes = typeof data === "string" ? encodeText(data) : data;
    for (let at = 0; at < bytes.length; at += PIECE) {
      this.#ask(() => host.services.write(this.#id, bytes.subarray(at, at + PIECE)));
    }
  }

  /** Says that nothing more will be written. */
  finish() {
    this.#ask(() => host.services.finish(this.#id));
  }

  /**
   * At least one and at most `max` bytes (at most 65 536), waiting for them; none at the end of the stream.
   *
   * @param {number} [max]
   * @returns {Uint8Array}
   */
  read(max = PIECE) {
    return this.#ask(() => Uint8Array.from(host.services.read(this.#id, Math.min(max, PIECE))));
  }

  /**
   * What is left up to the end of the stream as text; at most `limit` bytes, then `limit` is thrown.
   *
   * @param {number} [limit]
   * @returns {string}
   */
  readText(limit = 1 << 20) {
    const pieces = [];
    let size = 0;
    for (let piece = this.read(); piece.length > 0; piece = this.read()) {
      size += piece.length;
      if (size > limit) throw new ServiceError(this.#service, "limit", `answered more than ${limit} bytes`);
      pieces.push(piece);
    }
    const all = new Uint8Array(size);
    let at = 0;
    for (const piece of pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return decodeText(all);
  }

  close() {
    host.services.close(this.#id);
  }

  /**
   * @template T
   * @param {() => T} call
   * @returns {T}
   */
  #ask(call) {
    return ask(call, (...why) => new ServiceError(this.#service, ...why));
  }
}
