//! A plugin in a registry, pinned and signed; and every way in which it must not start.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use wasmilter_tests::{
    corpus::repository,
    registry::Registry,
    scratch::Scratch,
    server,
    wasmilter::{Wasmilter, command},
};

fn push(registry: &Registry, file: &Path, name: &str) -> String {
    let to = format!("oci://{}/{name}", registry.host());
    let output = command(&["plugin", "push", "--plain-http", &file.display().to_string(), &to]);
    let digest = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(digest.starts_with("sha256:"), "{digest}");
    digest
}

/// A stage whose plugin is `reference` below this registry.
fn stage(registry: &Registry, reference: &str, more: &str) -> String {
    format!(
        "[registries.\"{0}\"]\nplain_http = true\n[[stage]]\nname = \"peer\"\nplugin = \"oci://{0}/{reference}\"\ngrants = [\"headers\", \"set-client\"]\n{more}\n[stage.config]\ntrusted = [\"192.0.2.0/24\"]\n",
        registry.host()
    )
}

/// The file in which the registry keeps what has this digest, `sha256:…`.
fn stored(registry: &Registry, digest: &str) -> PathBuf {
    registry.stored(digest.strip_prefix("sha256:").unwrap())
}

/// A key pair of minisign: the path of the secret half, the line of the public one.
fn key_pair(scratch: &Scratch, name: &str) -> (PathBuf, String) {
    let (secret, public) = (scratch.join(&format!("{name}.key")), scratch.join(&format!("{name}.pub")));
    server::run(Command::new("/usr/bin/minisign").args(["-G", "-W", "-f", "-s"]).arg(&secret).arg("-p").arg(&public));
    let line = fs::read_to_string(&public).unwrap().lines().nth(1).unwrap().to_owned();
    (secret, line)
}

fn sign(secret: &Path, file: &Path) {
    server::run(Command::new("/usr/bin/minisign").args(["-S", "-s"]).arg(secret).arg("-m").arg(file));
}

