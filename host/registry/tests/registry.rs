//! Against a real registry, run privately on loopback.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a test fails by panicking")]

use oci_client::{
    Client,
    client::{ClientConfig, ClientProtocol, Config, ImageLayer},
    secrets::RegistryAuth,
};
use std::{
    fs,
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};
use wasmilter_registry::{Digest, Login, PublicKey, PullError, Reference, Registries, RegistrySettings};
use wasmilter_tests::{
    ports,
    registry::{self, Registry},
    scratch::Scratch,
};

const PLUGIN: &[u8] = b"\0asm\x0d\0\x01\0 the registry does not look inside";

fn reference(registry: &Registry, rest: &str) -> Reference {
    format!("oci://{}/{rest}", registry.host()).parse().unwrap()
}

fn settings(registry: &Registry) -> RegistrySettings {
    RegistrySettings {
        plain_http: vec![registry.host().to_owned()],
        timeout: Duration::from_secs(30),
        ..RegistrySettings::default()
    }
}

fn pinned(registry: &Registry, name: &str, digest: Digest) -> Reference {
    reference(registry, &format!("{name}@{digest}"))
}

fn signed(bytes: &[u8]) -> (PublicKey, String) {
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let signature = minisign::sign(Some(&pair.pk), &pair.sk, bytes, Some("a comment"), None).unwrap();
    (PublicKey::parse(&pair.pk.to_base64()).unwrap(), signature.to_string())
}

#[test]
fn what_was_pushed_is_pulled_by_digest_and_by_tag_with_its_signature() {
    let registry = Registry::start();
    let registries = Registries::new(settings(&registry));
    let (key, signature) = signed(PLUGIN);
    let tag = reference(&registry, "policies/look-alike:1.2");
    let annotations = [("org.opencontainers.image.version".to_owned(), "1.2".to_owned())];
    let digest = registries.push(&tag, PLUGIN.to_vec(), Some(signature.clone()), &annotations).unwrap();
    for reference in [tag, pinned(&registry, "policies/look-alike", digest)] {
        let artifact = registries.pull(&reference).unwrap();
        assert_eq!(artifact.component, PLUGIN);
        assert_eq!(artifact.digest, digest);
        assert!(!artifact.cached);
        assert_eq!(key.verify(&artifact.component, artifact.signature.as_deref()).unwrap(), "a comment");
    }
    let unsigned = reference(&registry, "policies/unsigned:1");
    registries.push(&unsigned, PLUGIN.to_vec(), None, &[]).unwrap();
    assert_eq!(registries.pull(&unsigned).unwrap().signature, None);
}

#[test]
fn a_pinned_plugin_comes_from_the_cache_when_the_registry_is_gone_and_a_changed_cache_is_not_believed() {
    let mut registry = Registry::start();
    let cache = Scratch::new("cache");
    let mut settings = settings(&registry);
    settings.cache = Some(cache.path().to_owned());
    let registries = Registries::new(settings);
    let (_, signature) = signed(PLUGIN);
    let tag = reference(&registry, "p:1");
    let digest = registries.push(&tag, PLUGIN.to_vec(), Some(signature), &[]).unwrap();
    let pin = pinned(&registry, "p", digest);
    let fetched = registries.pull(&pin).unwrap();
    assert!(!fetched.cached);

    // Somebody wrote to the cache: the registry is asked again.
    let kept = cache.join(&format!("oci/{}/component.wasm", digest.hex()));
    fs::write(&kept, b"\0asm something else").unwrap();
    assert!(!registries.pull(&pin).unwrap().cached);

    registry.stop();
    let again = registries.pull(&pin).unwrap();
    assert!(again.cached);
    assert_eq!((again.component, again.signature), (fetched.component, fetched.signature));
    // A tag says nothing of what it was before.
    assert!(matches!(registries.pull(&tag), Err(PullError::Unreachable { .. })));
    for file in ["component.wasm", "component.wasm.minisig", "manifest.json"] {
        let path = cache.join(&format!("oci/{}/{file}", digest.hex()));
        let right = fs::read(&path).unwrap();
        change_a_byte(&path);
        assert!(matches!(registries.pull(&pin), Err(PullError::Unreachable { .. })), "{file}");
        fs::write(&path, right).unwrap();
    }
    assert!(registries.pull(&pin).unwrap().cached);
}

