//! The host's log: lines on standard error, for people or as JSON.

use crate::config::{Log, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, fmt};

/// The log can not be started.
#[derive(Debug, thiserror::Error)]
#[error("log: {0}")]
pub struct TelemetryError(String);

/// Starts the log of this process. The environment's `WASMILTER_LOG`, then `RUST_LOG`, go before the configured level.
///
/// # Errors
/// When the level can not be understood, or the process has a log already.
pub fn start(log: &Log) -> Result<(), TelemetryError> {
    let from_environment = |variable| std::env::var(variable).ok().filter(|value| !value.is_empty());
    let (level, origin) = match (from_environment("WASMILTER_LOG"), from_environment("RUST_LOG")) {
        (Some(level), _) => (level, "WASMILTER_LOG"),
        (None, Some(level)) => (level, "RUST_LOG"),
        (None, None) => (log.level.clone(), "log.level"),
    };
    let filter = EnvFilter::try_new(format!("{QUIET},{level}"))
        .map_err(|error| TelemetryError(format!("{origin} is {level:?}: {error}")))?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => lines.with_ansi(colours(&std::io::stderr())).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
    started.map_err(|error| TelemetryError(error.to_string()))
}

/// What libraries tell of their own doings is of use only to who asks for it.
const QUIET: &str = "actix_server=warn,actix_http=warn";

/// Whether `stream` wants colours: a terminal, and `NO_COLOR` is not set.
#[must_use]
pub fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
