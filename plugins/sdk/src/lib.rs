//! Write Wasmilter plugins in Rust.
//!
//! The reference manual of the contract is `wit/` in the Wasmilter repository; the generated bindings in
//! [`bindings`] carry its text. A plugin implements [`Lifecycle`] and [`MessagePolicy`] and ends with
//! `wasmilter_sdk::export_message_plugin!(MyPlugin);`.

/// What `wit-bindgen` makes of the contract.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from wit/, which has the documentation")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "message-plugin",
        pub_export_macro: true,
        export_macro_name: "export_message_plugin_bindings",
        default_bindings_module: "wasmilter_sdk::bindings",
        generate_all,
    });
}

pub use bindings::{
    exports::wasmilter::policy::{
        lifecycle::{Guest as Lifecycle, PluginInfo, Problem},
        message_policy::{
            Annotation, Content, Decision, Edit, Entity, Guest as MessagePolicy, HeaderOccurrence, HeaderReplacement,
            NewAddress, NewClient, NewHeader, NewPart, PartReplacement,
        },
    },
    wasmilter::policy::{
        client, clock, envelope, facts, headers, log, output, parts, random, raw, services,
        types::{Fact, FactValue, Failure, FailureKind, HeaderField, Mailbox, Reply, Verdict},
    },
};

/// Exports a type that implements [`Lifecycle`] and [`MessagePolicy`] as the plugin.
#[macro_export]
macro_rules! export_message_plugin {
    ($plugin:ident) => {
        $crate::bindings::export_message_plugin_bindings!($plugin with_types_in $crate::bindings);
    };
}
