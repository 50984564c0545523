// Rejects mail by phrases in its subject, and marks the rest.

import { Decision, definePlugin, Problems } from "./sdk/wasmilter.js";

export default definePlugin({
  name: "{{name}}",
  version: "0.1.0",
  summary: "Rejects mail by phrases in its subject, and marks the rest",
  grants: ["headers"],
  schema: {
    type: "object",
    additionalProperties: false,
    required: ["phrases"],
    properties: {
      phrases: {
        description: "mail is rejected by these in its subject",
        type: "array",
        minItems: 1,
        items: { type: "string" },
      },
    },
  },

  /** Called once, when the plugin is loaded: what it returns, `decide` gets for every message. */
  configure(/** @type {{ phrases: string[] }} */ { phrases }) {
    const problems = new Problems();
    if (phrases.length === 0) problems.add("/phrases", "must have at least one phrase");
    for (const [at, phrase] of phrases.entries()) {
      if (phrase.trim() === "") problems.add(`/phrases/${at}`, "must not be empty");
    }
    problems.throwIfAny();
    return phrases;
  },

  /** Called for every message, each time in a sandbox of its own. */
  decide(message, phrases) {
    const subject = message.subject.toLowerCase();
    const phrase = phrases.find((phrase) => subject.includes(phrase.toLowerCase()));
    if (phrase === undefined) return Decision.next().addHeader("X-Checked-By", "{{name}}");
    const text = `subject not accepted: ${phrase}`;
    return Decision.reject(text, { code: 550, enhanced: "5.7.1" }).fact("phrase", phrase);
  },
});
