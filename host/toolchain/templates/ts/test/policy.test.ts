// The policy without the host: `npm test`. Whole messages through the host are in `cases/`.

import assert from "node:assert/strict";
import { test } from "node:test";
import policy from "../policy.ts";
import { problems, Transaction } from "../sdk/wasmilter/testing.js";

const config = { phrases: ["won the lottery"] };

test("rejects a phrase", () => {
  const decision = new Transaction(policy, { headers: { Subject: "You WON the lottery" }, config }).decide();
  assert.equal(decision.verdict.tag, "reject");
});

test("marks the rest", () => {
  const decision = new Transaction(policy, { headers: { Subject: "Lunch?" }, config }).decide();
  assert.deepEqual(decision.edits.map(({ tag }) => tag), ["add-header"]);
});

test("finds all mistakes of the configuration", () => {
  const found = problems(policy, { phrases: ["", "x", " "] });
  assert.deepEqual(found.map(({ path }) => path), ["/phrases/0", "/phrases/2"]);
});
