// Warns above the text of mail from outside. README.md tells how to build and configure it.

import { get as client } from "wasmilter:policy/client@0.1.0";
import { addresses } from "wasmilter:policy/headers@0.1.0";

const SCHEMA = {
  type: "object",
  additionalProperties: false,
  properties: {
    text: { type: "string", description: "the banner, in one line" },
    domains: { type: "array", items: { type: "string" }, description: "our own domains; their subdomains count, too" },
    spoofed: { type: "string", description: "said in addition when the From field has an address of ours" },
  },
};
const TEXT = "This message comes from outside. Be careful with links and attachments.";
const SPOOFED = "It bears an address of ours, but its sender has not logged in.";

// Filled by `configure`; part of the snapshot that every message starts from.
let settings;

export const lifecycle = {
  describe() {
    return {
      name: "external-banner",
      version: "0.1.0",
      summary: "Warns above the text of mail from outside.",
      grants: ["body"],
      configSchema: JSON.stringify(SCHEMA),
    };
  },

  configure(json) {
    const config = JSON.parse(json);
    const problems = mistakes(config);
    if (problems.length > 0) throw problems; // the error of the contract's `result`
    const { text = TEXT, spoofed = SPOOFED, domains = [] } = config;
    settings = { domains: domains.map((domain) => domain.toLowerCase()), text, spoofed };
  },
};

export const messagePolicy = {
  decide() {
    const { address, authUser } = client();
    const external = address !== "" && authUser === "";
    const spoofed = external && addresses("From").some(({ address }) => isOurs(address));
    const text = spoofed ? `${settings.text} ${settings.spoofed}` : settings.text;
    return {
      verdict: { tag: "next" },
      edits: external ? [{ tag: "prepend-text", val: { plain: `${text}\n\n`, html: html(text) } }] : [],
      facts: [
        { name: "external", value: { tag: "flag", val: external } },
        { name: "spoofed", value: { tag: "flag", val: spoofed } },
      ],
    };
  },
};

function isOurs(address) {
  const domain = address.slice(address.lastIndexOf("@") + 1).toLowerCase();
  return settings.domains.some((ours) => domain === ours || domain.endsWith(`.${ours}`));
}

function html(text) {
  const escaped = text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
  return `<p style="border:1px solid #b45309;padding:.5em">${escaped}</p>`;
}

function mistakes({ text, spoofed, domains, ...unknown }) {
  const problems = Object.keys(unknown).map((key) => ({ path: `/${key}`, message: "is not known; there are text, domains, spoofed" }));
  for (const [key, value] of Object.entries({ text, spoofed })) {
    if (value !== undefined && (typeof value !== "string" || value.trim() === "")) {
      problems.push({ path: `/${key}`, message: "must be a text that is not empty" });
    }
  }
  if (domains !== undefined && !(Array.isArray(domains) && domains.every((domain) => typeof domain === "string"))) {
    problems.push({ path: "/domains", message: "must be a list of domains" });
  }
  return problems;
}
