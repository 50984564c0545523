//! Limits of the milter door.

use std::time::Duration;

/// Limits of the milter door. Each wait has one; what happens when it passes stands beside it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Largest message (header fields, empty line, body) in bytes. A larger one is not judged but refused with
    /// `552 5.3.4`; what comes past the limit is not kept.
    pub message_size: u64,
    /// Largest header section and envelope together, in bytes, 64 of overhead counted for each field and recipient.
    /// A larger one is refused in the same way.
    pub header_size: u64,
    /// How long the MTA may be silent between two commands; then the connection is closed. An SMTP session may idle
    /// for long: keep this above the MTA's own limit. libmilter has 7210 s.
    pub idle: Duration,
    /// How long a command that has begun may take to arrive; then the connection is closed.
    pub frame: Duration,
    /// How long the MTA may take to accept what is written to it; then the connection is closed.
    pub write: Duration,
    /// How long an envelope hook may take; then the answer is `451 4.3.2`. Sendmail waits 10 s for a reply.
    pub hook: Duration,
    /// How long a judgement may take; then the answer is `451 4.3.2`. The judge has a deadline of its own, earlier
    /// than this: here is only the last guard. Sendmail waits 5 minutes in all.
    pub judgement: Duration,
    /// At the end of a message the MTA is told this often that the judge still works.
    pub progress: Duration,
    /// At shutdown, how long transactions under way may take to end; then their connections are closed.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            message_size: 100_000_000,
            header_size: 16_000_000,
            idle: Duration::from_secs(7210),
            frame: Duration::from_secs(300),
            write: Duration::from_secs(60),
            hook: Duration::from_secs(5),
            judgement: Duration::from_secs(280),
            progress: Duration::from_secs(4),
            drain: Duration::from_secs(30),
        }
    }
}
