/** UTF-8 to bytes and back: one of the engines has no TextEncoder. */

/**
 * @param {string} text
 * @returns {Uint8Array}
 */
export function encodeText(text) {
  const bytes = [];
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    // A half of a pair alone can not be written.
    const point = code >= 0xd800 && code <= 0xdfff ? 0xfffd : code;
    if (point < 0x80) bytes.push(point);
    else if (point < 0x800) bytes.push(0xc0 | (point >> 6), 0x80 | (point & 63));
    else if (point < 0x10000) bytes.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
    else bytes.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 63), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
  }
  return Uint8Array.from(bytes);
}

/**
 * What is not UTF-8 becomes U+FFFD.
 *
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function decodeText(bytes) {
  const pieces = [];
  let piece = "";
  for (let at = 0; at < bytes.length; ) {
    const { point, length } = characterAt(bytes, at);
    piece += String.fromCodePoint(point);
    at += length;
    // Adding to one long string copies it again and again in some engines.
    if (piece.length > 4096) {
      pieces.push(piece);
      piece = "";
    }
  }
  return pieces.join("") + piece;
}

const BROKEN = 0xfffd;

/**
 * @param {Uint8Array} bytes
 * @param {number} at
 * @returns {{ point: number, length: number }}
 */
function characterAt(bytes, at) {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return { point: first, length: 1 };
  const more = first >= 0xf0 && first < 0xf5 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : 0;
  if (more === 0 || first >= 0xf5) return { point: BROKEN, length: 1 };
  let point = first & (0x3f >> more);
  for (let index = 1; index <= more; index++) {
    const next = bytes[at + index] ?? 0;
    if ((next & 0xc0) !== 0x80) return { point: BROKEN, length: index };
    point = (point << 6) | (next & 63);
  }
  const smallest = [0, 0x80, 0x800, 0x10000][more] ?? 0;
  if (point < smallest || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return { point: BROKEN, length: 1 };
  return { point, length: more + 1 };
}
