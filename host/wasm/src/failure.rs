//! From what wasmtime reports to the one kind of failure that it is.

use crate::limiter::{MemoryLimiter, TABLE_ENTRIES};
use wasmilter_message::{
    failure::{Cause, Failure},
    limit::Limit,
};
use wasmtime::{PoolConcurrencyLimitError, Trap, component::ResourceTableError};

/// Longest detail of a failure, in bytes; a guest may have written it.
const DETAIL: usize = 300;

/// Why the host ended a call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// The deadline passed while the guest ran.
    #[error("deadline passed")]
    Expired,
    /// The guest computed too long.
    #[error("computed for more than {} ms", .limit.as_millis())]
    Cpu {
        /// How long it may.
        limit: std::time::Duration,
    },
    /// A limit of the stage.
    #[error("limit passed: {}, at most {most}", .limit.what())]
    Limit {
        /// Which.
        limit: Limit,
        /// How much is allowed.
        most: u64,
    },
    /// The host could not keep what the guest wrote.
    #[error("{0}")]
    Store(String),
    /// The stage was not granted what the guest asked for.
    #[error("{what} needs the grant \"{grant}\", which the stage does not have")]
    Ungranted {
        /// What was asked.
        what: &'static str,
        /// What is missing.
        grant: &'static str,
    },
    /// A function was called that must not be called now, or with arguments that it does not take.
    #[error("{0}")]
    Misuse(String),
}

/// The failure that `error`, returned by a call of a guest, stands for.
pub(crate) fn classify(error: &wasmtime::Error, memory: &MemoryLimiter) -> Failure {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        let detail = one_line(&stop.to_string());
        return match stop {
            Stop::Expired => Failure::limit(Limit::Timeout, detail),
            Stop::Cpu { .. } => Failure::limit(Limit::Cpu, detail),
            Stop::Limit { limit, .. } => Failure::limit(*limit, detail),
            Stop::Store(_) => Failure::new(Cause::Store, detail),
            Stop::Ungranted { .. } => Failure::new(Cause::Refused, detail),
            Stop::Misuse(_) => Failure::new(Cause::Trap, detail),
        };
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        return Failure::limit(Limit::Handles, "limit passed: handles of WASI");
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Failure::limit(Limit::Sandboxes, "all slots of the sandbox are taken");
    }
    if let Some(wanted) = memory.denied() {
        let limit = memory.limit();
        return Failure::limit(Limit::Memory, format!("wanted {wanted} bytes of memory, at most {limit}"));
    }
    if memory.tables_denied() {
        return Failure::limit(Limit::Table, format!("limit passed: entries of a table, at most {TABLE_ENTRIES}"));
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        let detail = one_line(&trap.to_string());
        return match trap {
            Trap::StackOverflow => Failure::limit(Limit::Stack, detail),
            _ => Failure::new(Cause::Trap, detail),
        };
    }
    let words = format!("{:#}", error.root_cause());
    // wasmtime keeps the type of this error to itself.
    if words.contains("fuel allocated for hostcalls") {
        return Failure::limit(Limit::InlineBytes, "limit passed: bytes handed over in one piece");
    }
    Failure::new(Cause::Trap, one_line(&words))
}

/// `text` made fit for a log line: printable, and not long.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars() {
        if line.len() >= DETAIL {
            line.push('…');
            break;
        }
        line.push(if character.is_control() { ' ' } else { character });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(error: impl Into<wasmtime::Error>) -> Cause {
        classify(&error.into(), &MemoryLimiter::new(1)).cause
    }

    #[test]
    fn each_error_has_its_cause() {
        assert_eq!(cause(Stop::Expired), Cause::Timeout);
        assert_eq!(cause(Stop::Cpu { limit: std::time::Duration::ZERO }), Cause::Cpu);
        assert_eq!(cause(Stop::Limit { limit: Limit::Blobs, most: 1 }), Cause::Limit);
        assert_eq!(cause(Stop::Ungranted { what: "x", grant: "y" }), Cause::Refused);
        assert_eq!(cause(Stop::Misuse("x".to_owned())), Cause::Trap);
        assert_eq!(cause(Stop::Store("x".to_owned())), Cause::Store);
        assert_eq!(cause(ResourceTableError::Full), Cause::Limit);
        assert_eq!(cause(Trap::UnreachableCodeReached), Cause::Trap);
        let overflow = classify(&Trap::StackOverflow.into(), &MemoryLimiter::new(1));
        assert_eq!((overflow.cause, overflow.limit), (Cause::Trap, Some(Limit::Stack)));
        assert_eq!(cause(wasmtime::Error::msg("anything else")), Cause::Trap);
        let wrapped = wasmtime::Error::from(Stop::Expired).context("while calling");
        assert_eq!(cause(wrapped), Cause::Timeout);
    }

    #[test]
    fn a_refused_growth_explains_the_trap_that_follows() {
        use wasmtime::ResourceLimiter;
        let mut memory = MemoryLimiter::new(100);
        assert!(!memory.memory_growing(0, 101, None).unwrap());
        let failure = classify(&Trap::UnreachableCodeReached.into(), &memory);
        assert_eq!((failure.cause, failure.limit), (Cause::Memory, Some(Limit::Memory)));
    }

    #[test]
    fn details_are_one_short_line() {
        assert_eq!(one_line("a\r\nb\0c"), "a  b c");
        assert!(one_line(&"ä".repeat(1000)).len() < 310);
    }
}
