/** The host's log. Lines carry the stage and the message's ids by themselves. Never log message content. */

import { has, host } from "./host.js";

/** Whether the host may be told: not while the plugin describes or configures itself. */
let open = false;

/**
 * For the component: whether a message is being judged.
 *
 * @param {boolean} judging
 */
export function openLog(judging) {
  open = judging;
}

/**
 * Writes a line. Dropped in `configure`, and where the world does not import `log`. `console.log` and its like come here, too.
 *
 * @param {"error" | "warn" | "info" | "debug"} level
 * @param {string} text
 */
export function log(level, text) {
  if (open && has("log")) host.log.write(level, text);
}
