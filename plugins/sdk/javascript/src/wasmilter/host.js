/**
 * The interfaces of the contract that the project's world imports, as objects of functions. The component's entry
 * (`sdk/component.js`, generated) puts them in; in tests, `testing.js` puts doubles in their place.
 */

const INTERFACES = /** @type {const} */ ([
  "client",
  "envelope",
  "headers",
  "parts",
  "raw",
  "facts",
  "output",
  "services",
  "dns",
  "store",
  "clock",
  "random",
  "log",
]);

/** @typedef {typeof INTERFACES[number]} InterfaceName */

/** A mistake of the plugin that the layer found. Its text quotes names of the plugin, never the message. */
export class MistakeError extends Error {
  name = "MistakeError";
}

/** The plugin used an interface that its world does not import. */
export class NotImportedError extends MistakeError {
  name = "NotImportedError";
}

/**
 * What the layer calls: `host.headers.all()`.
 *
 * @type {Record<InterfaceName, any>}
 */
export const host = /** @type {any} */ ({});
for (const name of INTERFACES) host[name] = missing(name);

/**
 * Whether the world imports an interface.
 *
 * @param {InterfaceName} name
 */
export function has(name) {
  return !host[name].isMissing;
}

/**
 * Calls the host for a function that may end with an error; gives that error to `wrap` as kind and detail.
 *
 * @template T
 * @param {() => T} call
 * @param {(kind: string, detail: string) => Error} wrap
 * @returns {T}
 */
export function ask(call, wrap) {
  try {
    return call();
  } catch (error) {
    // One engine throws the contract's value, the other an Error around it.
    const value = /** @type {any} */ (error)?.payload ?? error;
    if (typeof value?.tag !== "string") throw error;
    throw wrap(value.tag, value.val ?? "");
  }
}

/** @param {string} name */
function missing(name) {
  return new Proxy(
    {},
    {
      get(_, property) {
        if (property === "isMissing") return true;
        const line = `import wasmilter:policy/${name}@1.0.0;`;
        throw new NotImportedError(`${name} is not imported: add \`${line}\` to wit/world.wit`);
      },
    },
  );
}
