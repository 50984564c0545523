//! What wasmtime makes of `wit/`: one module per interface. Exports are looked up interface by interface, so that a
//! component may export any subset of what the world below names.

#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated from wit/, which has the documentation")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "full-plugin",
    imports: {
        "wasmilter:policy/services": async | trappable,
        "wasmilter:policy/dns": async | trappable,
        "wasmilter:policy/store": async | trappable,
        // These may have to parse or decode a big message, which they do off the thread.
        "wasmilter:policy/parts": async | trappable,
        "wasmilter:policy/output.append-entity": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});
