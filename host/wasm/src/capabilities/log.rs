//! `log`: the host's log, target `plugin`, every line with stage and message.

use crate::{bindings::wasmilter::policy::log, call::Call, failure::one_line};

impl log::Host for Call {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.charge()?;
        let text = one_line(&message);
        self.written.line(&text, &self.stage.limits)?;
        let (stage, id) = (&*self.stage.name, &*self.message.id);
        match level {
            log::Level::Error => tracing::error!(target: "plugin", stage, message_id = id, "{text}"),
            log::Level::Warn => tracing::warn!(target: "plugin", stage, message_id = id, "{text}"),
            log::Level::Info => tracing::info!(target: "plugin", stage, message_id = id, "{text}"),
            log::Level::Debug => tracing::debug!(target: "plugin", stage, message_id = id, "{text}"),
        }
        Ok(())
    }
}
