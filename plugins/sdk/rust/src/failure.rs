//! "I could not decide."

use crate::{Failure, FailureKind};

impl Failure {
    /// A service that the plugin needs did not answer, or not sensibly. `detail` goes to the log: what was being done,
    /// to what, what went wrong; no message content.
    #[must_use]
    pub fn service(detail: impl Into<String>) -> Self {
        Self { kind: FailureKind::Service, detail: detail.into() }
    }

    /// The message is beyond what the plugin can handle.
    #[must_use]
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self { kind: FailureKind::Unsupported, detail: detail.into() }
    }

    /// Anything else.
    #[must_use]
    pub fn internal(detail: impl Into<String>) -> Self {
        Self { kind: FailureKind::Internal, detail: detail.into() }
    }
}