#[test]
fn a_registry_that_gives_something_else_is_caught() {
    let registry = Registry::start();
    let registries = Registries::new(settings(&registry));
    let tag = reference(&registry, "p:1");
    let digest = registries.push(&tag, PLUGIN.to_vec(), None, &[]).unwrap();
    let pin = pinned(&registry, "p", digest);
    let manifest = registry.stored(&digest.hex());
    let layer = registry.stored(&Digest::of(PLUGIN).hex());
    for file in [&layer, &manifest] {
        let right = fs::read(file).unwrap();
        change_a_byte(file);
        let error = registries.pull(&pin).unwrap_err();
        // Some changes the registry itself notices, and does not give the file.
        assert!(
            matches!(error, PullError::Tampered { .. } | PullError::NotFound { .. } | PullError::Unreachable { .. }),
            "{error:?}"
        );
        fs::write(file, right).unwrap();
    }
    assert_eq!(registries.pull(&pin).unwrap().component, PLUGIN);
    // A layer that was changed and not noticed by the registry is noticed here.
    change_a_byte(&layer);
    assert!(matches!(registries.pull(&pin), Err(PullError::Tampered { .. })));
}

#[test]
fn the_limit_of_size_holds_to_the_byte() {
    let registry = Registry::start();
    let pull = |size_max| {
        let registries = Registries::new(RegistrySettings { size_max, ..settings(&registry) });
        let tag = reference(&registry, "p:1");
        registries.push(&tag, PLUGIN.to_vec(), None, &[]).unwrap();
        registries.pull(&tag)
    };
    let size = PLUGIN.len() as u64;
    assert_eq!(pull(size).unwrap().component, PLUGIN);
    assert!(matches!(pull(size - 1), Err(PullError::TooLarge { limit, .. }) if limit == size - 1));
}

#[test]
fn what_is_no_plugin_is_told_apart_from_what_is_not_there() {
    let registry = Registry::start();
    let registries = Registries::new(settings(&registry));
    let missing = registries.pull(&reference(&registry, "nothing/here:1"));
    assert!(matches!(missing, Err(PullError::NotFound { .. })), "{missing:?}");

    let image = reference(&registry, "image:1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let plain = ClientProtocol::HttpsExcept(vec![registry.host().to_owned()]);
    let client = Client::new(ClientConfig { protocol: plain, ..ClientConfig::default() });
    let layers = [ImageLayer::new(b"text".to_vec(), "text/plain".to_owned(), None)];
    let config = Config::new(b"{}".to_vec(), "application/json".to_owned(), None);
    let to = image.to_string().replace("oci://", "").parse().unwrap();
    runtime.block_on(client.push(&to, &layers, config, &RegistryAuth::Anonymous, None)).unwrap();
    let pulled = registries.pull(&image);
    assert!(matches!(pulled, Err(PullError::NotAPlugin { .. })), "{pulled:?}");
}

#[test]
fn a_registry_that_wants_a_login_gets_the_configured_one() {
    let registry = Registry::with_login();
    let login = |password: &str| Login { user: registry::USER.to_owned(), password: password.to_owned() };
    let with = |login: Option<Login>| {
        let mut settings = settings(&registry);
        settings.logins.extend(login.map(|login| (registry.host().to_owned(), login)));
        Registries::new(settings)
    };
    let tag = reference(&registry, "p:1");
    with(Some(login(registry::PASSWORD))).push(&tag, PLUGIN.to_vec(), None, &[]).unwrap();
    assert_eq!(with(Some(login(registry::PASSWORD))).pull(&tag).unwrap().component, PLUGIN);
    for refused in [None, Some(login("wrong"))] {
        let error = with(refused).pull(&tag).unwrap_err();
        assert!(matches!(error, PullError::Denied { .. }), "{error:?}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
}

#[test]
fn nobody_there_and_nobody_answering_end_as_unreachable_in_time() {
    let at = |port: u16| -> Reference { format!("oci://127.0.0.1:{port}/p:1").parse().unwrap() };
    let settings = |port: u16| RegistrySettings {
        plain_http: vec![format!("127.0.0.1:{port}")],
        timeout: Duration::from_secs(1),
        ..RegistrySettings::default()
    };
    let closed = ports::free();
    let error = Registries::new(settings(closed)).pull(&at(closed)).unwrap_err();
    assert!(matches!(error, PullError::Unreachable { .. }), "{error:?}");

    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let start = Instant::now();
    let error = Registries::new(settings(port)).pull(&at(port)).unwrap_err();
    assert!(matches!(error, PullError::Unreachable { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());

    // Without `plain_http` TLS is spoken, whatever the registry would like.
    let registry = Registry::start();
    let error = Registries::new(RegistrySettings::default()).pull(&reference(&registry, "p:1")).unwrap_err();
    assert!(matches!(error, PullError::Unreachable { .. }), "{error:?}");
}

fn change_a_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(path, bytes).unwrap();
}
