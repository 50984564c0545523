// The policy without the host: `npm test`. Whole messages through the host are in `cases/`.

import assert from "node:assert/strict";
import { test } from "node:test";
import policy from "../policy.ts";
import { problems, Transaction } from "../sdk/wasmilter/testing.js";

const config = { domains: ["example.org"], skip: ["partner.example", "news@example.com"] };

function banner(around: object): { plain: string; html: string } | undefined {
  const decision = new Transaction(policy, { config, ...around }).decide();
  return decision.edits[0]?.val;
}

test("mail from outside gets a banner that names the sender", () => {
  const { plain = "", html = "" } = banner({ headers: { From: "Bob <bob@example.net>" } }) ?? {};
  assert.equal(plain, "This message comes from outside: Bob <bob@example.net>. Be careful with links and attachments.\n\n");
  assert.match(html, /<b>Bob &#60;bob@example\.net&#62;<\/b>/);
});

test("our own mail gets none", () => {
  assert.equal(banner({ client: { address: "" } }), undefined);
  assert.equal(banner({ client: { address: "192.0.2.1", authUser: "alice" } }), undefined);
});

test("an address of ours is told, also in a name", () => {
  for (const From of ["boss@Mail.Example.ORG", '"boss@example.org" <x@example.net>']) {
    assert.match(banner({ headers: { From } })?.plain ?? "", /bears an address of ours/, From);
  }
  for (const From of ["boss@notexample.org", "example.org <x@example.net>"]) {
    assert.doesNotMatch(banner({ headers: { From } })?.plain ?? "", /bears an address of ours/, From);
  }
});

test("names can not forge a line or HTML", () => {
  const { plain = "", html = "" } = banner({ headers: { From: '"$& \u202e<i>\u0007x" <x@example.net>' } }) ?? {};
  assert.match(plain, /: \$& <i> x <x@example\.net>\./);
  assert.doesNotMatch(html, /<i>/);
});

test("some senders are skipped, unless they bear our address", () => {
  for (const sender of ["a@partner.example", "a@sub.partner.example", "News@Example.com"]) {
    assert.equal(banner({ sender }), undefined, sender);
    assert.notEqual(banner({ sender, headers: { From: "a@example.org" } }), undefined, sender);
  }
  assert.notEqual(banner({ sender: "other@example.com" }), undefined);
  assert.notEqual(banner({ sender: "" }), undefined);
  const lists = { headers: { From: "x@example.net", "List-Id": "<l.example.net>" } };
  assert.notEqual(banner(lists), undefined);
  assert.equal(banner({ ...lists, config: { ...config, lists: false } }), undefined);
});

test("finds all mistakes of the configuration", () => {
  const found = problems(policy, { domains: ["example.org", "a@b"], text: " ", skip: ["x y"] });
  assert.deepEqual(found, [
    { path: "/text", message: "must be one line that is not empty" },
    { path: "/domains/1", message: "must be a domain such as example.org, is a@b" },
    { path: "/skip/0", message: "must be an address or a domain, is x y" },
  ]);
});
