/** The exports of the contract over a plugin. `sdk/component.js`, which is generated, exports those that the world names. */

import { failureOf } from "./failure.js";
import { MistakeError } from "./host.js";
import { openLog } from "./log.js";
import { Configured } from "./plugin.js";

/** @param {import("./plugin.js").Plugin<any, any>} plugin */
export function exportsOf(plugin) {
  if (typeof plugin?.name !== "string") throw new MistakeError("the policy must `export default definePlugin({ … })`");
  const configured = new Configured(plugin);

  /**
   * @param {import("./plugin.js").Method} method
   * @param {any[]} rest
   */
  const ask = (method, ...rest) => {
    openLog(true);
    try {
      return { ...configured.ask(method, ...rest) };
    } catch (error) {
      throw failureOf(error);
    }
  };

  return {
    lifecycle: {
      describe: () => describe(plugin),
      /** @param {string} config */
      configure(config) {
        const problems = configured.configure(config);
        // The error of the contract's result.
        if (problems.length > 0) throw problems;
      },
    },
    messagePolicy: { decide: () => ask("decide") },
    onConnect: { connect: () => ask("connect") },
    onHelo: { helo: () => ask("helo") },
    onMail: { mail: () => ask("mail") },
    onRcpt: { rcpt: (/** @type {any} */ recipient) => ask("rcpt", recipient) },
  };
}

/** @param {import("./plugin.js").Plugin<any, any>} plugin */
function describe({ name, version, summary, licence = "", homePage = "", grants = [], schema = {} }) {
  return { name, version, summary, licence, homePage, grants, configSchema: JSON.stringify(schema) };
}
