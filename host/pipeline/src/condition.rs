//! Conditions: `when` and `unless` of a stage. The language is described in `CONDITIONS.md` beside this crate.
//!
//! The grammar is CEL's, parsed by the `cel` crate. That crate's interpreter has neither types before it runs nor a bound
//! on what it costs, and mail decides the cost, so that the rest is ours: `check` turns the syntax tree into a `Node`
//! tree in which every name is known and every type fits, and `evaluate` computes it against a message, looking only at
//! what it needs and counting its steps.

mod check;
mod evaluate;
mod local;
mod network;
mod node;

pub use local::{Direction, Local};
use node::Node;
use std::{fmt, sync::Arc};
use wasmilter_message::{judge::Needs, message::ParsedMessage};

/// A condition, checked. Cheap to clone.
#[derive(Clone)]
pub struct Condition(Arc<Compiled>);

struct Compiled {
    source: Arc<str>,
    root: Node,
    needs: Needs,
}

/// What is wrong with a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConditionError {
    /// In words for the administrator.
    pub message: String,
    /// Where, as a byte offset into the source; None when it is wrong as a whole.
    pub offset: Option<usize>,
}

impl Condition {
    /// Longest source, in bytes.
    pub const MAX_SOURCE: usize = 4096;

    /// Parses and type-checks a condition. Without knowing what is `local` there is no `direction`.
    ///
    /// # Errors
    /// The first thing that is wrong: syntax, an unknown name, types that do not fit, something too large.
    pub fn compile(source: &str, local: Option<&Arc<Local>>) -> Result<Self, ConditionError> {
        let (root, needs) = check::check(source, local)?;
        Ok(Self(Arc::new(Compiled { source: source.into(), root, needs })))
    }

    /// Its value for a message as it is now.
    ///
    /// # Errors
    /// Why it has none: a fact of another type than it is used as, a division by zero, too many steps.
    pub fn evaluate(&self, message: &ParsedMessage) -> Result<bool, String> {
        evaluate::evaluate(&self.0.root, message)
    }

    /// Which parts of the message it looks at: `headers` and `body` (for the size), nothing else.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.0.needs
    }

    /// Its source text.
    #[must_use]
    pub fn source(&self) -> Arc<str> {
        Arc::clone(&self.0.source)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.0.source).finish()
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.source)
    }
}

#[cfg(test)]
mod tests;
