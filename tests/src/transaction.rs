//! `transaction.toml` beside a message: the SMTP transaction that `wasmilter try` is told.

use serde::Deserialize;
use std::{fs, path::Path};

/// Keys are named as the options of `wasmilter try`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    /// Address of the client.
    pub client: Option<String>,
    /// Its verified name.
    pub client_name: Option<String>,
    /// Name given at HELO.
    pub helo: Option<String>,
    /// Envelope sender.
    pub from: Option<String>,
    /// Recipients.
    #[serde(default)]
    pub rcpt: Vec<String>,
    /// User who authenticated.
    pub auth: Option<String>,
}

impl Transaction {
    /// Reads a file; nothing is set when there is none.
    #[must_use]
    pub fn load(file: &Path) -> Self {
        match fs::read_to_string(file) {
            Ok(text) => toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display())),
            Err(_) => Self::default(),
        }
    }

    /// Fills in what the plugins' native tests (`plugins/README.md`) take when nothing is said.
    pub fn or_as_natively(&mut self) {
        self.client.get_or_insert_with(|| "192.0.2.1".to_owned());
        self.from.get_or_insert_with(|| "sender@example.net".to_owned());
        if self.rcpt.is_empty() {
            self.rcpt.push("recipient@example.org".to_owned());
        }
    }

    /// The options of `wasmilter try`.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        let single = [
            ("--client", &self.client),
            ("--client-name", &self.client_name),
            ("--helo", &self.helo),
            ("--from", &self.from),
            ("--auth", &self.auth),
        ];
        let single = single.into_iter().filter_map(|(option, value)| Some((option, value.clone()?)));
        let recipients = self.rcpt.iter().map(|recipient| ("--rcpt", recipient.clone()));
        single.chain(recipients).flat_map(|(option, value)| [option.to_owned(), value]).collect()
    }
}
