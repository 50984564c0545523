//! The plugin against the `openssl` command line: what we encrypt, OpenSSL must decrypt to the very same bytes.

use crate::{
    Encryption,
    certificate::{self, Certificate},
    recipient::RsaPadding,
    seal::{self, ContentCipher, SealError},
};
use data_encoding::BASE64;
use rand_core::{TryCryptoRng, TryRng};
use serde_json::{Value, json};
use std::{
    cell::Cell,
    convert::Infallible,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
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

    fn parsed(&self, name: &str) -> Certificate {
        let der = certificate::in_file(&fs::read(self.certificate(name)).unwrap()).unwrap();
        Certificate::parse(&der[0], 2048).unwrap()
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
    let [Edit::ReplaceContent(entity)] = decision.edits() else { panic!("{:?}", decision.edits()) };
    let mut whole = Vec::new();
    for field in &entity.headers {
        whole.extend_from_slice(format!("{}: {}\r\n", field.name, field.value).as_bytes());
    }
    whole.extend_from_slice(b"\r\n");
    whole.extend_from_slice(&message.contract_bytes(&entity.body));
    whole
}

fn entity(message: &Message) -> Vec<u8> {
    let mut entity = Vec::new();
    message.entity_reader().read_to_end(&mut entity).unwrap();
    entity
}

fn flag(decision: &Decision, name: &str) -> Option<bool> {
    match &decision.facts().iter().find(|fact| fact.name == name)?.value {
        FactValue::Flag(flag) => Some(*flag),
        _ => None,
    }
}

fn texts<'d>(decision: &'d Decision, name: &str) -> Option<&'d [String]> {
    match &decision.facts().iter().find(|fact| fact.name == name)?.value {
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
    const PIECE: usize = 65_536;
    let keys = Keys::new();
    keys.add("a", "a@example.org", "P-256");
    let certificate = keys.parsed("a");
    let recipients = [(&certificate, certificate.key_at(now()).unwrap())];
    for (cipher, smime_type) in
        [(ContentCipher::Aes256Cbc, "enveloped-data"), (ContentCipher::Aes256Gcm, "authEnveloped-data")]
    {
        for length in (0..18).chain([
            PIECE - 16,
            PIECE - 1,
            PIECE,
            PIECE + 1,
            PIECE + 16,
            2 * PIECE - 1,
            2 * PIECE,
            2 * PIECE + 1,
        ]) {
            let content: Vec<u8> = (0..=255).cycle().take(length).collect();
            let mut message = format!(
                "MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type={smime_type}\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n"
            )
            .into_bytes();
            let open = || content.as_slice();
            seal::seal(&recipients, cipher, RsaPadding::default(), &mut Urandom, open, &mut message).unwrap();
            assert!(keys.decrypt("a", &message) == content, "{length} {smime_type}");
        }
    }
}

#[test]
fn lines_are_canonical_base64() {
    let keys = Keys::new();
    keys.add("a", "a@example.org", "rsa:2048");
    let message = message(MAIL.as_bytes(), &["a@example.org"]);
    let decision = judge(&keys.config(&json!({})), &message);
    let [Edit::ReplaceContent(new)] = decision.edits() else { panic!() };
    let body = String::from_utf8(message.contract_bytes(&new.body)).unwrap();
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
        assert!(format!("{:?}", decision.verdict()).contains(name), "{:?}", decision.verdict());
        assert!(decision.edits().is_empty(), "nobody gets a message that another one gets in clear");
        assert_eq!(flag(&decision, "encrypted"), Some(false));
        assert_eq!(texts(&decision, "recipients_without").unwrap(), ["b@example.org"]);
    }
    let Verdict::Reject(reply) = judge(&keys.config(&json!({})), &message).verdict().clone() else {
        panic!("not the default")
    };
    assert!(reply.text.contains("b@example.org") && !reply.text.contains("a@example.org"), "{}", reply.text);
}

#[test]
fn cases() {
    testing::cases::<Encryption>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}

/// What `openssl cms -cmsout -print` says of the structure.
fn print(keys: &Keys, encrypted: &[u8]) -> String {
    let path = keys.0.join("print.eml");
    fs::write(&path, encrypted).unwrap();
    let printed =
        run(Command::new("openssl").args(["cms", "-cmsout", "-print", "-noout", "-inform", "SMIME", "-in"]).arg(&path));
    String::from_utf8_lossy(&printed).into_owned()
}

