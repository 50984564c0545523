/**
 * Write plugins for Wasmilter, the milter host, in JavaScript and TypeScript.
 *
 * A plugin is what `policy.js` or `policy.ts` exports by default; `decide` is called once for every message:
 *
 * ```js
 * import { Decision, definePlugin } from "./sdk/wasmilter.js";
 *
 * export default definePlugin({
 *   name: "phrases",
 *   version: "0.1.0",
 *   summary: "Refuses phrases.",
 *   grants: ["headers"],
 *   decide(message, config) {
 *     const refused = config.phrases.some((phrase) => message.subject.includes(phrase));
 *     return refused ? Decision.reject("not wanted here") : Decision.next();
 *   },
 * });
 * ```
 *
 * Every message meets the plugin as `configure` left it: what `decide` writes to variables is gone afterwards. An exception in
 * `decide` becomes a failure ("could not decide") with its type and line; the stage's `on_failure` then says what happens to
 * the message.
 *
 * The project's `wit/world.wit` names the interfaces that the plugin uses. One that it does not name throws `NotImportedError`.
 */

export { fileOf, filesOf, Problems } from "./wasmilter/config.js";
export { Blob, Decision, HookDecision } from "./wasmilter/decision.js";
export { addresses, DnsError, mailExchangers, names, texts } from "./wasmilter/dns.js";
export { Failure, ServiceFailure, Unsupported } from "./wasmilter/failure.js";
export { NotImportedError } from "./wasmilter/host.js";
export { log } from "./wasmilter/log.js";
export { Facts, Headers, Message, Part } from "./wasmilter/message.js";
export { definePlugin } from "./wasmilter/plugin.js";
export { connect, Connection, ServiceError } from "./wasmilter/service.js";
export { store, StoreError } from "./wasmilter/store.js";
export { now, randomBytes } from "./wasmilter/system.js";
export { decodeText, encodeText } from "./wasmilter/text.js";

/** @typedef {import("./wasmilter/config.js").Problem} Problem */
/** @typedef {import("./wasmilter/config.js").ConfigFile} ConfigFile */
/** @typedef {import("./wasmilter/config.js").ConfigDirectory} ConfigDirectory */
/** @typedef {import("./wasmilter/decision.js").Content} Content */
/** @typedef {import("./wasmilter/decision.js").ReplyOptions} ReplyOptions */
/** @typedef {import("./wasmilter/message.js").Address} Address */
/** @typedef {import("./wasmilter/message.js").Client} Client */
/** @typedef {import("./wasmilter/message.js").FactValue} FactValue */
/** @typedef {import("./wasmilter/message.js").HeaderField} HeaderField */
/** @typedef {import("./wasmilter/message.js").Mailbox} Mailbox */
/** @typedef {import("./wasmilter/plugin.js").Plugin} Plugin */
