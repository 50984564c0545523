/** What a plugin has to say: a verdict, edits, facts. */

import { host } from "./host.js";
import { encodeText } from "./text.js";

/** Bytes that are handed to the host in one call. */
const PIECE = 64 * 1024;

/** @typedef {import("./message.js").FactValue} FactValue */
/** @typedef {import("./message.js").Part} Part */

/**
 * What the SMTP client is told beside the text. `code`: 500–599 for a rejection, 400–499 for a temporary failure. `enhanced`: a
 * status such as `5.7.1`. What is left out is the host's default.
 *
 * @typedef {{ code?: number, enhanced?: string }} ReplyOptions
 */

/**
 * A new part, or what a part is replaced by. The host encodes the content and writes the header fields.
 *
 * @typedef {object} NewPart
 * @property {string} mediaType Such as `text/plain`.
 * @property {Content} content
 * @property {string} [fileName]
 * @property {string} [disposition] `inline` or `attachment`; left out: `attachment` when there is a file name.
 * @property {string} [contentId] Without angle brackets, for pictures that HTML refers to.
 */

/**
 * Content of an edit; text is written as UTF-8.
 *
 * @typedef {string | Uint8Array | Blob} Content
 */

/** Large content for an edit, written in pieces so that it never stands in the plugin's memory as a whole. */
export class Blob {
  /** @type {number} */
  id = host.output.create();

  /**
   * Appends.
   *
   * @param {Uint8Array | string} data
   */
  write(data) {
    const bytes = typeof data === "string" ? encodeText(data) : data;
    for (let at = 0; at < bytes.length; at += PIECE) host.output.append(this.id, bytes.subarray(at, at + PIECE));
  }

  /**
   * Appends a part as it stands in the message, without moving it through the plugin. Needs the grant `raw`.
   *
   * @param {Part | number} part
   */
  writeEntity(part) {
    host.output.appendEntity(this.id, idOf(part));
  }
}

/** Answer of the hooks `connect`, `helo`, `mail` and `rcpt`: `next`, `reject` or `tempfail`, and facts. */
export class HookDecision {
  /** In the contract's form. @type {{ tag: string, val?: any }} */
  verdict = { tag: "next" };
  /** In the contract's form. @type {{ name: string, value: { tag: string, val: FactValue } }[]} */
  facts = [];

  /**
   * Go on.
   *
   * @template {HookDecision} D
   * @this {new () => D}
   * @returns {D}
   */
  static next() {
    return new this();
  }

  /**
   * Refuse for good (5xx). At connect and HELO: the session, at MAIL: the transaction, at RCPT: the recipient.
   *
   * @template {HookDecision} D
   * @this {new () => D}
   * @param {string} [text]
   * @param {ReplyOptions} [options]
   * @returns {D}
   */
  static reject(text = "", options = {}) {
    return decided(new this(), "reject", reply(text, options));
  }

  /**
   * Refuse for now (4xx); the client tries again later.
   *
   * @template {HookDecision} D
   * @this {new () => D}
   * @param {string} [text]
   * @param {ReplyOptions} [options]
   * @returns {D}
   */
  static tempfail(text = "", options = {}) {
    return decided(new this(), "tempfail", reply(text, options));
  }

  /**
   * Publishes a fact for later stages, conditions and logs; `score` of stage `spam` is `spam.score` to them.
   *
   * @param {string} name Lower case letters, digits and `_`.
   * @param {FactValue} value
   * @returns {this}
   */
  fact(name, value) {
    this.facts.push({ name, value: factOf(name, value) });
    return this;
  }
}

/**
 * All that a plugin has to say about a message. Methods give the decision back, so that calls can be chained:
 *
 * ```js
 * return Decision.next().addHeader("X-Seen", "yes").fact("seen", true);
 * ```
 *
 * The host checks all edits before it applies the first; a single bad one refuses the decision as a whole.
 */
export class Decision extends HookDecision {
  /** In the contract's form. @type {{ tag: string, val: any }[]} */
  edits = [];

  /** Deliver; later stages do not run. */
  static accept() {
    return decided(new Decision(), "accept");
  }

  /** Answer 250, deliver to nobody. */
  static discard() {
    return decided(new Decision(), "discard");
  }

  /**
   * Hold the message back in the mail server's quarantine.
   *
   * @param {string} reason At most 100 characters, for the administrator.
   */
  static quarantine(reason) {
    return decided(new Decision(), "quarantine", reason);
  }

  /**
   * Adds a field below all others. Needs the grant `headers`, as do all up to `setSubject`.
   *
   * @param {string} name
   * @param {string} value US-ASCII, as it will stand in the message.
   */
  addHeader(name, value) {
    return this.#edit("add-header", { name, value });
  }

  /**
   * Inserts a field above all others. Several: the first ends on top.
   *
   * @param {string} name
   * @param {string} value
   */
  insertHeader(name, value) {
    return this.#edit("insert-header", { name, value });
  }

