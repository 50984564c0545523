// Warns above the text of mail from outside. README.md tells how to configure it.

import { Decision, definePlugin, Problems, type Address, type Message } from "./sdk/wasmilter.js";

/** `[stage.config]` */
interface Config {
  domains?: string[];
  text?: string;
  spoofed?: string;
  skip?: string[];
  lists?: boolean;
}

/** What `configure` makes of it: domains and addresses in lower case. */
interface Settings {
  domains: string[];
  text: string;
  spoofed: string;
  skip: string[];
  lists: boolean;
}

const TEXT = "This message comes from outside: {sender}. Be careful with links and attachments.";
const SPOOFED = "It bears an address of ours, but its sender has not logged in.";
/** Characters of a sender's name that are shown. */
const LONGEST_NAME = 60;

export default definePlugin({
  name: "external-banner",
  version: "1.0.0",
  summary: "Warns above the text of mail from outside",
  licence: "Apache-2.0",
  grants: ["envelope", "headers", "text"],
  schema: {
    type: "object",
    additionalProperties: false,
    properties: {
      domains: {
        description: "our own domains; their subdomains count, too",
        type: "array",
        items: { type: "string" },
      },
      text: { description: "the banner, in one line; {sender} is who the message says it is from", type: "string" },
      spoofed: { description: "said in addition when the message bears an address of ours", type: "string" },
      skip: {
        description: "senders of the envelope without a banner: addresses and domains",
        type: "array",
        items: { type: "string" },
      },
      lists: { description: "whether mail of mailing lists (List-Id) gets the banner", type: "boolean" },
    },
  },

  configure({ domains = [], text = TEXT, spoofed = SPOOFED, skip = [], lists = true }: Config): Settings {
    const problems = new Problems();
    for (const [path, line] of Object.entries({ "/text": text, "/spoofed": spoofed })) {
      if (line.trim() === "" || /[\r\n]/.test(line)) problems.add(path, "must be one line that is not empty");
    }
    for (const [at, domain] of domains.entries()) {
      if (!isDomain(domain)) problems.add(`/domains/${at}`, `must be a domain such as example.org, is ${domain}`);
    }
    for (const [at, skipped] of skip.entries()) {
      if (isDomain(skipped.slice(skipped.lastIndexOf("@") + 1))) continue;
      problems.add(`/skip/${at}`, `must be an address or a domain, is ${skipped}`);
    }
    problems.throwIfAny();
    return { domains: domains.map(lower), text, spoofed, skip: skip.map(lower), lists };
  },

  decide(message, settings): Decision {
    const external = isExternal(message);
    const spoofed = external && bearsOurs(message, settings.domains);
    const decision = Decision.next().fact("external", external).fact("spoofed", spoofed);
    // Somebody who bears our address gets a banner in any case.
    if (!external || (!spoofed && isSkipped(message, settings))) return decision;
    const sender = shown(message.headers.addresses("From")[0]);
    const text = spoofed ? `${settings.text} ${settings.spoofed}` : settings.text;
    return decision.prependText({
      plain: `${text.replaceAll("{sender}", () => sender)}\n\n`,
      html: box(escaped(text).replaceAll("{sender}", () => `<b>${escaped(sender)}</b>`)),
    });
  },
});

/** Mail of a client that did not log in; without a client, it was submitted on the mail server itself. */
function isExternal({ client }: Message): boolean {
  return client.address !== "" && client.authUser === "";
}

/** Whether an address of ours is in the From field, or pretends to be in its names: "boss@example.org" <x@example.net>. */
function bearsOurs({ headers }: Message, domains: string[]): boolean {
  const written = headers.addresses("From").flatMap(({ name, address }) => [address, ...name.split(/[\s<>"'(),;:]+/)]);
  return written.some((word) => word.includes("@") && isBelow(domainOf(word), domains));
}

function isSkipped({ sender, headers }: Message, { skip, lists }: Settings): boolean {
  if (!lists && headers.has("List-Id")) return true;
  return skip.includes(lower(sender.address)) || (sender.domain !== "" && isBelow(sender.domain, skip));
}

function isBelow(domain: string, domains: string[]): boolean {
  return domains.some((own) => domain === own || domain.endsWith(`.${own}`));
}

function domainOf(address: string): string {
  return lower(address.slice(address.lastIndexOf("@") + 1));
}

function isDomain(text: string): boolean {
  return /^[^\s@.]+(\.[^\s@.]+)*$/.test(text);
}

function lower(text: string): string {
  return text.toLowerCase();
}

/** Name and address as one line: what could break lines or turn the direction of text is left out. */
function shown(from: Address | undefined): string {
  const clean = (text: string) => text.replace(/[\s\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ").trim();
  const name = [...clean(from?.name ?? "")].slice(0, LONGEST_NAME).join("");
  const address = clean(from?.address ?? "") || "nobody";
  return name === "" ? address : `${name} <${address}>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function box(html: string): string {
  return `<p style="border:1px solid #b45309;padding:.5em">${html}</p>`;
}
