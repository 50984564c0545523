//! The plugin against the `openssl` command line: what we encrypt, OpenSSL must decrypt to the very same bytes.

use crate::Encryption;
use serde_json::{Value, json};
use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};
use wasmilter_sdk::{Decision, Edit, FactValue, Message, Verdict, testing};

const MAIL: &str = "From: Alice <alice@example.net>\nTo: bob@example.org\nSubject: hello\nMIME-Version: 1.0\n\
    Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße,\n.\nend\n";

/// Keys and certificates of a test, in a directory that goes with it.
struct Keys(PathBuf);

impl Keys {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wasmilter-encryption-{}-{count}", std::process::id()));
        fs::create_dir_all(path.join("certificates")).unwrap();
        fs::create_dir_all(path.join("keys")).unwrap();
        Self(path)
    }

    /// Makes a key of `kind` (`rsa:2048`, `P-256`) and a certificate for `address`, named `name`.pem.
    fn add(&self, name: &str, address: &str, kind: &str) {
        self.add_with(name, address, kind, &[]);
    }

    fn add_with(&self, name: &str, address: &str, kind: &str, extra: &[&str]) {
        let key = self.key(name);
        match kind.strip_prefix("rsa:") {
            Some(bits) => run(Command::new("openssl").args(["genrsa", "-out"]).arg(&key).arg(bits)),
            None => run(Command::new("openssl")
                .args(["genpkey", "-algorithm", "EC", "-pkeyopt", &format!("ec_paramgen_curve:{kind}"), "-out"])
                .arg(&key)),
        };
        run(Command::new("openssl")
            .args(["req", "-x509", "-new", "-days", "3650", "-subj", &format!("/CN={name}/O=Müller & Co")])
            .args(["-utf8", "-addext", &format!("subjectAltName=email:{address}")])
            .args(extra)
            .arg("-key")
            .arg(&key)
            .arg("-out")
            .arg(self.certificate(name)));
    }

    fn key(&self, name: &str) -> PathBuf {
        self.0.join("keys").join(format!("{name}.key"))
    }

    fn certificate(&self, name: &str) -> PathBuf {
        self.0.join("certificates").join(format!("{name}.pem"))
    }

    /// What the host makes of `{ directory = … }`, and `more`.
    fn config(&self, more: &Value) -> String {
        let mut files: Vec<_> =
            fs::read_dir(self.0.join("certificates")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let files: Vec<Value> = files
            .iter()
            .map(|path| json!({"name": path.file_name().unwrap().to_str(), "content": fs::read_to_string(path).unwrap()}))
            .collect();
        let mut config = json!({"certificates": {"directory": "/certificates", "files": files}});
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        config.to_string()
    }

    /// Decrypts with the key of `name`.
    fn decrypt(&self, name: &str, message: &[u8]) -> Vec<u8> {
        let path = self.0.join(format!("{name}.eml"));
        fs::write(&path, message).unwrap();
        run(Command::new("openssl")
            .args(["cms", "-decrypt", "-inform", "SMIME", "-in"])
            .arg(&path)
            .arg("-recip")
            .arg(self.certificate(name))
            .arg("-inkey")
            .arg(self.key(name)))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("the openssl command line");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

fn message(eml: &[u8], recipients: &[&str]) -> Message {
    Message::parse(eml).with_recipients(recipients).with_now(now())
}

fn judge(config: &str, message: &Message) -> Decision {
    testing::judge::<Encryption>(config, message).unwrap()
}

/// The encrypted message as openssl reads it.
fn outcome(decision: &Decision, message: &Message) -> Vec<u8> {
    let [Edit::ReplaceContent(entity)] = decision.edits.as_slice() else { panic!("{:?}", decision.edits) };
    let mut whole = Vec::new();
    for field in &entity.headers {
        whole.extend_from_slice(format!("{}: {}\r\n", field.name, field.value).as_bytes());
    }
    whole.extend_from_slice(b"\r\n");
    whole.extend_from_slice(&message.content_bytes(&entity.body));
    whole
}

fn entity(message: &Message) -> Vec<u8> {
    let mut entity = Vec::new();
    std::io::Read::read_to_end(&mut message.entity_reader(0), &mut entity).unwrap();
    entity
}

fn flag(decision: &Decision, name: &str) -> Option<bool> {
    match &decision.facts.iter().find(|fact| fact.name == name)?.value {
        FactValue::Flag(flag) => Some(*flag),
        _ => None,
    }
}

fn texts<'d>(decision: &'d Decision, name: &str) -> Option<&'d [String]> {
    match &decision.facts.iter().find(|fact| fact.name == name)?.value {
        FactValue::Texts(texts) => Some(texts),
        _ => None,
    }
}

