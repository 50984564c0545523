//! What an engine thinks of a message.

/// What an engine thinks of a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    /// Name of the engine.
    pub(crate) engine: &'static str,
    /// The higher, the worse.
    pub(crate) score: f64,
    /// What the engine would do; empty when it does not say.
    pub(crate) action: String,
    /// Names of what it found, in no particular order of weight.
    pub(crate) symbols: Vec<String>,
}
