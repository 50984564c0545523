/** Why a plugin could not decide. */

import { MistakeError } from "./host.js";
import { sourceOf } from "./lines.js";

/**
 * Throw it in `decide` or a hook to say "I could not decide". The stage's `on_failure` says what then happens.
 *
 * The message goes to the log: what was being done, to what, what went wrong; no message content, no secrets.
 */
export class Failure extends Error {
  name = "Failure";
  /** @type {"internal" | "service" | "unsupported"} */
  kind = "internal";
}

/** A service that the plugin needs did not answer, or not sensibly. */
export class ServiceFailure extends Failure {
  name = "ServiceFailure";
  kind = /** @type {const} */ ("service");
}

/** The message is beyond what the plugin can handle. */
export class Unsupported extends Failure {
  name = "Unsupported";
  kind = /** @type {const} */ ("unsupported");
}

/**
 * What the host is told of something that was thrown. The text of an error is left out, unless the layer wrote it: it may quote
 * the message.
 *
 * @param {unknown} thrown
 * @returns {{ kind: "internal" | "service" | "unsupported", detail: string }}
 */
export function failureOf(thrown) {
  if (thrown instanceof Failure) return { kind: thrown.kind, detail: thrown.message };
  if (!(thrown instanceof Error)) return { kind: "internal", detail: `something that is no Error was thrown: ${typeof thrown}` };
  const text = thrown instanceof MistakeError ? `: ${thrown.message}` : "";
  return { kind: "internal", detail: `${thrown.name}${placeOf(thrown)}${text}` };
}

/**
 * ` at policy.ts:42`: the innermost line of the author's own.
 *
 * @param {Error} error
 */
export function placeOf(error) {
  for (const line of (error.stack ?? "").split("\n")) {
    const found = /([^\s(@]+):(\d+):\d+\)?$/.exec(line);
    if (!found) continue;
    const { file, number } = sourceOf(found[1] ?? "", Number(found[2]));
    if (!/(^|\/)wasmilter(\/|\.js$)|^node:/.test(file)) return ` at ${file.slice(file.lastIndexOf("/") + 1)}:${number}`;
  }
  return "";
}