#[test]
fn algorithms_and_versions_are_those_of_the_rfcs() {
    let keys = Keys::new();
    keys.add("a", "a@example.org", "rsa:2048");
    keys.add("b", "b@example.org", "P-256");
    keys.add("c", "c@example.org", "P-384");
    let printed = |more: Value, recipients: &[&str]| {
        let message = message(MAIL.as_bytes(), recipients);
        let decision = judge(&keys.config(&more), &message);
        print(&keys, &outcome(&decision, &message))
    };
    let rsa = printed(json!({}), &["a@example.org"]);
    assert!(rsa.contains("d.envelopedData") && rsa.contains("version: 0") && !rsa.contains("version: 2"), "{rsa}");
    assert!(rsa.contains("rsaEncryption") && rsa.contains("aes-256-cbc") && rsa.contains("pkcs7-data"), "{rsa}");
    let oaep = printed(json!({"rsa_padding": "oaep"}), &["a@example.org"]);
    assert!(oaep.contains("rsaesOaep") && oaep.contains("sha256"), "{oaep}");
    let mixed = printed(json!({"cipher": "aes256-gcm"}), &["a@example.org", "b@example.org", "c@example.org"]);
    for wanted in [
        "AuthEnvelopedData",
        "version: 0",
        "version: 3",
        "aes-256-gcm",
        "id-aes256-wrap",
        "dhSinglePass-stdDH-sha256kdf-scheme",
        "dhSinglePass-stdDH-sha384kdf-scheme",
    ] {
        assert!(mixed.to_lowercase().contains(&wanted.to_lowercase()), "{wanted}: {mixed}");
    }
    let ec = printed(json!({}), &["b@example.org"]);
    assert!(ec.contains("version: 2"), "{ec}");
}

#[test]
fn every_message_has_keys_of_its_own() {
    // The double of the host gives the same randomness every time; here the real one is asked for.
    let keys = Keys::new();
    keys.add("a", "a@example.org", "P-256");
    let certificate = keys.parsed("a");
    let key = certificate.key_at(now()).unwrap();
    let seal = || {
        let mut output = Vec::new();
        let open = || MAIL.as_bytes();
        seal::seal(
            &[(&certificate, key)],
            ContentCipher::default(),
            RsaPadding::default(),
            &mut Urandom,
            open,
            &mut output,
        )
        .unwrap();
        output
    };
    let (one, other) = (seal(), seal());
    assert_eq!(one.len(), other.len());
    let same = one.iter().zip(&other).filter(|(one, other)| one == other).count();
    assert!(same * 2 < one.len(), "{same} of {} bytes are the same", one.len());
}

struct Urandom;

impl TryRng for Urandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, destination: &mut [u8]) -> Result<(), Infallible> {
        fs::File::open("/dev/urandom").unwrap().read_exact(destination).unwrap();
        Ok(())
    }
}

impl TryCryptoRng for Urandom {}

