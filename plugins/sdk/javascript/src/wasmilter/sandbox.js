/**
 * Makes JavaScript work where it would end in a trap that says nothing: a plugin has no clock, no randomness and no standard output
 * but the contract's. Imported by the component's entry alone, before the policy.
 */

import { host } from "./host.js";
import { log } from "./log.js";
import { randomBytes } from "./system.js";
import { decodeText, encodeText } from "./text.js";

const EngineDate = Date;

/** `new Date()` asks the contract's clock. */
class PluginDate extends EngineDate {
  /** @param {any[]} values */
  constructor(...values) {
    // @ts-expect-error the constructor of Date has overloads
    super(...(values.length === 0 ? [PluginDate.now()] : values));
  }

  static now() {
    return Math.floor(host.clock.now() * 1000);
  }
}

/** @type {any} */
const global = globalThis;
global.Date = PluginDate;
global.performance = { now: () => PluginDate.now() };
Math.random = () => new DataView(randomBytes(4).buffer).getUint32(0) / 2 ** 32;
global.console = Object.fromEntries(
  Object.entries({ debug: "debug", log: "info", info: "info", warn: "warn", error: "error", trace: "debug" }).map(
    ([name, level]) => [
      name,
      (/** @type {any[]} */ ...values) => log(/** @type {any} */ (level), values.map(shown).join(" ")),
    ],
  ),
);

// Only where the engine has none: enough for UTF-8.
global.TextEncoder ??= class {
  encoding = "utf-8";

  encode(text = "") {
    return encodeText(String(text));
  }
};
global.TextDecoder ??= class {
  encoding = "utf-8";

  constructor(encoding = "utf-8") {
    if (!/^utf-?8$/i.test(encoding)) throw new RangeError(`only utf-8 is known, not ${encoding}`);
  }

  /** @param {any} bytes */
  decode(bytes = new Uint8Array()) {
    return decodeText(bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes.buffer ?? bytes));
  }
};

/** @param {unknown} value */
function shown(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  return JSON.stringify(value) ?? String(value);
}
