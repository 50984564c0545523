//! Fetching a plugin from a registry, or from the cache of what was fetched before.

use crate::{
    reference::{Digest, Reference},
    signature,
};
use oci_client::{
    Client,
    client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    errors::OciDistributionError,
    manifest::{OciDescriptor, OciImageManifest},
    secrets::RegistryAuth,
};
use std::{
    collections::BTreeMap,
    fs,
    future::Future,
    io::Write,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// Media type of the layer that is the component.
pub(crate) const COMPONENT: &str = "application/wasm";
/// Media type of the layer that is its signature: the text of a `.minisig` file.
pub(crate) const SIGNATURE: &str = "application/vnd.wasmilter.signature.minisign";
/// Largest manifest that is taken, in bytes.
const MANIFEST: usize = 1 << 20;

/// A plugin as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The component.
    pub component: Vec<u8>,
    /// The text of its `.minisig` file, when it has one.
    pub signature: Option<String>,
    /// Digest of its manifest: what to pin.
    pub digest: Digest,
    /// Whether it came from the cache, without asking the registry.
    pub cached: bool,
}

/// What there is to know of registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Where fetched plugins are kept; none: nowhere. Only plugins that are pinned by digest are taken from there.
    pub cache: Option<PathBuf>,
    /// How to log in, by `HOST[:PORT]`.
    pub logins: BTreeMap<String, Login>,
    /// Registries that are spoken to without TLS, by `HOST[:PORT]`.
    pub plain_http: Vec<String>,
    /// Certificates (PEM) of authorities to trust beside the system's.
    pub authorities: Vec<Vec<u8>>,
    /// For everything that one plugin takes; zero: a minute.
    pub timeout: Duration,
    /// Largest component that is taken, in bytes; zero: 64 MiB.
    pub size_max: u64,
}

/// User and password, or token, of a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// User.
    pub user: String,
    /// Password or access token.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why a plugin could not be fetched. None of them leaves anything behind that could be taken for it.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// No connection, no name, no TLS, no answer in time.
    #[error("fetching {reference}: the registry can not be reached: {reason}")]
    Unreachable {
        /// The plugin.
        reference: String,
        /// Why.
        reason: String,
    },
    /// The registry wants another login, or any.
    #[error("fetching {reference}: the registry refuses the login: {reason}")]
    Denied {
        /// The plugin.
        reference: String,
        /// Why.
        reason: String,
    },
    /// There is no such plugin.
    #[error("fetching {reference}: the registry does not have it")]
    NotFound {
        /// The plugin.
        reference: String,
    },
    /// Not what the digest says.
    #[error("fetching {reference}: the registry gave something else than its digest says: {reason}")]
    Tampered {
        /// The plugin.
        reference: String,
        /// What differs.
        reason: String,
    },
    /// An artifact, but no plugin.
    #[error("fetching {reference}: it is no plugin: {reason}")]
    NotAPlugin {
        /// The plugin.
        reference: String,
        /// What is missing.
        reason: String,
    },
    /// Larger than it may be.
    #[error("fetching {reference}: it has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// The plugin.
        reference: String,
        /// As the manifest says.
        size: u64,
        /// `size_max`
        limit: u64,
    },
    /// Something on this side.
    #[error("fetching {reference}: {reason}")]
    Local {
        /// The plugin.
        reference: String,
        /// What.
        reason: String,
    },
}

/// Registries, as configured.
#[derive(Debug, Clone)]
pub struct Registries {
    settings: RegistrySettings,
}

impl Registries {
    /// With these settings.
    #[must_use]
    pub fn new(settings: RegistrySettings) -> Self {
        // The TLS library wants to know once in a process who computes for it; a second time says so and is fine.
        let _already = rustls::crypto::ring::default_provider().install_default();
        Self { settings }
    }

    /// Fetches a plugin: from the cache when it is pinned and there, from the registry otherwise. Blocks, at most for the
    /// timeout; may be called inside or outside of a runtime.
    ///
    /// # Errors
    /// See [`PullError`].
    pub fn pull(&self, reference: &Reference) -> Result<Artifact, PullError> {
        if let (Some(digest), Some(cache)) = (reference.digest(), &self.settings.cache)
            && let Some(artifact) = from_cache(&place(cache, digest), digest)
        {
            return Ok(artifact);
        }
        let fetched = run(self.timeout(), self.fetch(reference));
        let (manifest, artifact) = match fetched {
            Some(Ok(fetched)) => fetched?,
            Some(Err(reason)) => return Err(PullError::Local { reference: reference.to_string(), reason }),
            None => {
                let reason = format!("no answer within {:?}", self.timeout());
                return Err(PullError::Unreachable { reference: reference.to_string(), reason });
            }
        };
        if let Some(cache) = &self.settings.cache
            && let Err(error) = keep(&place(cache, artifact.digest), &manifest, &artifact)
        {
            tracing::warn!(%reference, %error, "fetched plugin could not be kept in the cache");
        }
        Ok(artifact)
    }

