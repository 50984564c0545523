//! Which configuration a command works with.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use wasmilter_app::config::{Config, source::Source};

/// `--config`, the same for every command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Configuration {
    /// The configuration file [default: ./wasmilter.toml, /etc/wasmilter/wasmilter.toml, or a built-in one]
    #[arg(long, short, value_name = "FILE", env = "WASMILTER_CONFIG")]
    config: Option<PathBuf>,
}

/// What runs when nobody configured anything. Needs no other server.
const BUILT_IN: &str = include_str!("default.toml");

impl Configuration {
    /// Reads the file, or what stands in for it.
    ///
    /// # Errors
    /// When the file can not be read.
    pub(crate) fn source(&self) -> Result<Source> {
        let usual = ["wasmilter.toml", "/etc/wasmilter/wasmilter.toml"].map(Path::new);
        match self.config.as_deref().or_else(|| usual.into_iter().find(|path| path.exists())) {
            Some(path) => Ok(Source::read(path)?),
            None => Ok(Source::new("built-in configuration", BUILT_IN)),
        }
    }
}

/// Runs what `future` gives in an actix system of this thread.
///
/// # Errors
/// When the system refuses a runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a runtime")?;
    Ok(actix_rt::System::with_tokio_rt(|| runtime).block_on(future))
}

/// Starts the log as `source` says; a configuration with mistakes still says how its log should look.
pub(crate) fn start_log(source: &Source) -> Result<()> {
    let (config, _) = Config::parse(source);
    Ok(wasmilter_app::telemetry::start(&config.log)?)
}

/// Starts the log for a command whose result is what it prints: only what goes wrong is logged.
pub(crate) fn start_quiet_log(source: Option<&Source>) -> Result<()> {
    let format = source.map(|source| Config::parse(source).0.log.format).unwrap_or_default();
    Ok(wasmilter_app::telemetry::start(&wasmilter_app::config::Log {
        format,
        level: "warn".to_owned(),
        ..Default::default()
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_configuration_has_no_mistakes_in_its_text() {
        let (config, mistakes) = Config::parse(&Source::new("default.toml", BUILT_IN));
        assert!(mistakes.is_empty(), "{mistakes}");
        assert!(config.services.is_empty(), "it needs no other server");
        assert!(config.stages.len() >= 2);
    }
}