#[test]
fn every_kind_of_key_decrypts_to_the_same_bytes() {
    let keys = Keys::new();
    let kinds = [("r2", "rsa:2048"), ("r4", "rsa:4096"), ("p256", "P-256"), ("p384", "P-384"), ("p521", "P-521")];
    for (name, kind) in kinds {
        keys.add(name, &format!("{name}@example.org"), kind);
    }
    for cipher in ["aes256-cbc", "aes256-gcm"] {
        for padding in ["pkcs1v15", "oaep"] {
            let config = keys.config(&json!({"cipher": cipher, "rsa_padding": padding}));
            for (name, _) in kinds {
                let message = message(MAIL.as_bytes(), &[&format!("{name}@example.org")]);
                let decision = judge(&config, &message);
                let decrypted = keys.decrypt(name, &outcome(&decision, &message));
                assert_eq!(decrypted, entity(&message), "{name} {cipher} {padding}");
            }
        }
    }
}

#[test]
fn several_recipients_with_different_keys_all_read_it() {
    let keys = Keys::new();
    keys.add("a", "a@example.org", "rsa:2048");
    keys.add("b", "b@example.org", "P-256");
    keys.add("c", "c@example.org", "P-384");
    for cipher in ["aes256-cbc", "aes256-gcm"] {
        let config = keys.config(&json!({"cipher": cipher}));
        let message = message(MAIL.as_bytes(), &["A@example.org", "b@EXAMPLE.org", "c@example.org", "a@example.org"]);
        let decision = judge(&config, &message);
        assert_eq!(flag(&decision, "encrypted"), Some(true));
        let encrypted = outcome(&decision, &message);
        for name in ["a", "b", "c"] {
            assert_eq!(keys.decrypt(name, &encrypted), entity(&message), "{name} {cipher}");
        }
    }
}

#[test]
fn every_length_around_block_and_piece_borders() {
    let keys = Keys::new();
    keys.add("a", "a@example.org", "P-256");
    for cipher in ["aes256-cbc", "aes256-gcm"] {
        let config = keys.config(&json!({"cipher": cipher}));
        // The header fields of the entity are part of it; whatever their length, a run of 40 meets every border.
        for length in (0..34).chain(65_480..65_540).chain(131_020..131_060) {
            let mut eml = MAIL.as_bytes().to_vec();
            eml.extend(std::iter::repeat_n(b'x', length));
            eml.extend_from_slice(b"\r\n");
            let message = message(&eml, &["a@example.org"]);
            let decision = judge(&config, &message);
            assert_eq!(keys.decrypt("a", &outcome(&decision, &message)), entity(&message), "{length} {cipher}");
        }
    }
}

#[test]
fn lines_are_canonical_base64() {
    let keys = Keys::new();
    keys.add("a", "a@example.org", "rsa:2048");
    let message = message(MAIL.as_bytes(), &["a@example.org"]);
    let decision = judge(&keys.config(&json!({})), &message);
    let [Edit::ReplaceContent(new)] = decision.edits.as_slice() else { panic!() };
    let body = String::from_utf8(message.content_bytes(&new.body)).unwrap();
    let lines: Vec<&str> = body.strip_suffix("\r\n").unwrap().split("\r\n").collect();
    let (last, whole) = lines.split_last().unwrap();
    assert!(whole.iter().all(|line| line.len() == 76), "{body}");
    assert!((1..=76).contains(&last.len()));
    assert!(!body.replace("\r\n", "").contains(['\r', '\n']));
}

#[test]
fn without_a_certificate_the_configured_outcome() {
    let keys = Keys::new();
    keys.add("a", "a@example.org", "P-256");
    let message = message(MAIL.as_bytes(), &["a@example.org", "b@example.org"]);
    for (outcome, name) in
        [("pass", "Next"), ("reject", "Reject"), ("tempfail", "Tempfail"), ("quarantine", "Quarantine")]
    {
        let decision = judge(&keys.config(&json!({"on_missing": outcome})), &message);
        assert!(format!("{:?}", decision.verdict).contains(name), "{:?}", decision.verdict);
        assert!(decision.edits.is_empty(), "nobody gets a message that another one gets in clear");
        assert_eq!(flag(&decision, "encrypted"), Some(false));
        assert_eq!(texts(&decision, "recipients_without").unwrap(), ["b@example.org"]);
    }
    let Verdict::Reject(reply) = judge(&keys.config(&json!({})), &message).verdict else { panic!("not the default") };
    assert!(reply.text.contains("b@example.org") && !reply.text.contains("a@example.org"), "{}", reply.text);
}