    async fn fetch(&self, reference: &Reference) -> Result<(Vec<u8>, Artifact), PullError> {
        let client = self.client();
        let image = reference.inner();
        let auth = self.auth(reference.host());
        let explain = |error| explain(reference, error);
        let (raw, said) = client
            .pull_manifest_raw(image, &auth, &[oci_client::manifest::OCI_IMAGE_MEDIA_TYPE])
            .await
            .map_err(explain)?;
        let digest = Digest::of(&raw);
        // The library checks these as well; that a plugin is the one that was pinned is not left to anybody else.
        if reference.digest().is_some_and(|pinned| pinned != digest) || said != digest.to_string() {
            let reason = format!("its manifest has the digest {digest}");
            return Err(PullError::Tampered { reference: reference.to_string(), reason });
        }
        let layers = Layers::of(&raw).map_err(|reason| not_a_plugin(reference, reason))?;
        let limit = if self.settings.size_max == 0 { 64 << 20 } else { self.settings.size_max };
        let component = blob(&client, reference, &layers.component, limit).await?;
        let signature = match &layers.signature {
            Some(layer) => {
                let bytes = blob(&client, reference, layer, signature::LONGEST as u64).await?;
                Some(String::from_utf8(bytes).map_err(|_| not_a_plugin(reference, "its signature is no text".into()))?)
            }
            None => None,
        };
        Ok((raw.to_vec(), Artifact { component, signature, digest, cached: false }))
    }

    pub(crate) fn client(&self) -> Client {
        let authorities = self.settings.authorities.iter();
        Client::new(ClientConfig {
            protocol: ClientProtocol::HttpsExcept(self.settings.plain_http.clone()),
            extra_root_certificates: authorities
                .map(|pem| Certificate { encoding: CertificateEncoding::Pem, data: pem.clone() })
                .collect(),
            connect_timeout: Some(self.timeout()),
            read_timeout: Some(self.timeout()),
            platform_resolver: None,
            ..ClientConfig::default()
        })
    }

    pub(crate) fn auth(&self, host: &str) -> RegistryAuth {
        let login = self.settings.logins.get(host);
        login.map_or(RegistryAuth::Anonymous, |login| RegistryAuth::Basic(login.user.clone(), login.password.clone()))
    }

    pub(crate) fn timeout(&self) -> Duration {
        if self.settings.timeout.is_zero() { Duration::from_secs(60) } else { self.settings.timeout }
    }
}

/// What a manifest names.
struct Layers {
    component: OciDescriptor,
    signature: Option<OciDescriptor>,
}

impl Layers {
    fn of(manifest: &[u8]) -> Result<Self, String> {
        if manifest.len() > MANIFEST {
            return Err(format!("its manifest has {} bytes, the limit is {MANIFEST}", manifest.len()));
        }
        let manifest: OciImageManifest =
            serde_json::from_slice(manifest).map_err(|error| format!("its manifest is malformed: {error}"))?;
        let of =
            |kind: &str| manifest.layers.iter().filter(|layer| layer.media_type == kind).cloned().collect::<Vec<_>>();
        let mut components = of(COMPONENT);
        let mut signatures = of(SIGNATURE);
        match (components.pop(), components.is_empty(), signatures.pop(), signatures.is_empty()) {
            (Some(component), true, signature, true) => Ok(Self { component, signature }),
            _ => Err(format!("it must have one layer {COMPONENT} and at most one {SIGNATURE}")),
        }
    }
}

async fn blob(client: &Client, reference: &Reference, layer: &OciDescriptor, limit: u64) -> Result<Vec<u8>, PullError> {
    let too_large = |size| PullError::TooLarge { reference: reference.to_string(), size, limit };
    let size = u64::try_from(layer.size).unwrap_or(u64::MAX);
    if size > limit {
        return Err(too_large(size));
    }
    // The manifest is not believed: a longer answer ends at the limit.
    let mut bytes = Bounded { bytes: Vec::new(), limit: usize::try_from(limit).unwrap_or(usize::MAX) };
    let pulled = client.pull_blob(reference.inner(), layer, &mut bytes).await;
    if bytes.bytes.len() > bytes.limit {
        return Err(too_large(bytes.bytes.len() as u64));
    }
    pulled.map_err(|error| explain(reference, error))?;
    let digest = Digest::of(&bytes.bytes);
    if layer.digest != digest.to_string() {
        let reason = format!("a layer has the digest {digest}, its manifest says {}", layer.digest);
        return Err(PullError::Tampered { reference: reference.to_string(), reason });
    }
    Ok(bytes.bytes)
}

