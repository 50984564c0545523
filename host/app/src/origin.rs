//! A plugin's bytes, from where the configuration says, once it is known that they are the ones that were meant. What is
//! not what its digest or its signature says is a mistake of the configuration, and never runs.

use crate::{
    bundled,
    config::{
        Config, Stage as Configured,
        source::{Located, Spot},
    },
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use wasmilter_registry::{
    Artifact, Digest, Login, PublicKey, PullError, Reference, Registries, RegistrySettings, SignatureError,
    read_signature, signature_file,
};

/// A plugin that may be loaded.
pub(crate) struct Obtained {
    /// Its file, or its reference in a registry.
    pub(crate) from: PathBuf,
    pub(crate) component: Vec<u8>,
    /// Of the component.
    pub(crate) digest: Digest,
    /// Files that a change of would change it.
    pub(crate) files: Vec<PathBuf>,
}

/// Why there is no plugin.
pub(crate) struct Refused {
    pub(crate) at: Spot,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// Finds or fetches the plugin of a stage and holds it against digest and signature. Blocks.
pub(crate) fn obtain(configured: &Configured, plugin: &Located<String>, config: &Config) -> Result<Obtained, Refused> {
    let key = match &configured.signed_by {
        Some(name) => Some((name, find_key(name, config)?)),
        None => None,
    };
    let (obtained, signature) = if Reference::is_one(&plugin.value) {
        fetch(configured, plugin, config)?
    } else {
        read(plugin, key.is_some(), config)?
    };
    if let Some(pinned) = &configured.digest
        && pinned.value != obtained.digest
    {
        let message = format!("the plugin has the digest {}", obtained.digest);
        let help = format!("it is not the one that was meant, or it was changed: {}", obtained.from.display());
        return Err(Refused { at: pinned.at.clone(), message, help: Some(help) });
    }
    if let Some((name, key)) = key {
        let comment = key
            .verify(&obtained.component, signature.as_deref())
            .map_err(|error| not_signed(error, name, &obtained.from))?;
        tracing::debug!(stage = configured.name, key = name.value, comment, "signature of the plugin verified");
    }
    Ok(obtained)
}

fn find_key<'a>(name: &Located<String>, config: &'a Config) -> Result<&'a PublicKey, Refused> {
    config.keys.get(&name.value).ok_or_else(|| {
        let known: Vec<&str> = config.keys.keys().map(String::as_str).collect();
        let help = match crate::config::nearest(&name.value, &known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("describe it: [keys.{}] with minisign = \"RW…\"", name.value),
        };
        Refused { at: name.at.clone(), message: format!("there is no key {:?}", name.value), help: Some(help) }
    })
}

/// A plugin that is a file, with the signature that lies beside it.
fn read(plugin: &Located<String>, signed: bool, config: &Config) -> Result<(Obtained, Option<String>), Refused> {
    let at = || plugin.at.clone();
    let file = bundled::find(plugin, config).map_err(|not_found| Refused {
        at: at(),
        message: not_found.message,
        help: Some(not_found.help),
    })?;
    let unreadable = |file: &Path, error: std::io::Error| Refused {
        at: at(),
        message: format!("reading {}: {error}", file.display()),
        help: None,
    };
    let component = fs::read(&file).map_err(|error| unreadable(&file, error))?;
    let mut files = vec![file.clone()];
    let mut signature = None;
    if signed {
        let beside = signature_file(&file);
        signature = read_signature(&file).map_err(|error| unreadable(&beside, error))?;
        files.push(beside);
    }
    let digest = Digest::of(&component);
    Ok((Obtained { from: file, component, digest, files }, signature))
}

/// A plugin in a registry, or in the cache of what was fetched.
fn fetch(
    configured: &Configured,
    plugin: &Located<String>,
    config: &Config,
) -> Result<(Obtained, Option<String>), Refused> {
    let wrong = |message: String, help: Option<String>| Refused { at: plugin.at.clone(), message, help };
    let reference: Reference = plugin.value.parse().map_err(|error| wrong(format!("{error}"), None))?;
    if reference.digest().is_none() && configured.digest.is_none() && configured.signed_by.is_none() {
        let help = "add @sha256:… as `wasmilter plugin push` printed it, or signed_by = \"KEY\"";
        let message = "whoever may write to the registry could replace this plugin".to_owned();
        return Err(wrong(message, Some(help.to_owned())));
    }
    let registries = Registries::new(registry_settings(config, reference.host())?);
    let pulled = registries.pull(&reference).map_err(|error| {
        let help = match &error {
            PullError::Unreachable { .. } => {
                Some("a plugin that is pinned by digest is kept after it was fetched once")
            }
            PullError::Denied { .. } => Some("give user and password_file in [registries.\"HOST\"]"),
            PullError::Tampered { .. } => Some("do not use it before you know why"),
            _ => None,
        };
        wrong(error.to_string(), help.map(str::to_owned))
    })?;
    let Artifact { component, signature, digest: manifest, cached } = pulled;
    tracing::debug!(stage = configured.name, %reference, digest = %manifest, cached, "plugin fetched");
    let digest = Digest::of(&component);
    Ok((Obtained { from: PathBuf::from(&plugin.value), component, digest, files: Vec::new() }, signature))
}

/// What the configuration says of the registry at `host`.
fn registry_settings(config: &Config, host: &str) -> Result<RegistrySettings, Refused> {
    let mut settings = RegistrySettings {
        cache: Some(config.sandbox.cache.clone()),
        timeout: config.plugins.fetch_timeout,
        ..RegistrySettings::default()
    };
    let Some(registry) = config.registries.get(host) else { return Ok(settings) };
    let unreadable = |file: &Located<PathBuf>, error| Refused {
        at: file.at.clone(),
        message: format!("reading {}: {error}", file.value.display()),
        help: None,
    };
    if let (Some(user), Some(file)) = (&registry.user, &registry.password_file) {
        let password = fs::read_to_string(&file.value).map_err(|error| unreadable(file, error))?;
        let login = Login { user: user.clone(), password: password.trim_end_matches(['\r', '\n']).to_owned() };
        settings.logins.insert(host.to_owned(), login);
    }
    if let Some(file) = &registry.authority_file {
        settings.authorities.push(fs::read(&file.value).map_err(|error| unreadable(file, error))?);
    }
    if registry.plain_http {
        settings.plain_http.push(host.to_owned());
    }
    Ok(settings)
}

fn not_signed(error: SignatureError, key: &Located<String>, from: &Path) -> Refused {
    let help = match &error {
        SignatureError::Unsigned if Reference::is_one(&from.display().to_string()) => {
            "it was pushed without a signature: sign the file, then push it again".to_owned()
        }
        SignatureError::Unsigned => format!("there is no {}.minisig: minisign -S -m FILE makes it", from.display()),
        SignatureError::Changed => "do not use it before you know why".to_owned(),
        _ => format!("the signature must be by the key {:?}", key.value),
    };
    let message = format!("the plugin {} can not be trusted: {error}", from.display());
    Refused { at: key.at.clone(), message, help: Some(help) }
}
