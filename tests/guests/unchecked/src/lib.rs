//! The contract without checks, for guests that say what a plugin must not say. The SDK (`plugins/sdk/rust`) can not express
//! an invalid decision; this can. Guests know it as `wasmilter_sdk`.

#[path = "ambient.rs"]
mod source;

mod decision;
mod failure;
pub mod log;
mod message;
mod policy;
mod problems;
mod service;

pub use message::{Blob, Message, PartReader, RawReader};
pub use policy::{Exported, Info, Policy};
pub use problems::Problems;
pub use service::Service;

/// What `wit-bindgen` makes of the contract.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from wit/, which has the documentation")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "package wasmilter:guests; world guest { include wasmilter:policy/imports@1.0.0; export wasmilter:policy/lifecycle@1.0.0; export wasmilter:policy/message-policy@1.0.0; }",
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
        client,
        client::ClientInfo,
        clock, envelope, facts, headers,
        headers::Address,
        output, parts,
        parts::{Part, PartKind, PartRole},
        random, raw, services,
        services::ServiceError,
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
