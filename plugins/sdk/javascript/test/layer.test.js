/** The layer against its double of the host. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as wasmilter from "../src/wasmilter.js";
import { exportsOf } from "../src/wasmilter/component.js";
import { sourceOf } from "../src/wasmilter/lines.js";
import { mailbox, problems, Transaction } from "../src/wasmilter/testing.js";

const { Decision, definePlugin, HookDecision, Problems } = wasmilter;
const describe = { name: "test", version: "1.0.0", summary: "Tests." };

test("reads the message", () => {
  let seen;
  const policy = definePlugin({
    ...describe,
    decide(message) {
      seen = {
        subject: message.subject,
        from: message.headers.addresses("from"),
        many: [message.headers.getAll("x-many"), message.headers.count("X-MANY"), message.headers.has("X-None")],
        texts: message.texts.map((part) => part.text()),
        files: message.attachments.map((part) => [part.fileName, [...part.pieces()].length, part.size]),
        envelope: [message.sender.domain, message.recipients.map(({ local }) => local)],
        client: message.client.address,
        facts: [message.facts.get("spam.score"), message.facts.get("spam.none")],
      };
      return Decision.next();
    },
  });
  new Transaction(policy, {
    headers: { Subject: "café", From: '"Jürgen" <juergen@Example.NET>', "X-Many": ["one", "two"] },
    parts: [{ content: "häuser" }, { mediaType: "application/pdf", fileName: "a.pdf", content: new Uint8Array(70_000) }],
    sender: "a@B.example",
    recipients: ["c@d.example"],
    facts: { "spam.score": 7 },
  }).decide();
  assert.deepEqual(seen, {
    subject: "café",
    from: [{ name: "Jürgen", address: "juergen@Example.NET", domain: "example.net" }],
    many: [["one", "two"], 2, false],
    texts: ["häuser"],
    files: [["a.pdf", 2, 70_000]],
    envelope: ["b.example", ["c"]],
    client: "192.0.2.1",
    facts: [7, undefined],
  });
});

test("decisions are built in the contract's form", () => {
  const made = Decision.reject("no", { code: 554, enhanced: "5.7.1" })
    .fact("score", 3)
    .fact("names", ["a"])
    .addHeader("A", "b")
    .removeHeader("C")
    .prependText({ plain: "x" })
    .addPart({ mediaType: "text/plain", content: "ä", fileName: "x.txt" });
  assert.deepEqual(
    { ...made },
    {
      verdict: { tag: "reject", val: { code: 554, enhanced: "5.7.1", text: "no" } },
      facts: [
        { name: "score", value: { tag: "number", val: 3 } },
        { name: "names", value: { tag: "texts", val: ["a"] } },
      ],
      edits: [
        { tag: "add-header", val: { name: "A", value: "b" } },
        { tag: "remove-header", val: { name: "C", occurrence: 0 } },
        { tag: "prepend-text", val: { plain: "x", html: "" } },
        {
          tag: "add-part",
          val: {
            mediaType: "text/plain",
            fileName: "x.txt",
            disposition: "",
            contentId: "",
            content: { tag: "inline", val: Uint8Array.of(0xc3, 0xa4) },
          },
        },
      ],
    },
  );
  assert.equal("addHeader" in HookDecision.next(), false);
  // @ts-expect-error not a value of a fact
  assert.throws(() => Decision.next().fact("x", undefined), TypeError);
});

test("problems of the configuration are told at once", () => {
  const policy = definePlugin({
    ...describe,
    configure(/** @type {{ limit: number }} */ { limit }) {
      const found = new Problems();
      if (limit < 1) found.add("/limit", `must be above 0, is ${limit}`);
      found.throwIfAny();
      return { twice: limit * 2 };
    },
    decide: (_, { twice }) => Decision.next().fact("twice", twice),
  });
  assert.deepEqual(problems(policy, { limit: 0 }), [{ path: "/limit", message: "must be above 0, is 0" }]);
  assert.deepEqual(problems(policy, { limit: 1 }), []);
  assert.deepEqual(new Transaction(policy, { config: { limit: 4 } }).decide().facts, [
    { name: "twice", value: { tag: "number", val: 8 } },
  ]);
  const [problem] = problems(definePlugin({ ...describe, configure: (config) => config.a.b }), {});
  assert.match(problem?.message ?? "", /^TypeError at layer\.test\.js:\d+: /);
});

test("what is thrown becomes a failure that does not quote the message", () => {
  /** @param {(message: wasmilter.Message) => any} decide */
  const told = (decide) => {
    const exported = exportsOf(definePlugin({ ...describe, decide }));
    exported.lifecycle.configure("{}");
    try {
      return exported.messagePolicy.decide();
    } catch (failure) {
      return failure;
    }
  };
  const failure = told(() => {
    throw new RangeError("a secret subject");
  });
  assert.equal(failure.kind, "internal");
  assert.match(failure.detail, /^RangeError at layer\.test\.js:\d+$/);
  assert.match(told((message) => message.subject).detail, /add `import wasmilter:policy\/headers@1\.0\.0;` to wit\/world\.wit$/);
  assert.match(told(() => undefined).detail, /decide must return a Decision, not undefined$/);
  assert.match(told(() => HookDecision.next()).detail, /must return a Decision, not HookDecision$/);
  assert.deepEqual(
    told(() => {
      throw new wasmilter.Unsupported("too deep");
    }),
    { kind: "unsupported", detail: "too deep" },
  );
});

