/** The message at hand: nothing is copied into the plugin before it is asked for. */

import { host } from "./host.js";

/** What one call of the host gives at most. */
const PIECE = 64 * 1024;

/**
 * The SMTP client. Texts are empty where nothing is known.
 *
 * @typedef {object} Client
 * @property {string} address IPv4 or IPv6 address; empty for local submission.
 * @property {number} port 0: not known.
 * @property {string} hostname Host name that the mail server verified.
 * @property {string} helo Name given at HELO or EHLO.
 * @property {string} authUser User name when the client authenticated.
 * @property {string} authMechanism
 * @property {string} tlsVersion Such as `TLSv1.3`; empty without TLS.
 * @property {string} tlsCipher
 * @property {string} listener Name of the mail server's listener.
 */

/**
 * An address of the envelope.
 *
 * @typedef {object} Mailbox
 * @property {string} address `user@example.org`; empty for the null sender.
 * @property {string} local Part before the last `@`, as written.
 * @property {string} domain Part after the last `@`, in lower case.
 * @property {string[]} arguments ESMTP arguments such as `SIZE=1000`.
 */

/**
 * One address of a From, To, Cc… field.
 *
 * @typedef {object} Address
 * @property {string} name Display name, decoded; empty when there is none.
 * @property {string} address May be something else than an address when the field is malformed.
 * @property {string} domain Part after the last `@`, in lower case; empty when there is none.
 */

/**
 * A header field as it stands in the message; `value` is everything after the colon.
 *
 * @typedef {{ name: string, value: Uint8Array }} HeaderField
 */

/** @typedef {boolean | number | string | string[]} FactValue */

/** The message at hand, or in a hook the SMTP transaction so far. */
export class Message {
  headers = new Headers();
  facts = new Facts();

  /**
   * The client as stages before this one restored it, otherwise the connected one.
   *
   * @returns {Client}
   */
  get client() {
    return host.client.get();
  }

  /**
   * The host that is connected to the mail server, whatever stages before this one found out.
   *
   * @returns {Client}
   */
  get connected() {
    return host.client.connected();
  }

  /**
   * Sender of the envelope. Needs the grant `envelope`, as do the next two.
   *
   * @returns {Mailbox}
   */
  get sender() {
    return host.envelope.sender();
  }

  /**
   * Recipients that the mail server accepted so far.
   *
   * @returns {Mailbox[]}
   */
  get recipients() {
    return host.envelope.recipients();
  }

  /**
   * The mail server's queue id; empty while it has none.
   *
   * @returns {string}
   */
  get queueId() {
    return host.envelope.queueId();
  }

  /** The first Subject field, decoded; empty when there is none. Needs the grant `headers`. */
  get subject() {
    return this.headers.get("Subject") ?? "";
  }

  /**
   * All parts in order of appearance; the first is the root. Needs one of the grants `text` and `attachments`.
   *
   * @returns {Part[]}
   */
  get parts() {
    return host.parts.all().map((/** @type {any} */ part) => new Part(part));
  }

  /** The parts that people read as the message's text, plain and HTML. */
  get texts() {
    return this.parts.filter((part) => part.isText);
  }

  /** Files, inline pictures, forwarded messages. */
  get attachments() {
    return this.parts.filter((part) => part.role === "attachment");
  }

  /**
   * Size of the message in bytes. Needs the grant `raw`.
   *
   * @returns {number}
   */
  get size() {
    return host.raw.size();
  }

  /**
   * The whole message in pieces, lines ended by CRLF. Needs the grant `raw`.
   *
   * @returns {Generator<Uint8Array, void>}
   */
  pieces() {
    return pieces((offset) => host.raw.read(offset, PIECE));
  }
}

/** The header fields, as the stages before this one left them. Names are compared without case. Needs the grant `headers`. */
export class Headers {
  /**
   * All fields, from the top.
   *
   * @returns {HeaderField[]}
   */
  all() {
    return host.headers.all();
  }

  /**
   * The first field of that name, as people read it: unfolded, trimmed, encoded words decoded.
   *
   * @param {string} name
   * @returns {string | undefined}
   */
  get(name) {
    return host.headers.text(name)[0];
  }

  /**
   * All fields of that name, from the top, in the same way.
   *
   * @param {string} name
   * @returns {string[]}
   */
  getAll(name) {
    return host.headers.text(name);
  }

  /**
   * Whether there is a field of that name.
   *
   * @param {string} name
   */
  has(name) {
    return this.count(name) > 0;
  }