/// What `check` says of a configuration: whether it is fine, and its words.
fn check(scratch: &Scratch, cache: &Path, config: &str) -> (bool, String) {
    let whole = format!(
        "[milter]\nlisten = \"inet:127.0.0.1:1\"\n[plugins]\nfetch_timeout = \"5s\"\n[sandbox]\ncache = {:?}\n{config}",
        cache.display().to_string()
    );
    let file = scratch.write("wasmilter.toml", whole);
    let output = command(&["check", "--config", &file.display().to_string()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

#[test]
fn a_plugin_from_a_registry_runs_when_it_is_pinned_and_signed_and_fails_closed_otherwise() {
    let mut registry = Registry::start();
    let scratch = Scratch::new("shipping");
    let cache = scratch.directory("cache");
    let ours = fs::read(repository().join("target/plugins/peer-address.wasm")).unwrap();
    let signed = scratch.write("signed/peer-address.wasm", &ours);
    let unsigned = scratch.write("unsigned/peer-address.wasm", &ours);
    let (secret, public) = key_pair(&scratch, "ours");
    let (_, another) = key_pair(&scratch, "another");
    sign(&secret, &signed);
    let digest = push(&registry, &signed, "policies/peer:1");
    let of_unsigned = push(&registry, &unsigned, "policies/unsigned:1");
    let keys = format!("[keys.ours]\nminisign = {public:?}\n[keys.another]\nminisign = {another:?}\n");
    let by = |key: &str| format!("signed_by = \"{key}\"");
    let told = |config: &str, fine: bool, words: &str| {
        let (was_fine, said) = check(&scratch, &cache, config);
        assert_eq!(was_fine, fine, "{said}");
        assert!(said.contains(words), "{words:?}: {said}");
    };

    // Who may write to the registry could replace it.
    told(&stage(&registry, "policies/peer:1", ""), false, "could replace this plugin");
    // Pinned, signed, and both.
    let pinned = format!("policies/peer@{digest}");
    told(&stage(&registry, &pinned, ""), true, "");
    told(&(keys.clone() + &stage(&registry, "policies/peer:1", &by("ours"))), true, "");
    let both = keys.clone() + &stage(&registry, &pinned, &by("ours"));
    told(&both, true, "");
    // Each way not to be trusted has its own words, at its own key.
    told(&(keys.clone() + &stage(&registry, "policies/unsigned:1", &by("ours"))), false, "it is not signed");
    told(
        &(keys.clone() + &stage(&registry, &format!("policies/unsigned@{of_unsigned}"), &by("ours"))),
        false,
        "stage[0].signed_by",
    );
    told(&(keys.clone() + &stage(&registry, &pinned, &by("another"))), false, "signed by another key");
    told(&(keys.clone() + &stage(&registry, &pinned, &by("nobody"))), false, "there is no key \"nobody\"");
    told(
        &stage(&registry, "policies/none:1", &by("ours"))
            .replace("signed_by = \"ours\"", &format!("digest = \"{digest}\"")),
        false,
        "does not have it",
    );
    let wrong = format!("policies/peer@sha256:{}", "0".repeat(64));
    told(&stage(&registry, &wrong, ""), false, "does not have it");

    // Changed in the registry, behind its back: the layer's bytes are no longer those of its digest.
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(stored(&registry, &digest)).unwrap()).unwrap();
    let layer = stored(&registry, manifest["layers"][0]["digest"].as_str().unwrap());
    let right = fs::read(&layer).unwrap();
    let mut changed = right.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&layer, changed).unwrap();
    let elsewhere = scratch.directory("another-cache");
    let (fine, said) = check(&scratch, &elsewhere, &both);
    assert!(!fine && said.contains("something else than its digest says"), "{said}");
    fs::write(&layer, right).unwrap();

    // The registry is gone: what is pinned was kept, what is not can not be had.
    registry.stop();
    told(&both, true, "");
    told(&(keys + &stage(&registry, "policies/peer:1", &by("ours"))), false, "can not be reached");
    let (fine, said) = check(&scratch, &elsewhere, &both);
    assert!(!fine && said.contains("can not be reached"), "{said}");
}

#[test]
fn a_signed_file_runs_and_a_daemon_keeps_what_it_has_when_the_file_is_changed() {
    let scratch = Scratch::new("signed-file");
    let ours = fs::read(repository().join("target/plugins/peer-address.wasm")).unwrap();
    let file = scratch.write("peer-address.wasm", &ours);
    let (secret, public) = key_pair(&scratch, "ours");
    sign(&secret, &file);
    let config = format!(
        "[keys.ours]\nminisign = {public:?}\n[[stage]]\nname = \"peer\"\nplugin = {:?}\nsigned_by = \"ours\"\ngrants = [\"headers\", \"set-client\"]\n[stage.config]\ntrusted = [\"192.0.2.0/24\"]\n",
        file.display().to_string()
    );
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let mut host = Wasmilter::start_at(&address, &config);
    let reload = |host: &Wasmilter| {
        let output = command(&["reload", "--admin", &host.admin().to_string()]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    let (fine, said) = reload(&host);
    assert!(fine, "{said}");

    // Another plugin under the old signature.
    let other = fs::read(repository().join("target/plugins/disclaimer.wasm")).unwrap();
    fs::write(&file, other).unwrap();
    let (fine, said) = reload(&host);
    assert!(!fine && said.contains("the plugin or the signature was changed"), "{said}");
    fs::write(&file, &ours).unwrap();
    let signature = format!("{}.minisig", file.display());
    let kept = fs::read(&signature).unwrap();
    fs::remove_file(&signature).unwrap();
    let (fine, said) = reload(&host);
    assert!(!fine && said.contains("it is not signed"), "{said}");
    assert!(!host.ended());
    assert_eq!(host.metrics().sum("wasmilter_config_last_reload_successful", &[]), 0.0);

    fs::write(&signature, kept).unwrap();
    let (fine, said) = reload(&host);
    assert!(fine, "{said}");
    host.stop();
}

#[test]
fn a_file_is_held_against_its_digest() {
    let scratch = Scratch::new("digest");
    let cache = scratch.directory("cache");
    let file = repository().join("target/plugins/peer-address.wasm");
    let sum = server::run(Command::new("sha256sum").arg(&file));
    let hex = sum.split_whitespace().next().unwrap();
    let config = |hex: &str| {
        format!(
            "[[stage]]\nname = \"peer\"\nplugin = {:?}\ndigest = \"sha256:{hex}\"\ngrants = [\"headers\", \"set-client\"]\n[stage.config]\ntrusted = [\"192.0.2.0/24\"]\n",
            file.display().to_string()
        )
    };
    let (fine, said) = check(&scratch, &cache, &config(hex));
    assert!(fine, "{said}");
    let (fine, said) = check(&scratch, &cache, &config(&"ab".repeat(32)));
    assert!(!fine && said.contains("stage[0].digest") && said.contains(hex), "{said}");
    let (fine, said) = check(&scratch, &cache, &config("abc"));
    assert!(!fine && said.contains("64 hexadecimal digits"), "{said}");
}
