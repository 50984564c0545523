//! What is wrong with a configuration.

use crate::Problem;

/// Everything that is wrong with a configuration, gathered so that it can be reported at once.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A single problem; see [`Self::add`].
    #[must_use]
    pub fn one(path: impl Into<String>, message: impl Into<String>) -> Self {
        let mut problems = Self::new();
        problems.add(path, message);
        problems
    }

    /// Adds a problem. `path` is a JSON pointer (RFC 6901) such as `/thresholds/reject`; `message` is in lower case
    /// without a full stop and carries the value: `must be above 0, is -3`.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { path: path.into(), message: message.into() });
    }

    /// Takes the value out of `result`, or adds its problem at `path`.
    pub fn take<T>(&mut self, path: &str, result: Result<T, impl Into<String>>) -> Option<T> {
        result.map_err(|message| self.add(path, message)).ok()
    }

    /// Adds all of `others`.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether something was said about exactly this place.
    #[must_use]
    pub fn mentions(&self, path: &str) -> bool {
        self.0.iter().any(|problem| problem.path == path)
    }

    /// The problems, in the order in which they were found.
    #[must_use]
    pub fn into_list(self) -> Vec<Problem> {
        self.0
    }

    /// Makes the value when there are no problems.
    ///
    /// # Errors
    /// The problems, when there are some.
    pub fn or_else_ok<T>(self, value: impl FnOnce() -> T) -> Result<T, Self> {
        if self.is_empty() { Ok(value()) } else { Err(self) }
    }
}

/// A segment of a JSON pointer (RFC 6901 §3): for keys of maps that the administrator named.
#[must_use]
pub fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}
