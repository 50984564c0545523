//! `wasmilter plugin push`

use crate::output;
use anyhow::{Context, Result};
use std::{fs, path::PathBuf, process::ExitCode, time::Duration};
use wasmilter_registry::{Login, Reference, Registries, RegistrySettings, read_signature, signature_file};

/// Put a built plugin into an OCI registry, with its signature when it has one.
///
/// Prints the digest of what was pushed. Administrators pin it: plugin = "oci://HOST/NAME@sha256:…".
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  minisign -S -m build/subject-filter.wasm
  wasmilter plugin push build/subject-filter.wasm oci://registry.example.org/policies/subject-filter:0.1.0

A signature is FILE.minisig beside the file. The plugin is described before it is pushed: what is no plugin is not pushed.

With --user the password is taken from the environment variable WASMILTER_REGISTRY_PASSWORD.

Exit codes: 0 pushed; 1 it did not work; 2 the command line was wrong.")]
pub(super) struct Push {
    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to: oci://HOST:PORT/NAME:TAG; port and tag may be left out
    #[arg(value_name = "REFERENCE")]
    to: Reference,
    /// Who logs in
    #[arg(long)]
    user: Option<String>,
    /// Speak to the registry without TLS: for one on this machine
    #[arg(long)]
    plain_http: bool,
    /// Certificate (PEM) of an authority to trust beside the system's
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
    /// Time for everything, in seconds
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..86_400))]
    timeout: u64,
}

impl Push {
    pub(super) fn run(self) -> Result<ExitCode> {
        let file = self.file.display();
        let component = fs::read(&self.file).with_context(|| format!("reading {file}"))?;
        let info = super::sandbox()?.load_bytes(&file.to_string(), &component)?.inspection().info.clone();
        let signature =
            read_signature(&self.file).with_context(|| format!("reading {}", signature_file(&self.file).display()))?;
        let annotations = [
            ("org.opencontainers.image.title", &info.name),
            ("org.opencontainers.image.version", &info.version),
            ("org.opencontainers.image.description", &info.summary),
            ("org.opencontainers.image.licenses", &info.licence),
            ("org.opencontainers.image.url", &info.home_page),
        ];
        let annotations: Vec<(String, String)> = annotations
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect();
        let signed = if signature.is_some() { "signed" } else { "not signed" };
        output::say(&format!("pushing {} {}, {} bytes, {signed} …", info.name, info.version, component.len()));
        let digest = Registries::new(self.settings()?).push(&self.to, component, signature, &annotations)?;
        output::print(&format!("{digest}\n"))?;
        Ok(ExitCode::SUCCESS)
    }

    fn settings(&self) -> Result<RegistrySettings> {
        let host = self.to.host().to_owned();
        let mut settings =
            RegistrySettings { timeout: Duration::from_secs(self.timeout), ..RegistrySettings::default() };
        if let Some(user) = self.user.clone() {
            let password = std::env::var("WASMILTER_REGISTRY_PASSWORD")
                .context("--user needs the password in WASMILTER_REGISTRY_PASSWORD")?;
            settings.logins.insert(host.clone(), Login { user, password });
        }
        if let Some(file) = &self.authority {
            settings.authorities.push(fs::read(file).with_context(|| format!("reading {}", file.display()))?);
        }
        if self.plain_http {
            settings.plain_http.push(host);
        }
        Ok(settings)
    }
}