  /**
   * Replaces the value of one occurrence, counted from 1 at the top.
   *
   * @param {string} name
   * @param {string} value
   * @param {number} [occurrence]
   */
  replaceHeader(name, value, occurrence = 1) {
    return this.#edit("replace-header", { name, occurrence, value });
  }

  /**
   * Removes one occurrence, or with 0 every one.
   *
   * @param {string} name
   * @param {number} [occurrence]
   */
  removeHeader(name, occurrence = 0) {
    return this.#edit("remove-header", { name, occurrence });
  }

  /**
   * Sets the subject, as people read it; the host encodes it.
   *
   * @param {string} text
   */
  setSubject(text) {
    return this.#edit("set-subject", text);
  }

  /**
   * Replaces a part and everything below it. Needs the grants of the parts that go.
   *
   * @param {Part | number} part
   * @param {NewPart} replacement
   */
  replacePart(part, replacement) {
    return this.#edit("replace-part", { part: idOf(part), replacement: newPart(replacement) });
  }

  /**
   * Removes a part and everything below it. Needs the same.
   *
   * @param {Part | number} part
   */
  removePart(part) {
    return this.#edit("remove-part", idOf(part));
  }

  /**
   * Adds a part at the end. Needs the grant `attachments`.
   *
   * @param {NewPart} part
   */
  addPart(part) {
    return this.#edit("add-part", newPart(part));
  }

  /**
   * Puts text below what people read: `plain` in text/plain parts, the fragment `html` in text/html parts. Needs the grant `text`.
   *
   * @param {{ plain?: string, html?: string }} texts
   */
  appendText({ plain = "", html = "" }) {
    return this.#edit("append-text", { plain, html });
  }

  /**
   * Puts text above what people read, in the same way.
   *
   * @param {{ plain?: string, html?: string }} texts
   */
  prependText({ plain = "", html = "" }) {
    return this.#edit("prepend-text", { plain, html });
  }

  /**
   * Replaces the whole content: MIME header fields, and the body as it goes out. Needs the grant `raw`.
   *
   * @param {{ name: string, value: string }[]} headers
   * @param {Content} body
   */
  replaceContent(headers, body) {
    return this.#edit("replace-content", { headers, body: contentOf(body) });
  }

  /**
   * Changes the envelope's sender; empty: the null sender. Needs the grant `recipients`, as do the next two.
   *
   * @param {string} address
   * @param {string[]} [esmtp]
   */
  setSender(address, esmtp = []) {
    return this.#edit("set-sender", { address, arguments: esmtp });
  }

  /**
   * Adds a recipient.
   *
   * @param {string} address
   * @param {string[]} [esmtp]
   */
  addRecipient(address, esmtp = []) {
    return this.#edit("add-recipient", { address, arguments: esmtp });
  }

  /**
   * Removes a recipient, named as in `message.recipients`.
   *
   * @param {string} address
   */
  removeRecipient(address) {
    return this.#edit("remove-recipient", address);
  }

  /**
   * Sets the client for all later stages. Needs the grant `set-client`.
   *
   * @param {{ address: string, port?: number, hostname?: string, helo?: string }} client
   */
  setClient({ address, port = 0, hostname = "", helo = "" }) {
    return this.#edit("set-client", { address, port, hostname, helo });
  }

  /**
   * @param {string} tag
   * @param {any} val
   */
  #edit(tag, val) {
    this.edits.push({ tag, val });
    return this;
  }
}

/**
 * @template {HookDecision} D
 * @param {D} decision
 * @param {string} tag
 * @param {any} [val]
 * @returns {D}
 */
function decided(decision, tag, val) {
  decision.verdict = val === undefined ? { tag } : { tag, val };
  return decision;
}

/**
 * @param {string} text
 * @param {ReplyOptions} options
 */
function reply(text, { code = 0, enhanced = "" }) {
  return { code, enhanced, text };
}

/**
 * @param {string} name
 * @param {FactValue} value
 */
function factOf(name, value) {
  if (typeof value === "boolean") return { tag: "flag", val: value };
  if (typeof value === "number") return { tag: "number", val: value };
  if (typeof value === "string") return { tag: "text", val: value };
  if (Array.isArray(value)) return { tag: "texts", val: value.map(String) };
  throw new TypeError(`fact ${name} must be a boolean, a number, a text or a list of texts`);
}

/** @param {NewPart} part */
function newPart({ mediaType, content, fileName = "", disposition = "", contentId = "" }) {
  return { mediaType, fileName, disposition, contentId, content: contentOf(content) };
}

/** @param {Content} content */
function contentOf(content) {
  if (content instanceof Blob) return { tag: "blob", val: content.id };
  return { tag: "inline", val: typeof content === "string" ? encodeText(content) : content };
}

/** @param {Part | number} part */
function idOf(part) {
  return typeof part === "number" ? part : part.id;
}
