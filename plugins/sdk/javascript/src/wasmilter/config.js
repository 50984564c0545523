/** What a plugin finds wrong with its configuration, and the files in it. */

import { decodeText, encodeText } from "./text.js";

/**
 * One thing that is wrong. `path`: a JSON pointer such as `/thresholds/reject`, empty: the whole. `message`: what is wrong, the
 * value, what is allowed; lower case, no full stop: `must be above 0, is -3`.
 *
 * @typedef {{ path: string, message: string }} Problem
 */

/**
 * What the host puts in the place of `{ file = "/path" }`.
 *
 * @typedef {{ file: string, content?: string, base64?: string }} ConfigFile
 */

/**
 * What the host puts in the place of `{ directory = "/path" }`.
 *
 * @typedef {{ directory: string, files: { name: string, content?: string, base64?: string }[] }} ConfigDirectory
 */

/**
 * All that is wrong with a configuration: collect, then throw.
 *
 * ```js
 * const problems = new Problems();
 * if (config.limit < 1) problems.add("/limit", `must be above 0, is ${config.limit}`);
 * problems.throwIfAny();
 * ```
 */
export class Problems extends Error {
  name = "Problems";

  /** @param {Problem[]} [list] */
  constructor(list = []) {
    super("the configuration has mistakes");
    /** @type {Problem[]} */
    this.list = list;
  }

  /**
   * @param {string} path
   * @param {string} message
   */
  add(path, message) {
    this.list.push({ path, message });
  }

  /** Throws itself when there is any. */
  throwIfAny() {
    if (this.list.length > 0) throw this;
  }
}

/**
 * A file of the configuration.
 *
 * @param {{ file?: string, name?: string, content?: string, base64?: string }} value
 * @returns {{ name: string, text: string, bytes: Uint8Array }}
 * @throws {Error} When it is something else.
 */
export function fileOf(value) {
  const name = value?.file ?? value?.name ?? "";
  if (typeof value?.content === "string") return { name, text: value.content, bytes: encodeText(value.content) };
  if (typeof value?.base64 !== "string") throw new Error('must be a file, written { file = "…" }');
  const bytes = fromBase64(value.base64);
  return { name, text: decodeText(bytes), bytes };
}

/**
 * The files of a directory of the configuration, sorted by name.
 *
 * @param {ConfigDirectory} value
 * @throws {Error} When it is something else.
 */
export function filesOf(value) {
  if (!Array.isArray(value?.files)) throw new Error('must be a directory, written { directory = "…" }');
  return value.files.map(fileOf);
}

/** @param {string} text */
function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
