// Calls everything of the contract and of the layer: for a test that it builds.

import * as w from "./sdk/wasmilter.js";

const { Decision, HookDecision } = w;

export default w.definePlugin({
  name: "everything",
  version: "0.1.0",
  summary: "Calls everything",
  licence: "Apache-2.0",
  homePage: "https://example.org/",
  grants: ["envelope", "headers", "body", "recipients", "set-client", "dns", "store", "clock", "random", "service:echo"],
  schema: { type: "object" },

  decide(message) {
    const [part] = message.parts;
    if (part === undefined) throw new w.Unsupported("there is no part");
    console.log(message.client, message.connected, message.sender, message.recipients, message.queueId, message.facts.get("a.b"));
    console.log(message.subject, message.headers.all(), message.headers.raw("A"), message.headers.count("A"));
    console.log(message.headers.has("A"), message.headers.getAll("A"), message.headers.addresses("From"));
    console.log(part.headers, part.size, part.text(), part.read(0, 9), message.texts, message.attachments, message.size);
    console.log([...part.pieces()], [...part.entityPieces()], [...message.pieces()]);
    console.warn(w.now(), new Date(), Math.random(), w.randomBytes(4), new TextDecoder().decode(new TextEncoder().encode("ä")));
    console.error(w.addresses("a"), w.texts("a"), w.mailExchangers("a"), w.names("192.0.2.1"));
    const service = w.connect("echo");
    service.write("hello");
    service.finish();
    w.log("debug", service.readText());
    service.close();
    w.store.set("key", w.encodeText("value"), 60);
    console.debug(w.store.get("key"), w.store.add("counter", 1, 60), w.store.remove("key"));
    const blob = new w.Blob();
    blob.write("text");
    blob.writeEntity(part);
    return Decision.next()
      .addHeader("A", "1")
      .insertHeader("B", "2")
      .replaceHeader("C", "3")
      .removeHeader("D")
      .setSubject("ü")
      .replacePart(part, { mediaType: "text/plain", content: "x" })
      .removePart(2)
      .addPart({ mediaType: "image/png", content: Uint8Array.of(0, 255), fileName: "f", disposition: "inline", contentId: "c" })
      .appendText({ plain: "p", html: "h" })
      .prependText({ plain: "p" })
      .replaceContent([{ name: "Content-Type", value: "text/plain" }], blob)
      .setSender("a@example.org", ["RET=HDRS"])
      .addRecipient("c@example.org")
      .removeRecipient("e@example.org")
      .setClient({ address: "192.0.2.1", port: 3, hostname: "h", helo: "i" })
      .fact("flag", true)
      .fact("number", 3)
      .fact("text", "t")
      .fact("texts", ["a", "b"]);
  },

  connect: (message) => HookDecision.next().fact("client", message.client.address),
  helo: () => HookDecision.reject("no", { code: 550, enhanced: "5.7.1" }),
  mail: (message) => HookDecision.tempfail(message.sender.address),
  rcpt: (_message, _state, recipient) => HookDecision.next().fact("recipient", recipient.address),
});
