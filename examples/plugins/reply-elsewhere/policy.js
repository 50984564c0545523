// Notices mail whose answers would go to another domain than it says it comes from. README.md tells how to configure it.

import { Decision, definePlugin, Problems } from "./sdk/wasmilter.js";

const SUBJECT = "[answer goes elsewhere]";

/** Whether two domains are the same, or one is below the other: mail.example.org and example.org. */
const related = (/** @type {string} */ one, /** @type {string} */ other) =>
  one === other || one.endsWith(`.${other}`) || other.endsWith(`.${one}`);

export default definePlugin({
  name: "reply-elsewhere",
  version: "1.0.0",
  summary: "Notices mail whose answers would go to another domain than its sender's",
  licence: "Apache-2.0",
  grants: ["headers"],
  schema: {
    type: "object",
    additionalProperties: false,
    properties: {
      allow: {
        description: "domains that answers may go to, whoever the mail is from; their subdomains count, too",
        type: "array",
        items: { type: "string" },
      },
      action: { description: "what becomes of such mail", enum: ["mark", "quarantine", "none"] },
    },
  },

  /** @param {{ allow?: string[], action?: string }} config */
  configure({ allow = [], action = "mark" }) {
    const problems = new Problems();
    for (const [at, domain] of allow.entries()) {
      if (!/^[^\s@]+\.[^\s@]+$/.test(domain)) {
        problems.add(`/allow/${at}`, `must be a domain such as example.org, is ${domain}`);
      }
    }
    problems.throwIfAny();
    return { allow: allow.map((domain) => domain.toLowerCase()), action };
  },

  decide(message, { allow, action }) {
    const from = message.headers.addresses("From").map(({ domain }) => domain);
    const elsewhere = message.headers
      .addresses("Reply-To")
      .map(({ domain }) => domain)
      .filter((to) => to !== "")
      .filter((to) => !from.some((domain) => related(domain, to)))
      .filter((to) => !allow.some((domain) => to === domain || to.endsWith(`.${domain}`)));
    // Lists answer for their members.
    if (from.length === 0 || elsewhere.length === 0 || message.headers.count("List-Id") > 0) {
      return Decision.next().fact("elsewhere", false);
    }
    const decision = action === "quarantine" ? Decision.quarantine("answers go to another domain") : Decision.next();
    decision.fact("elsewhere", true).fact("domains", elsewhere);
    if (action === "mark") decision.setSubject(`${SUBJECT} ${message.subject}`.slice(0, 500));
    return decision;
  },
});
