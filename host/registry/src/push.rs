//! Putting a plugin into a registry.

use crate::{
    pull::{COMPONENT, Registries, SIGNATURE, chain, run},
    reference::{Digest, Reference},
};
use oci_client::{
    client::{Config, ImageLayer},
    manifest::OciImageManifest,
};
use std::collections::BTreeMap;

/// Media type of the configuration of a Wasm artifact.
const CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// Why a plugin could not be pushed.
#[derive(Debug, thiserror::Error)]
#[error("pushing {reference}: {reason}")]
pub struct PushError {
    reference: String,
    reason: String,
}

impl Registries {
    /// Pushes a component, and its signature when it has one (the text of its `.minisig` file). Gives the digest of the
    /// manifest: what users pin. Blocks, at most for the timeout.
    ///
    /// # Errors
    /// When the registry did not take it, or not in time.
    pub fn push(
        &self,
        reference: &Reference,
        component: Vec<u8>,
        signature: Option<String>,
        annotations: &[(String, String)],
    ) -> Result<Digest, PushError> {
        let failed = |reason: String| PushError { reference: reference.to_string(), reason };
        if reference.digest().is_some() {
            return Err(failed("a digest comes of pushing; leave it out".to_owned()));
        }
        let config = serde_json::json!({
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [Digest::of(&component).to_string()],
        });
        let config = Config::new(config.to_string().into_bytes(), CONFIG.to_owned(), None);
        let mut layers = vec![ImageLayer::new(component, COMPONENT.to_owned(), None)];
        if let Some(signature) = signature {
            layers.push(ImageLayer::new(signature.into_bytes(), SIGNATURE.to_owned(), None));
        }
        let annotations: BTreeMap<String, String> = annotations.iter().cloned().collect();
        let manifest = OciImageManifest::build(&layers, &config, (!annotations.is_empty()).then_some(annotations));
        let pushed = run(self.timeout(), async {
            let client = self.client();
            let auth = self.auth(reference.host());
            client
                .push(reference.inner(), &layers, config, &auth, Some(manifest))
                .await
                .map_err(|error| chain(&error))?;
            client.fetch_manifest_digest(reference.inner(), &auth).await.map_err(|error| chain(&error))
        });
        let digest = match pushed {
            Some(done) => done.and_then(|pushed| pushed).map_err(failed)?,
            None => return Err(failed(format!("not done within {:?}", self.timeout()))),
        };
        digest.parse().map_err(|error| failed(format!("the registry gave no digest: {error}")))
    }
}
