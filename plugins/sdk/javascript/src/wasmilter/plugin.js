/** What an author writes: an object with `decide`, or hooks, or both. */

import { Problems } from "./config.js";
import { Decision, HookDecision } from "./decision.js";
import { placeOf } from "./failure.js";
import { MistakeError } from "./host.js";
import { Message } from "./message.js";

/** @typedef {import("./config.js").Problem} Problem */
/** @typedef {import("./message.js").Mailbox} Mailbox */

/**
 * A plugin. The world in `wit/world.wit` says which of `decide` and the hooks are asked.
 *
 * @template [Config=any] What the configuration is, when it fits the schema.
 * @template [State=Config] What `configure` makes of it.
 * @typedef {object} Plugin
 * @property {string} name Short name in lower case.
 * @property {string} version semver.
 * @property {string} summary One sentence: what the plugin does.
 * @property {string[]} [grants] What the plugin can make use of.
 * @property {string} [licence] SPDX expression.
 * @property {string} [homePage] URL.
 * @property {object} [schema] JSON Schema of the configuration, which the host holds it against before `configure` is called.
 * @property {(config: Config) => State} [configure]
 *   Called once, before any message: compile and check here. What it returns, `decide` gets. Throw `Problems` for what is wrong.
 *   It must not ask for the message, nor use services, DNS, the store, the clock: the host would have to configure anew
 *   for every message. Left out: the state is the configuration.
 * @property {(message: Message, state: State) => Decision} [decide] Judges a message, after its last byte has arrived.
 * @property {(message: Message, state: State) => HookDecision} [connect] A client connects; `message.client` is known.
 * @property {(message: Message, state: State) => HookDecision} [helo] At every HELO or EHLO.
 * @property {(message: Message, state: State) => HookDecision} [mail] At MAIL FROM; `message.sender` is known.
 * @property {(message: Message, state: State, recipient: Mailbox) => HookDecision} [rcpt] At every RCPT TO.
 */

/**
 * For types: `export default definePlugin({ … })`.
 *
 * @template [Config=any]
 * @template [State=Config]
 * @param {Plugin<Config, State>} plugin
 * @returns {Plugin<Config, State>}
 */
export function definePlugin(plugin) {
  return plugin;
}

/** @typedef {"decide" | "connect" | "helo" | "mail" | "rcpt"} Method */

/** A plugin and what `configure` made: what the component and `testing.js` call. */
export class Configured {
  /** @type {any} */
  #state;
  #configured = false;

  /** @param {Plugin<any, any>} plugin */
  constructor(plugin) {
    this.plugin = plugin;
  }

  /**
   * Gives what is wrong with the configuration.
   *
   * @param {string} json
   * @returns {Problem[]}
   */
  configure(json) {
    try {
      const config = JSON.parse(json);
      this.#state = this.plugin.configure ? this.plugin.configure(config) : config;
      this.#configured = true;
      return [];
    } catch (error) {
      if (error instanceof Problems) return error.list;
      // Not a message: the text of the error may be told.
      const text = error instanceof Error ? `${error.name}${placeOf(error)}: ${error.message}` : String(error);
      return [{ path: "", message: text }];
    }
  }

  /**
   * Asks the policy about the message at hand.
   *
   * @param {Method} method
   * @param {any[]} rest
   */
  ask(method, ...rest) {
    const wanted = method === "decide" ? Decision : HookDecision;
    const answer = this.#method(method).call(this.plugin, new Message(), this.#state, ...rest);
    if (answer?.constructor === wanted) return answer;
    throw new MistakeError(`${method} must return a ${wanted.name}, not ${answer?.constructor?.name ?? typeof answer}`);
  }

  /**
   * @param {Method} name
   * @returns {(...args: any[]) => any}
   */
  #method(name) {
    const method = this.plugin[name];
    if (!this.#configured) throw new MistakeError("was not configured");
    if (!method) throw new MistakeError(`wit/world.wit exports it, but the plugin has no ${name}`);
    return method;
  }
}
