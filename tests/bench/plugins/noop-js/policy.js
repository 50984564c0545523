// Does nothing: what the engine costs.

import { Decision, definePlugin } from "./sdk/wasmilter.js";

export default definePlugin({
  name: "noop-js",
  version: "1.0.0",
  summary: "Does nothing",
  grants: [],
  schema: { type: "object" },
  configure: () => undefined,
  decide: () => Decision.next(),
});