test("describes the plugin", () => {
  const { lifecycle } = exportsOf(definePlugin({ ...describe, grants: ["headers"], schema: { type: "object" } }));
  assert.deepEqual(lifecycle.describe(), {
    ...describe,
    licence: "",
    homePage: "",
    grants: ["headers"],
    configSchema: '{"type":"object"}',
  });
});

test("services are streams", () => {
  const policy = definePlugin({
    ...describe,
    decide() {
      const service = wasmilter.connect("lines");
      service.write("hello ä");
      service.finish();
      const answer = service.readText();
      service.close();
      return Decision.next().fact("answer", answer);
    },
  });
  const transaction = new Transaction(policy, { services: { lines: "one\ntwo" } });
  assert.equal(transaction.decide().facts[0]?.value.val, "one\ntwo");
  assert.deepEqual(transaction.written, { lines: "hello ä" });
  assert.throws(() => new Transaction(policy).decide(), { name: "ServiceError", kind: "service", reason: "denied" });
});

test("dns, store, clock and random", () => {
  const policy = definePlugin({
    ...describe,
    decide: () =>
      Decision.next()
        .fact("addresses", wasmilter.addresses("example.org"))
        .fact("none", wasmilter.texts("example.org"))
        .fact("mail", wasmilter.mailExchangers("example.org").map(({ host }) => host))
        .fact("count", wasmilter.store.add("k", 1, 60))
        .fact("kept", wasmilter.store.get("v") === undefined)
        .fact("year", wasmilter.now().getUTCFullYear())
        .fact("random", wasmilter.randomBytes(16).length),
  });
  const dns = {
    addresses: { "example.org": ["192.0.2.7"] },
    mailExchangers: { "example.org": [{ preference: 10, host: "mx.example.org" }] },
  };
  const facts = new Transaction(policy, { dns, store: { k: 4 } }).decide().facts;
  assert.deepEqual(Object.fromEntries(facts.map(({ name, value }) => [name, value.val])), {
    addresses: ["192.0.2.7"],
    none: [],
    mail: ["mx.example.org"],
    count: 5,
    kept: true,
    year: 2027,
    random: 16,
  });
  const failing = { addresses: { "example.org": null } };
  assert.throws(() => new Transaction(policy, { dns: failing }).decide(), { name: "DnsError", reason: "failed" });
});

test("hooks", () => {
  const policy = definePlugin({
    ...describe,
    rcpt: (_message, _state, { domain }) =>
      domain === "example.org" ? HookDecision.tempfail("later") : HookDecision.next(),
  });
  assert.equal(new Transaction(policy).hook("rcpt", mailbox("a@Example.org")).verdict.tag, "tempfail");
  assert.equal(new Transaction(policy).hook("rcpt", mailbox("a@example.com")).verdict.tag, "next");
});

test("UTF-8 as the platform's own", () => {
  for (const text of ["", "abc", "äöü€", "𝄞 clef", "a\u0000b", "x".repeat(10_000), "\ud800"]) {
    assert.deepEqual(wasmilter.encodeText(text), new TextEncoder().encode(text));
  }
  const broken = [[0xff], [0xc3], [0xe2, 0x82], [0xe2, 0x82, 0x41], [0xc0, 0xaf], [0xf0, 0x9d, 0x84, 0x9e], [0x80, 0x41], [0xf4, 0x8f]];
  for (const bytes of broken) {
    assert.equal(wasmilter.decodeText(Uint8Array.from(bytes)), new TextDecoder().decode(Uint8Array.from(bytes)), String(bytes));
  }
});

test("files of the configuration", () => {
  assert.equal(wasmilter.fileOf({ file: "/a", content: "ä" }).bytes.length, 2);
  assert.equal(wasmilter.fileOf({ file: "/a", base64: "w6Q=" }).text, "ä");
  assert.deepEqual(
    wasmilter.filesOf({ directory: "/d", files: [{ name: "b", content: "x" }] }).map(({ name }) => name),
    ["b"],
  );
  assert.throws(() => wasmilter.fileOf({}), /must be a file/);
});

test("lines of the bundle are found in the source", () => {
  // @ts-expect-error written below the bundle by the build
  globalThis.wasmilterLines = { files: ["../policy.ts", "other.ts"], lines: [null, [0, 0], [1, 41]] };
  try {
    assert.deepEqual(sourceOf("bundle.js", 1), { file: "bundle.js", number: 1 });
    assert.deepEqual(sourceOf("bundle.js", 2), { file: "../policy.ts", number: 1 });
    assert.deepEqual(sourceOf("bundle.js", 3), { file: "other.ts", number: 42 });
    assert.deepEqual(sourceOf("bundle.js", 99), { file: "bundle.js", number: 99 });
  } finally {
    // @ts-expect-error as above
    delete globalThis.wasmilterLines;
  }
});