#[test]
fn large_content_passes_in_pieces() {
    /// Takes what is written and notes the largest piece.
    #[derive(Default)]
    struct Counting {
        total: usize,
        largest: usize,
    }
    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.total += bytes.len();
            self.largest = self.largest.max(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let keys = Keys::new();
    keys.add("a", "a@example.org", "P-256");
    let certificate = keys.parsed("a");
    let recipients = [(&certificate, certificate.key_at(now()).unwrap())];
    let mut output = Counting::default();
    let open = || io::repeat(b'x').take(3_000_000);
    seal::seal(&recipients, ContentCipher::Aes256Gcm, RsaPadding::default(), &mut Urandom, open, &mut output).unwrap();
    assert!(output.total > 4_100_000 && output.total < 4_150_000, "{}", output.total);
    assert!(output.largest < 100_000, "{}", output.largest);

    let size = Cell::new(100);
    let open = || io::repeat(b'x').take(size.replace(101));
    let changed =
        seal::seal(&recipients, ContentCipher::Aes256Cbc, RsaPadding::default(), &mut Urandom, open, io::sink());
    assert!(matches!(changed, Err(SealError::Changed)));
}

/// Whether a message to `address` is encrypted at `now`.
fn encrypts(config: &str, address: &str, now: f64) -> bool {
    let message = message(MAIL.as_bytes(), &[address]).with_now(now);
    flag(&judge(config, &message), "encrypted").unwrap()
}

#[test]
fn certificates_that_must_not_be_used_are_not() {
    let keys = Keys::new();
    keys.add("a", "a@example.org", "P-256");
    keys.add_with("sign", "sign@example.org", "P-256", &["-addext", "keyUsage=digitalSignature"]);
    keys.add_with("agree", "agree@example.org", "P-256", &["-addext", "keyUsage=keyAgreement"]);
    keys.add_with("rsasign", "rsasign@example.org", "rsa:2048", &["-addext", "keyUsage=digitalSignature,keyAgreement"]);
    keys.add_with("rsakey", "rsakey@example.org", "rsa:2048", &["-addext", "keyUsage=keyEncipherment"]);
    keys.add_with("web", "web@example.org", "P-256", &["-addext", "extendedKeyUsage=serverAuth"]);
    keys.add_with("mail", "mail@example.org", "P-256", &["-addext", "extendedKeyUsage=serverAuth,emailProtection"]);
    keys.add("small", "small@example.org", "rsa:1024");
    keys.add("curve", "curve@example.org", "secp256k1");
    let config = keys.config(&json!({}));
    for (name, usable) in [
        ("a", true),
        ("sign", false),
        ("agree", true),
        ("rsasign", false),
        ("rsakey", true),
        ("web", false),
        ("mail", true),
        ("small", false),
        ("curve", false),
    ] {
        assert_eq!(encrypts(&config, &format!("{name}@example.org"), now()), usable, "{name}");
    }
    let year = 365.25 * 86400.0;
    assert!(!encrypts(&config, "a@example.org", now() - year), "not valid yet");
    assert!(encrypts(&config, "a@example.org", now() + 9.0 * year));
    assert!(!encrypts(&config, "a@example.org", now() + 11.0 * year), "expired");
    assert!(encrypts(&keys.config(&json!({"minimum_rsa_bits": 1024})), "small@example.org", now()));
}

#[test]
fn an_address_is_found_in_certificate_file_name_and_domain() {
    let keys = Keys::new();
    keys.add("San", "san@example.org", "P-256");
    keys.add("file@example.org", "other@example.org", "P-256");
    keys.add("gateway", "x@invalid.example", "P-256");
    let config = keys.config(&json!({"domains": {"Example.com": "gateway.pem"}}));
    for (address, found) in [
        ("SAN@example.org", true),
        ("file@example.org", true),
        ("other@example.org", true),
        ("any@EXAMPLE.com", true),
        ("san@example.org.evil.example", false),
        ("nobody@example.org", false),
        ("any@sub.example.com", false),
    ] {
        assert_eq!(encrypts(&config, address, now()), found, "{address}");
    }
}

#[test]
fn pem_der_and_bare_base64_are_read() {
    let keys = Keys::new();
    keys.add("a", "a@example.org", "P-256");
    let pem = fs::read_to_string(keys.certificate("a")).unwrap();
    let der = run(Command::new("openssl").args(["x509", "-outform", "DER", "-in"]).arg(keys.certificate("a")));
    let base64 = BASE64.encode(&der);
    let with_text = format!("Bag Attributes\r\n  x: y\r\n{}\r\n\r\n", pem.replace('\n', "\r\n"));
    for file in [
        json!({"name": "a.pem", "content": with_text}),
        json!({"name": "a.der", "base64": base64}),
        json!({"name": "a.CRT", "content": format!("{base64}\n")}),
    ] {
        let config = json!({"certificates": {"directory": "/c", "files": [file, {"name": "README", "content": "x"}]}});
        assert!(encrypts(&config.to_string(), "a@example.org", now()), "{config}");
    }
}

#[test]
fn every_problem_is_told_with_its_place() {
    let keys = Keys::new();
    keys.add("a", "a@example.org", "P-256");
    let private = fs::read_to_string(keys.key("a")).unwrap() + &fs::read_to_string(keys.certificate("a")).unwrap();
    let config = json!({
        "certificates": {"directory": "/c", "files": [
            {"name": "a.pem", "content": private},
            {"name": "b.pem", "content": "hello"},
            {"name": "c.pem", "content": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
        ]},
        "domains": {"example.com": "d.pem"},
        "minimum_rsa_bits": 512,
        "cipher": "3des",
    });
    let problems = testing::configure::<Encryption>(&config.to_string()).err().unwrap().into_list();
    let told =
        |path: &str, text: &str| problems.iter().any(|problem| problem.path == path && problem.message.contains(text));
    assert!(told("/certificates", "private key"), "{problems:?}");
    assert!(told("/certificates", "\"b.pem\""), "{problems:?}");
    assert!(told("/certificates", "\"c.pem\""), "{problems:?}");
    assert!(told("/domains/example.com", "d.pem"), "{problems:?}");
    assert!(told("/minimum_rsa_bits", "512"), "{problems:?}");
    assert!(told("/cipher", "3des"), "{problems:?}");
    let empty = json!({"certificates": {"directory": "/c", "files": []}});
    assert!(testing::configure::<Encryption>(&empty.to_string()).is_err());
}

/// Real certificates, where the corpus is there: none makes the parser panic, and nearly all are read.
#[test]
fn real_certificates_are_read() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/corpus/shared/3-crypto"));
    let (mut all, mut read, mut with_address) = (0_u32, 0_u32, 0_u32);
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            if !bytes.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----") {
                // A file of another kind must be no certificate, and nothing worse.
                let _ = certificate::in_file(&bytes)
                    .map(|list| list.iter().for_each(|der| drop(Certificate::parse(der, 2048))));
                continue;
            }
            for der in certificate::in_file(&bytes).unwrap_or_default() {
                all += 1;
                match Certificate::parse(&der, 2048) {
                    Ok(certificate) => {
                        read += 1;
                        with_address += u32::from(!certificate.addresses.is_empty());
                    }
                    Err(what) => eprintln!("{}: {what}", path.display()),
                }
            }
        }
    }
    eprintln!("{read} of {all} certificates read, {with_address} with addresses");
    assert!(read * 100 >= all * 95, "{read} of {all}");
}
