//! What `wit-bindgen` makes of the contract: the plain functions and records. One world for all imports, and one for every
//! export: a component has only the exports that [`plugin!`](crate::plugin) names, and only the imports that its code uses.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated from wit/, which has the documentation"
)]

wit_bindgen::generate!({
    path: "../wit",
    inline: "package wasmilter:sdk; world imported { include wasmilter:policy/imports@1.0.0; import wasmilter:policy/hook-types@1.0.0; }",
    pub_export_macro: true,
    export_macro_name: "export_nothing",
    default_bindings_module: "wasmilter_sdk::bindings",
    additional_derives: [PartialEq],
    generate_all,
});

pub mod lifecycle {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world lifecycle { export wasmilter:policy/lifecycle@1.0.0; }",
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
        default_bindings_module: "wasmilter_sdk::bindings::lifecycle",
        additional_derives: [PartialEq],
    });
}

pub mod message {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world message { export wasmilter:policy/message-policy@1.0.0; }",
        with: { "wasmilter:policy/types@1.0.0": crate::bindings::wasmilter::policy::types },
        pub_export_macro: true,
        export_macro_name: "export_message",
        default_bindings_module: "wasmilter_sdk::bindings::message",
        additional_derives: [PartialEq],
    });
}

pub mod connect {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world connect { export wasmilter:policy/on-connect@1.0.0; }",
        with: {
            "wasmilter:policy/types@1.0.0": crate::bindings::wasmilter::policy::types,
            "wasmilter:policy/hook-types@1.0.0": crate::bindings::wasmilter::policy::hook_types,
        },
        pub_export_macro: true,
        export_macro_name: "export_connect",
        default_bindings_module: "wasmilter_sdk::bindings::connect",
    });
}

pub mod helo {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world helo { export wasmilter:policy/on-helo@1.0.0; }",
        with: {
            "wasmilter:policy/types@1.0.0": crate::bindings::wasmilter::policy::types,
            "wasmilter:policy/hook-types@1.0.0": crate::bindings::wasmilter::policy::hook_types,
        },
        pub_export_macro: true,
        export_macro_name: "export_helo",
        default_bindings_module: "wasmilter_sdk::bindings::helo",
    });
}

pub mod mail {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world mail { export wasmilter:policy/on-mail@1.0.0; }",
        with: {
            "wasmilter:policy/types@1.0.0": crate::bindings::wasmilter::policy::types,
            "wasmilter:policy/hook-types@1.0.0": crate::bindings::wasmilter::policy::hook_types,
        },
        pub_export_macro: true,
        export_macro_name: "export_mail",
        default_bindings_module: "wasmilter_sdk::bindings::mail",
    });
}

pub mod rcpt {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package wasmilter:sdk; world rcpt { export wasmilter:policy/on-rcpt@1.0.0; }",
        with: {
            "wasmilter:policy/types@1.0.0": crate::bindings::wasmilter::policy::types,
            "wasmilter:policy/hook-types@1.0.0": crate::bindings::wasmilter::policy::hook_types,
        },
        pub_export_macro: true,
        export_macro_name: "export_rcpt",
        default_bindings_module: "wasmilter_sdk::bindings::rcpt",
    });
}
