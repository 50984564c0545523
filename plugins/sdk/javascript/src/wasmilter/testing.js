/**
 * Try a policy without the host, for `node --test`: the message is a double. Not part of the component.
 *
 * ```js
 * import policy from "./policy.js";
 * import { Transaction } from "./sdk/wasmilter/testing.js";
 *
 * test("refuses phrases", () => {
 *   const decision = new Transaction(policy, { headers: { Subject: "lottery" }, config: { phrases: ["lottery"] } }).decide();
 *   assert.equal(decision.verdict.tag, "reject");
 * });
 * ```
 *
 * The double has all interfaces, whatever `wit/world.wit` names, and is no judge of what the host refuses: for that, there are the
 * cases (`wasmilter plugin test`).
 */

import { host } from "./host.js";
import { openLog } from "./log.js";
import { Configured } from "./plugin.js";
import { decodeText, encodeText } from "./text.js";

/** @typedef {import("./message.js").FactValue} FactValue */

/**
 * A leaf of the message; `content` is decoded.
 *
 * @typedef {object} TestPart
 * @property {string} [mediaType]
 * @property {string | Uint8Array} [content]
 * @property {"body" | "attachment" | "signed" | "encrypted"} [role]
 * @property {string} [fileName]
 */

/**
 * A message and all that surrounds it; everything has a default.
 *
 * @typedef {object} Surroundings
 * @property {Record<string, string | string[]>} [headers] Decoded text by name.
 * @property {TestPart[]} [parts] One: the message; several: below a multipart/mixed. Default: one empty text.
 * @property {any} [config]
 * @property {Partial<import("./message.js").Client>} [client]
 * @property {string} [sender]
 * @property {string[]} [recipients]
 * @property {Record<string, FactValue>} [facts] Facts of stages before, by full name.
 * @property {Record<string, string>} [services] By name, what a service answers, whatever it is asked; others are not granted.
 * @property {Record<string, Record<string, any[] | null>>} [dns]
 *   By kind and name: `{ addresses: { "example.org": ["192.0.2.7"] } }`; the kinds are `addresses`, `texts`, `mailExchangers` and
 *   `names`. Others have no records; null in place of a list: the question fails.
 * @property {Record<string, Uint8Array | number>} [store] Arrays of bytes are values, numbers counters. Nothing expires.
 * @property {number} [now] Seconds since 1970.
 */

/**
 * What the plugin finds wrong with a configuration.
 *
 * @param {import("./plugin.js").Plugin<any, any>} plugin
 * @param {any} config
 */
export function problems(plugin, config) {
  return new Configured(plugin).configure(JSON.stringify(config));
}

export class Transaction {
  /** What the plugin wrote to services, by name. @type {Record<string, string>} */
  written = {};
  /** Lines of the log. @type {{ level: string, text: string }[]} */
  logged = [];
  #plugin;
  #around;

  /**
   * @param {import("./plugin.js").Plugin<any, any>} plugin
   * @param {Surroundings} [around]
   */
  constructor(plugin, around = {}) {
    this.#plugin = plugin;
    this.#around = around;
  }

  /**
   * Configures the plugin and has it judge the message. What the policy throws is not caught.
   *
   * @returns {import("./decision.js").Decision}
   */
  decide() {
    return /** @type {import("./decision.js").Decision} */ (this.hook("decide"));
  }

