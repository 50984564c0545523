//! The host's log. Lines carry the stage and the message's ids by themselves. Never log message content.

use crate::source;
use std::fmt::Display;

pub use crate::bindings::wasmilter::policy::log::Level;

/// Something that the administrator must act on.
pub fn error(message: impl Display) {
    source::log(Level::Error, &message.to_string());
}

/// Something that the administrator should know.
pub fn warn(message: impl Display) {
    source::log(Level::Warn, &message.to_string());
}

/// What a curious administrator wants to know.
pub fn info(message: impl Display) {
    source::log(Level::Info, &message.to_string());
}

/// What helps to find a mistake.
pub fn debug(message: impl Display) {
    source::log(Level::Debug, &message.to_string());
}