  /**
   * How many fields there are of that name.
   *
   * @param {string} name
   * @returns {number}
   */
  count(name) {
    return host.headers.count(name);
  }

  /**
   * The fields of that name, from the top, as they stand in the message.
   *
   * @param {string} name
   * @returns {HeaderField[]}
   */
  raw(name) {
    return host.headers.get(name);
  }

  /**
   * The mailboxes in all fields of that name; groups flattened.
   *
   * @param {string} name
   * @returns {Address[]}
   */
  addresses(name) {
    return host.headers.addresses(name).map((/** @type {any} */ found) => ({ ...found, domain: domainOf(found.address) }));
  }
}

/** A part of the MIME tree. Its content is read when it is asked for. */
export class Part {
  /** @param {any} part As the contract gives it. */
  constructor(part) {
    /** 0 is the root; ids count in order of appearance. @type {number} */
    this.id = part.id;
    /** Id of the enclosing part; for the root 0, itself. @type {number} */
    this.parent = part.parent;
    /** @type {"leaf" | "multipart" | "message"} */
    this.kind = part.kind;
    /** What it is to the reader. @type {"body" | "attachment" | "signed" | "encrypted" | "container"} */
    this.role = part.role;
    /** In lower case without parameters, such as `text/plain`. @type {string} */
    this.mediaType = part.mediaType;
    /** In lower case; empty when missing. @type {string} */
    this.charset = part.charset;
    /** Content-Transfer-Encoding in lower case. @type {string} */
    this.encoding = part.encoding;
    /** `inline`, `attachment` or another token in lower case; empty when missing. @type {string} */
    this.disposition = part.disposition;
    /** Decoded; empty for none. @type {string} */
    this.fileName = part.fileName;
    /** Without angle brackets; empty for none. @type {string} */
    this.contentId = part.contentId;
    /** Bytes of the content as it stands in the message, transfer-encoded. @type {number} */
    this.encodedSize = part.encodedSize;
    /** What was wrong with this part, such as `missing-end-boundary`. @type {string[]} */
    this.defects = part.defects;
  }

  /** Whether people read it as the message's text, plain or HTML. */
  get isText() {
    return this.role === "body" && this.mediaType.startsWith("text/");
  }

  /**
   * Header fields of the part; those of the root need the grant `headers`.
   *
   * @returns {HeaderField[]}
   */
  get headers() {
    return host.parts.headerFields(this.id);
  }

  /**
   * Decoded size in bytes; 0 for a part that is no leaf. Decodes the part.
   *
   * @returns {number}
   */
  get size() {
    return host.parts.size(this.id);
  }

  /**
   * Content of a text part, decoded from its charset; at most `limit` bytes of it as UTF-8.
   *
   * @param {number} [limit]
   * @returns {string}
   */
  text(limit = 1 << 20) {
    return host.parts.text(this.id, limit);
  }

  /**
   * Decoded content of a leaf: at most `length` bytes (at most 65 536) from `offset`; fewer at the end, none past it.
   *
   * @param {number} offset
   * @param {number} length
   * @returns {Uint8Array}
   */
  read(offset, length) {
    return Uint8Array.from(host.parts.read(this.id, offset, Math.min(length, PIECE)));
  }

  /**
   * The decoded content of a leaf in pieces.
   *
   * @returns {Generator<Uint8Array, void>}
   */
  pieces() {
    return pieces((offset) => host.parts.read(this.id, offset, PIECE));
  }

  /**
   * The part as it stands in the message, header fields included, in pieces. Needs the grant `raw`.
   *
   * @returns {Generator<Uint8Array, void>}
   */
  entityPieces() {
    return pieces((offset) => host.parts.readEntity(this.id, offset, PIECE));
  }
}

/** What stages before this one published, by full name: `facts.get("spam.score")`. */
export class Facts {
  /**
   * @param {string} name
   * @returns {FactValue | undefined}
   */
  get(name) {
    return host.facts.get(name)?.val;
  }
}

/**
 * @param {(offset: number) => Uint8Array} read
 * @returns {Generator<Uint8Array, void>}
 */
function* pieces(read) {
  for (let offset = 0; ; ) {
    const piece = read(offset);
    if (piece.length === 0) return;
    offset += piece.length;
    yield piece;
  }
}

/** @param {string} address */
function domainOf(address) {
  const at = address.lastIndexOf("@");
  return at < 0 ? "" : address.slice(at + 1).toLowerCase();
}