  /**
   * The same for a hook: `connect`, `helo`, `mail`, or `rcpt` with a mailbox.
   *
   * @param {import("./plugin.js").Method} method
   * @param {any[]} rest
   */
  hook(method, ...rest) {
    const configured = new Configured(this.#plugin);
    const found = configured.configure(JSON.stringify(this.#around.config ?? {}));
    if (found.length > 0) throw new Error(`the configuration has mistakes: ${JSON.stringify(found)}`);
    const before = { ...host };
    Object.assign(host, this.#interfaces());
    openLog(true);
    try {
      return configured.ask(method, ...rest);
    } finally {
      openLog(false);
      Object.assign(host, before);
    }
  }

  /** @returns {Record<import("./host.js").InterfaceName, any>} */
  #interfaces() {
    const { client, sender = "sender@example.net", recipients = ["recipient@example.org"], facts = {} } = this.#around;
    const { store = {}, now = 1_800_000_000 } = this.#around;
    const info = { ...UNKNOWN_CLIENT, ...client };
    return {
      client: { get: () => info, connected: () => info },
      envelope: { sender: () => mailbox(sender), recipients: () => recipients.map(mailbox), queueId: () => "TEST" },
      facts: { get: (/** @type {string} */ name) => (name in facts ? { tag: "", val: facts[name] } : null) },
      clock: { now: () => now },
      random: { bytes: (/** @type {number} */ length) => new Uint8Array(length) },
      log: { write: (/** @type {string} */ level, /** @type {string} */ text) => this.logged.push({ level, text }) },
      services: services(this.#around.services ?? {}, this.written),
      dns: dns(this.#around.dns ?? {}),
      store: storeOf(store),
      output: output(),
      headers: headersOf(this.#around.headers ?? {}),
      ...contentOf(this.#around.headers ?? {}, this.#around.parts ?? [{}]),
    };
  }
}

const UNKNOWN_CLIENT = {
  address: "192.0.2.1",
  port: 0,
  hostname: "",
  helo: "",
  authUser: "",
  authMechanism: "",
  tlsVersion: "",
  tlsCipher: "",
  listener: "",
};

/**
 * An address of the envelope.
 *
 * @param {string} address
 * @returns {import("./message.js").Mailbox}
 */
export function mailbox(address) {
  const at = address.lastIndexOf("@");
  return { address, local: address.slice(0, at), domain: address.slice(at + 1).toLowerCase(), arguments: [] };
}

/** @param {Record<string, string | string[]>} fields */
function headersOf(fields) {
  const all = Object.entries(fields).flatMap(([name, values]) => [values].flat().map((text) => ({ name, text })));
  const named = (/** @type {string} */ name) => all.filter((field) => field.name.toLowerCase() === name.toLowerCase());
  const raw = (/** @type {typeof all} */ found) =>
    found.map(({ name, text }) => ({ name, value: encodeText(` ${text}`) }));
  return {
    all: () => raw(all),
    get: (/** @type {string} */ name) => raw(named(name)),
    count: (/** @type {string} */ name) => named(name).length,
    text: (/** @type {string} */ name) => named(name).map(({ text }) => text),
    addresses: (/** @type {string} */ name) => named(name).flatMap(({ text }) => text.split(",").map(addressOf)),
  };
}

/** @param {string} text */
function addressOf(text) {
  const found = /^\s*"?(.*?)"?\s*<([^>]*)>\s*$/.exec(text);
  return found ? { name: found[1] ?? "", address: found[2] ?? "" } : { name: "", address: text.trim() };
}

/**
 * @param {Record<string, string | string[]>} headers
 * @param {TestPart[]} leaves
 */
function contentOf(headers, leaves) {
  const several = leaves.length > 1;
  const root = { ...part({}, 0), kind: "multipart", role: "container", mediaType: "multipart/mixed" };
  const parts = [...(several ? [root] : []), ...leaves.map((leaf, index) => part(leaf, index + (several ? 1 : 0)))];
  const bytes = parts.map(({ content }) => content);
  const head = Object.entries(headers).flatMap(([name, values]) => [values].flat().map((text) => `${name}: ${text}\r\n`));
  const raw = encodeText(`${head.join("")}\r\n${bytes.map(decodeText).join("\r\n")}`);
  const slice = (/** @type {Uint8Array} */ from, /** @type {number} */ offset, /** @type {number} */ length) =>
    from.slice(offset, offset + Math.min(length, 65536));
  const content = (/** @type {number} */ id) => bytes[id] ?? fail(`there is no part ${id}`);
  return {
    raw: { size: () => raw.length, read: (/** @type {[number, number]} */ ...at) => slice(raw, ...at) },
    parts: {
      all: () => parts,
      headerFields: () => [],
      size: (/** @type {number} */ id) => content(id).length,
      read: (/** @type {number} */ id, /** @type {[number, number]} */ ...at) => slice(content(id), ...at),
      text: (/** @type {number} */ id, /** @type {number} */ limit) => decodeText(content(id).slice(0, limit)),
      readEntity: (/** @type {number} */ id, /** @type {[number, number]} */ ...at) => slice(content(id), ...at),
    },
  };
}

/**
 * @param {TestPart} leaf
 * @param {number} id
 */
function part({ mediaType = "text/plain", content = "", fileName = "", role }, id) {
  const bytes = typeof content === "string" ? encodeText(content) : content;
  return {
    id,
    parent: 0,
    kind: "leaf",
    role: role ?? (fileName || !mediaType.startsWith("text/") ? "attachment" : "body"),
    mediaType,
    charset: "utf-8",
    encoding: "8bit",
    disposition: fileName ? "attachment" : "",
    fileName,
    contentId: "",
    encodedSize: bytes.length,
    defects: [],
    content: bytes,
  };
}

/**
 * @param {Record<string, string>} answers
 * @param {Record<string, string>} written
 */
function services(answers, written) {
  /** @type {{ service: string, left: Uint8Array }[]} */
  const streams = [];
  const stream = (/** @type {number} */ id) => streams[id] ?? fail({ tag: "closed" });
  return {
    open(/** @type {string} */ service) {
      const answer = answers[service] ?? fail({ tag: "denied" });
      return streams.push({ service, left: encodeText(answer) }) - 1;
    },
    write(/** @type {number} */ id, /** @type {Uint8Array} */ bytes) {
      const { service } = stream(id);
      written[service] = (written[service] ?? "") + decodeText(bytes);
    },
    finish() {},
    read(/** @type {number} */ id, /** @type {number} */ max) {
      const found = stream(id);
      const piece = found.left.slice(0, max);
      found.left = found.left.slice(max);
      return piece;
    },
    close() {},
  };
}

/** @param {Record<string, Record<string, any[] | null>>} answers */
function dns(answers) {
  const asked = (/** @type {string} */ kind) => (/** @type {string} */ name) => {
    const found = answers[kind]?.[name];
    return found === null ? fail({ tag: "failed", val: name }) : (found ?? []);
  };
  return {
    addresses: asked("addresses"),
    texts: asked("texts"),
    mailExchangers: asked("mailExchangers"),
    names: asked("names"),
  };
}

/** @param {Record<string, Uint8Array | number>} entries */
function storeOf(entries) {
  return {
    get: (/** @type {string} */ key) => (entries[key] instanceof Uint8Array ? entries[key] : null),
    set(/** @type {string} */ key, /** @type {Uint8Array} */ value) {
      entries[key] = value;
    },
    remove(/** @type {string} */ key) {
      delete entries[key];
    },
    add(/** @type {string} */ key, /** @type {number} */ amount) {
      const old = entries[key];
      const sum = (typeof old === "number" ? old : 0) + amount;
      if (amount > 0) entries[key] = sum;
      return sum;
    },
  };
}

function output() {
  /** @type {number[][]} */
  const blobs = [];
  return {
    create: () => blobs.push([]) - 1,
    append: (/** @type {number} */ id, /** @type {Uint8Array} */ bytes) => blobs[id]?.push(...bytes),
    appendEntity: (/** @type {number} */ id, /** @type {number} */ part) =>
      blobs[id]?.push(...host.parts.readEntity(part, 0, 65536)),
  };
}

/**
 * @param {unknown} value
 * @returns {never}
 */
function fail(value) {
  throw value;
}
