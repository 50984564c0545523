/** From a line of the bundle, which the engine names, to the line that its author wrote. */

/**
 * What the build writes below the bundle: files, and for each line of the bundle the index of a file and a line of it, both counted
 * from 0; null where a line comes from nowhere.
 *
 * @typedef {{ files: string[], lines: ([number, number] | null)[] }} Lines
 */

/**
 * Where a line of the bundle comes from; without such a table, it is what it is.
 *
 * @param {string} file
 * @param {number} line Counted from 1.
 * @returns {{ file: string, number: number }}
 */
export function sourceOf(file, line) {
  /** @type {Lines | undefined} */
  const table = /** @type {any} */ (globalThis).wasmilterLines;
  const [index, number] = table?.lines[line - 1] ?? [];
  if (table === undefined || index === undefined || number === undefined) return { file, number: line };
  return { file: table.files[index] ?? file, number: number + 1 };
}