/// Takes what is written up to a limit, and fails at one byte more.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl tokio::io::AsyncWrite for Bounded {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        piece: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.bytes.extend(piece);
        if self.bytes.len() > self.limit {
            return std::task::Poll::Ready(Err(std::io::Error::other("longer than it may be")));
        }
        std::task::Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

fn not_a_plugin(reference: &Reference, reason: String) -> PullError {
    PullError::NotAPlugin { reference: reference.to_string(), reason }
}

/// The library's errors by what an administrator would do about them.
fn explain(reference: &Reference, error: OciDistributionError) -> PullError {
    use OciDistributionError as Oci;
    let reference = reference.to_string();
    let reason = chain(&error);
    match error {
        Oci::AuthenticationFailure(_) | Oci::UnauthorizedError { .. } => PullError::Denied { reference, reason },
        Oci::DigestError(_) => PullError::Tampered { reference, reason },
        Oci::ImageManifestNotFoundError(_) => PullError::NotFound { reference },
        Oci::ServerError { code: 404, .. } => PullError::NotFound { reference },
        Oci::RegistryError { envelope, .. } => {
            use oci_client::errors::OciErrorCode as Code;
            match envelope.errors.first().map(|error| &error.code) {
                Some(Code::ManifestUnknown | Code::NameUnknown | Code::BlobUnknown | Code::NotFound) => {
                    PullError::NotFound { reference }
                }
                Some(Code::Unauthorized | Code::Denied) => PullError::Denied { reference, reason },
                _ => PullError::Unreachable { reference, reason },
            }
        }
        Oci::RequestError(_) | Oci::ServerError { .. } | Oci::IoError(_) => {
            PullError::Unreachable { reference, reason }
        }
        Oci::ImageIndexParsingNoPlatformResolverError => {
            PullError::NotAPlugin { reference, reason: "it is an index of several images".to_owned() }
        }
        _ => PullError::NotAPlugin { reference, reason },
    }
}

/// An error and what caused it, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Runs it on a thread with a runtime of its own; none when the time is over.
pub(crate) fn run<T: Send>(limit: Duration, work: impl Future<Output = T> + Send) -> Option<Result<T, String>> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("registry".to_owned()).spawn_scoped(scope, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok::<_, std::io::Error>(runtime.block_on(async { tokio::time::timeout(limit, work).await.ok() }))
        });
        let outcome = match worker {
            Ok(worker) => worker.join(),
            Err(error) => return Some(Err(format!("starting a thread: {error}"))),
        };
        match outcome {
            Ok(Ok(done)) => done.map(Ok),
            Ok(Err(error)) => Some(Err(format!("starting a runtime: {error}"))),
            Err(_) => Some(Err("the registry's library panicked".to_owned())),
        }
    })
}

const MANIFEST_FILE: &str = "manifest.json";
const COMPONENT_FILE: &str = "component.wasm";
const SIGNATURE_FILE: &str = "component.wasm.minisig";

/// Where an artifact is kept.
fn place(cache: &Path, digest: Digest) -> PathBuf {
    cache.join("oci").join(digest.hex())
}

/// What was kept, when it still is what the digest says: a cache that somebody wrote to is a cache miss.
fn from_cache(place: &Path, pinned: Digest) -> Option<Artifact> {
    let manifest = fs::read(place.join(MANIFEST_FILE)).ok()?;
    let layers = Layers::of(&manifest).ok()?;
    let fits = |layer: &OciDescriptor, bytes: &[u8]| layer.digest == Digest::of(bytes).to_string();
    let component = fs::read(place.join(COMPONENT_FILE)).ok()?;
    let signature = match &layers.signature {
        Some(layer) => {
            let text = fs::read_to_string(place.join(SIGNATURE_FILE)).ok()?;
            fits(layer, text.as_bytes()).then_some(Some(text))?
        }
        None => None,
    };
    let whole = Digest::of(&manifest) == pinned && fits(&layers.component, &component);
    whole.then_some(Artifact { component, signature, digest: pinned, cached: true })
}

/// Written beside and renamed: nobody reads half of it.
fn keep(place: &Path, manifest: &[u8], artifact: &Artifact) -> std::io::Result<()> {
    fs::create_dir_all(place)?;
    let write = |name: &str, bytes: &[u8]| {
        let mut file = tempfile::NamedTempFile::new_in(place)?;
        file.write_all(bytes)?;
        file.persist(place.join(name)).map(drop).map_err(|error| error.error)
    };
    write(COMPONENT_FILE, &artifact.component)?;
    if let Some(signature) = &artifact.signature {
        write(SIGNATURE_FILE, signature.as_bytes())?;
    }
    write(MANIFEST_FILE, manifest)
}
