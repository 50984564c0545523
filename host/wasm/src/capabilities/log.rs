//! `log`: the host's log, target `plugin`, every line with stage and message.

use crate::{
    bindings::wasmilter::policy::log,
    call::Call,
    failure::{Stop, one_line},
};

impl log::Host for Call {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.charge()?;
        let limit = self.stage.limits.log_lines;
        self.usage.log_lines = self.usage.log_lines.saturating_add(1);
        if self.usage.log_lines > limit {
            return Err(Stop::Limit { what: "lines to the log", limit: u64::from(limit) }.into());
        }
        let (stage, id, text) = (&*self.stage.name, &*self.message.id, one_line(&message));
        match level {
            log::Level::Error => tracing::error!(target: "plugin", stage, message_id = id, "{text}"),
            log::Level::Warn => tracing::warn!(target: "plugin", stage, message_id = id, "{text}"),
            log::Level::Info => tracing::info!(target: "plugin", stage, message_id = id, "{text}"),
            log::Level::Debug => tracing::debug!(target: "plugin", stage, message_id = id, "{text}"),
        }
        Ok(())
    }
}
