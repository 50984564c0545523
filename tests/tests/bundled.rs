//! The bundled plugins behind a real Postfix, with the real services that they ask, checked by programs that know
//! nothing of us.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails by panicking"
)]

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use mail_parser::{MessageParser, MimeHeaders};
use serde_json::json;
use std::{collections::BTreeSet, path::Path, process::Command};
use wasmilter_tests::{
    clamd::{Clamd, eicar},
    corpus,
    fake_mta::{FakeMta, Flavour, Offer, delivered},
    letter::{Letter, below_received, crlf, difference},
    postfix,
    rspamd::{self, Rspamd},
    scratch::Scratch,
    script::scripted,
    server,
    smtp_client::{Reply, SmtpClient},
    spamd::{self, Spamd},
    wasmilter::Wasmilter,
};

fn send(client: &mut SmtpClient, recipient: &str, message: &[u8]) -> Reply {
    client.send("ann@example.net", &[recipient], message)
}

/// A message with a text and an attachment, in base64.
fn with_attachment(content: &str) -> Vec<u8> {
    let encoded = BASE64.encode(content.as_bytes());
    crlf(format!(
        "From: ann@example.net\nTo: bob@example.org\nSubject: a file\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=\"=_b\"\n\n\
         --=_b\nContent-Type: text/plain\n\nSee the file.\n\
         --=_b\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\
         Content-Disposition: attachment; filename=\"file.com\"\n\n{encoded}\n--=_b--\n"
    ))
}

#[test]
fn eicar_is_found_by_a_real_clamd() {
    let clamd = Clamd::start();
    let postfix = postfix::shared();
    let listener = postfix.listener();
    let config = format!(
        "[services.clamd]\naddress = {:?}\n[[stage]]\nname = \"virus\"\nplugin = \"virus\"\n\
         grants = [\"headers\", \"body\", \"service:clamd\"]\n[stage.config]\nservice = \"clamd\"\n",
        clamd.address()
    );
    let host = Wasmilter::start(&listener.milter, &config);
    let mut client = SmtpClient::connect(listener.smtp);
    let infected = send(&mut client, "infected@example.org", &with_attachment(&eicar()));
    assert!((500..600).contains(&infected.code), "{infected}");
    assert!(infected.text().contains("Tests.Eicar.Body"), "{infected}");
    let clean = with_attachment("nothing bad in here");
    send(&mut client, "clean@example.org", &clean).expect(250);
    client.quit();
    assert_eq!(below_received(&postfix.sink().take("clean@example.org").message), clean);
    assert!(postfix.sink().take_now("infected@example.org").is_none());

    // Without its scanner the stage does not wave mail through.
    drop(clamd);
    let mut client = SmtpClient::connect(listener.smtp);
    send(&mut client, "unscanned@example.org", &clean).expect(451);
    client.quit();
    let metrics = host.metrics();
    assert_eq!(metrics.sum("wasmilter_stage_failures_total", &["stage=\"virus\""]), 1.0, "{}", metrics.text());
    postfix.assert_content_with(listener);
    host.stop();
}

#[test]
fn eicar_is_found_without_a_scanner() {
    let postfix = postfix::shared();
    let listener = postfix.listener();
    let host = Wasmilter::start(
        &listener.milter,
        "[[stage]]\nname = \"virus\"\nplugin = \"virus\"\ngrants = [\"headers\", \"body\"]\n",
    );
    let mut client = SmtpClient::connect(listener.smtp);
    let infected = send(&mut client, "embedded-infected@example.org", &with_attachment(&eicar()));
    assert!((500..600).contains(&infected.code), "{infected}");
    send(&mut client, "embedded-clean@example.org", &with_attachment("fine")).expect(250);
    client.quit();
    let _clean = postfix.sink().take("embedded-clean@example.org");
    postfix.assert_content_with(listener);
    host.stop();
}

#[test]
fn a_real_rspamd_scores_mail() {
    let rspamd = Rspamd::start();
    spam_is_scored("rspamd", &rspamd.address(), rspamd::MARK, rspamd::SCORE);
}

#[test]
fn a_real_spamd_scores_mail() {
    let spamd = Spamd::start();
    spam_is_scored("spamd", &spamd.address(), spamd::MARK, spamd::SCORE);
}

/// One mail below the threshold for marking, one above it, and one above the threshold for rejection.
fn spam_is_scored(service: &str, address: &str, mark: &str, score: f64) {
    let postfix = postfix::shared();
    let listener = postfix.listener();
    let stage = |name: &str, when: &str, reject: f64| {
        format!(
            "[[stage]]\nname = {name:?}\nplugin = \"spam\"\nwhen = {when:?}\n\
             grants = [\"envelope\", \"headers\", \"body\", \"service:{service}\"]\n[stage.config]\nservice = {service:?}\nprotocol = {service:?}\n\
             tag = 5.0\nreject = {reject:?}\n"
        )
    };
    let config = [
        format!("[services.{service}]\naddress = {address:?}\n"),
        stage("tagging", "envelope.sender.local == 'ann'", 100.0),
        stage("strict", "envelope.sender.local == 'strict'", 6.0),
        scripted(
            "score",
            &format!("when = \"has(facts.tagging.score) && facts.tagging.score == {score:?}\""),
            &json!({ "edits": [{ "add-header": { "name": "X-Exact-Score", "value": "yes" } }] }),
        ),
    ]
    .concat();
    let host = Wasmilter::start(&listener.milter, &config);
    let (ham, spam) = (
        crlf("From: ann@example.net\nTo: bob@example.org\nSubject: lunch\n\nat noon?\n"),
        crlf(format!("From: ann@example.net\nTo: bob@example.org\nSubject: {mark}\n\nbuy\n")),
    );
    let mut client = SmtpClient::connect(listener.smtp);
    send(&mut client, &format!("{service}-ham@example.org"), &ham).expect(250);
    send(&mut client, &format!("{service}-spam@example.org"), &spam).expect(250);
    let reply = client.send("strict@example.net", &[&format!("{service}-strict@example.org")], &spam);
    assert!((500..600).contains(&reply.code), "{reply}");
    client.quit();
    let ham = Letter::parse(&postfix.sink().take(&format!("{service}-ham@example.org")).message);
    let spam = Letter::parse(&postfix.sink().take(&format!("{service}-spam@example.org")).message);
    assert!(ham.all("X-Exact-Score").is_empty(), "{:?}", ham.names());
    assert_eq!(spam.all("X-Exact-Score"), ["yes"], "{:?}", spam.fields);
    assert!(postfix.sink().take_now(&format!("{service}-strict@example.org")).is_none());
    postfix.assert_content_with(listener);
    host.stop();
}

#[test]
fn mail_is_encrypted_so_that_openssl_can_decrypt_it() {
    let postfix = postfix::shared();
    let listener = postfix.listener();
    let keys = Scratch::new("keys");
    let certificates = keys.directory("certificates");
    let people = [
        ("rsa", "rsa:2048", None),
        ("p256", "ec", Some("ec_paramgen_curve:P-256")),
        ("p384", "ec", Some("ec_paramgen_curve:P-384")),
    ];
    for (name, algorithm, option) in people {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-days", "30", "-newkey", algorithm]);
        openssl.args(option.iter().flat_map(|option| ["-pkeyopt", option]));
        openssl.args(["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName=email:{name}@example.org")]);
        openssl.arg("-keyout").arg(keys.join(&format!("{name}.key")));
        openssl.arg("-out").arg(certificates.join(format!("{name}@example.org.pem")));
        server::run(&mut openssl);
    }
    let config = format!(
        "[[stage]]\nname = \"encryption\"\nplugin = \"encryption\"\ngrants = [\"envelope\", \"body\", \"clock\", \"random\"]\n\
         [stage.config]\ncertificates = {{ directory = {:?} }}\non_missing = \"reject\"\n",
        certificates.display().to_string()
    );
    let host = Wasmilter::start(&listener.milter, &config);
    let header = crlf("From: ann@example.net\nTo: all\nSubject: secret\nX-Other: stays\nMIME-Version: 1.0\n");
    let content = crlf(
        "Content-Type: multipart/mixed;\n\tboundary=\"=_b\"\n\n\
         --=_b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n.Grüße, geheim\n\
         --=_b\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\nJVBERi0=\n--=_b--\n",
    );
    let message = [header.as_slice(), &content].concat();
    let mut client = SmtpClient::connect(listener.smtp);
    let addresses: Vec<String> = people.iter().map(|(name, ..)| format!("{name}@example.org")).collect();
    let to: Vec<&str> = addresses.iter().map(String::as_str).collect();
    client.send("ann@example.net", &to, &message).expect(250);
    let refused = client.send("ann@example.net", &["rsa@example.org", "nobody@example.org"], &message);
    assert!((500..600).contains(&refused.code), "{refused}");
    client.quit();

    let delivery = postfix.sink().take("rsa@example.org");
    assert_eq!(delivery.to.iter().collect::<BTreeSet<_>>(), addresses.iter().collect());
    let sealed = below_received(&delivery.message);
    let letter = Letter::parse(sealed);
    assert!(letter.one("Content-Type").starts_with("application/pkcs7-mime"), "{:?}", letter.fields);
    assert_eq!(letter.one("Subject"), "secret");
    assert_eq!(letter.one("X-Other"), "stays");
    assert!(!letter.text().contains("geheim"));
    let file = keys.write("sealed.eml", sealed);
    // The fields of the content and the body, byte for byte.
    let entity = [b"MIME-Version: 1.0\r\n", content.as_slice()].concat();
    for (name, ..) in people {
        let (key, certificate) =
            (keys.join(&format!("{name}.key")), certificates.join(format!("{name}@example.org.pem")));
        assert_eq!(difference(&entity, &decrypt(&file, &key, &certificate)), None, "{name}");
    }
    postfix.assert_content_with(listener);
    host.stop();
}

#[test]
fn every_kind_of_mail_is_decrypted_byte_for_byte() {
    let scratch = Scratch::new("sealed");
    let certificates = scratch.directory("certificates");
    let (key, certificate) = (scratch.join("b.key"), certificates.join("b@example.net.pem"));
    server::run(
        Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "30", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-subj", "/CN=b", "-addext", "subjectAltName=email:b@example.net", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate),
    );
    let config = format!(
        "[[stage]]\nname = \"encryption\"\nplugin = \"encryption\"\ngrants = [\"envelope\", \"body\", \"clock\", \"random\"]\n\
         [stage.config]\ncertificates = {{ directory = {certificates:?} }}\n"
    );
    let address = format!("unix:{}", scratch.join("milter.sock").display());
    let host = Wasmilter::start_at(&address, &config);
    let (mut wrong, mut decrypted) = (Vec::new(), 0);
    let specimens: Vec<_> = corpus::own().into_iter().chain(corpus::shared(50)).collect();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut mta = FakeMta::connect(&address, Flavour::Postfix, Offer::V6).await.unwrap();
        assert!(mta.greet("192.0.2.1").await.unwrap().is_none());
        for specimen in &specimens {
            let mail = Letter::parse(&specimen.message).into_mail();
            let outcome = mta.send(&mail).await.unwrap();
            let sealed = delivered(&mail, &outcome, Flavour::Postfix, mta.leading_space()).unwrap();
            let Some(sealed) = sealed else {
                wrong.push(format!("{}: {:?}", specimen.name, outcome.reply));
                continue;
            };
            if outcome.edits.is_empty() {
                // Encrypted already.
                continue;
            }
            let file = scratch.write("sealed.eml", written(&sealed.headers, &sealed.body));
            let mime = |name: &[u8]| {
                let name = name.to_ascii_lowercase();
                name == b"mime-version" || name.starts_with(b"content-")
            };
            let fields: Vec<_> = mail.headers.iter().filter(|(name, _)| mime(name)).cloned().collect();
            let entity = written(&fields, &mail.body);
            if let Some(difference) = difference(&entity, &decrypt(&file, &key, &certificate)) {
                wrong.push(format!("{}: {difference}", specimen.name));
            }
            decrypted += 1;
        }
    });
    eprintln!("{decrypted} of {} messages decrypted", specimens.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), specimens.len(), wrong.join("\n"));
    assert!(decrypted * 10 >= specimens.len() * 8, "only {decrypted} were encrypted");
    host.stop();
}

/// Fields, empty line, body.
fn written(fields: &[(Vec<u8>, Vec<u8>)], body: &[u8]) -> Vec<u8> {
    let mut message: Vec<u8> =
        fields.iter().flat_map(|(name, value)| [name.as_slice(), b":", value, b"\r\n"].concat()).collect();
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(body);
    message
}

fn decrypt(message: &Path, key: &Path, certificate: &Path) -> Vec<u8> {
    let mut openssl = Command::new("openssl");
    openssl
        .args(["cms", "-decrypt", "-binary", "-in"])
        .arg(message)
        .arg("-inkey")
        .arg(key)
        .arg("-recip")
        .arg(certificate);
    let output = openssl.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn a_disclaimer_is_readable_in_every_charset() {
    let postfix = postfix::shared();
    let listener = postfix.listener();
    let config = "[[stage]]\nname = \"disclaimer\"\nplugin = \"disclaimer\"\ngrants = [\"envelope\", \"headers\", \"text\"]\n\
         [stage.config]\ntext = \"Grüße – 東京\"\nhtml = \"<p>Grüße – 東京</p>\"\n";
    let host = Wasmilter::start(&listener.milter, config);
    let part = |charset: &str, encoding: &str, body: &[u8]| {
        let head = format!(
            "From: ann@example.net\nTo: bob@example.org\nSubject: s\nX-Other:\tstays\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {encoding}\n\n"
        );
        [crlf(head), crlf(body)].concat()
    };
    // Name, message, what people read of the original text.
    let cases = [
        ("ascii", part("us-ascii", "7bit", b"plain text\n"), "plain text"),
        ("utf8", part("utf-8", "8bit", "schöne Zeilen\n".as_bytes()), "schöne Zeilen"),
        ("utf8-base64", part("utf-8", "base64", b"c2Now7ZuZSBaZWlsZW4NCg==\n"), "schöne Zeilen"),
        ("latin1-quoted", part("iso-8859-1", "quoted-printable", b"sch=F6ne Zeilen\n"), "schöne Zeilen"),
        ("latin1-raw", part("iso-8859-1", "8bit", b"sch\xf6ne Zeilen\n"), "schöne Zeilen"),
        ("cyrillic", part("koi8-r", "8bit", b"\xd0\xd2\xc9\xd7\xc5\xd4\n"), "привет"),
        ("japanese", part("iso-2022-jp", "7bit", b"\x1b$BElK~\x1b(B\n"), "東満"),
    ];
    let mut client = SmtpClient::connect(listener.smtp);
    for (name, message, text) in &cases {
        let recipient = format!("disclaimer-{name}@example.org");
        send(&mut client, &recipient, message).expect(250);
        let delivered = postfix.sink().take(&recipient).message;
        let parsed = MessageParser::default().parse(&delivered).unwrap();
        let read = parsed.body_text(0).unwrap();
        assert!(read.starts_with(text), "{name}: {read}");
        assert!(read.trim_end().ends_with("Grüße – 東京"), "{name}: {read}");
        assert_eq!(Letter::parse(&delivered).fields.iter().filter(|field| field.1 == b"\tstays").count(), 1, "{name}");
    }

    // In an alternative, both kinds get it; in an attached text, none does.
    let alternative = crlf(
        "From: ann@example.net\nTo: bob@example.org\nSubject: s\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=\"=_m\"\n\n\
         --=_m\nContent-Type: multipart/alternative; boundary=\"=_a\"\n\n\
         --=_a\nContent-Type: text/plain; charset=us-ascii\n\nplain\n\
         --=_a\nContent-Type: text/html; charset=us-ascii\n\n<html><body><p>rich</p></body></html>\n--=_a--\n\
         --=_m\nContent-Type: text/plain\nContent-Disposition: attachment; filename=notes.txt\n\nattached\n--=_m--\n",
    );
    send(&mut client, "disclaimer-alternative@example.org", &alternative).expect(250);
    let delivered = postfix.sink().take("disclaimer-alternative@example.org").message;
    let parsed = MessageParser::default().parse(&delivered).unwrap();
    assert!(parsed.body_text(0).unwrap().contains("東京"));
    let html = parsed.body_html(0).unwrap();
    let (text, end) = (html.find("東京").unwrap(), html.find("</body>").unwrap());
    assert!(text < end, "{html}");
    let attached = parsed.attachment(0).unwrap();
    assert_eq!(attached.attachment_name(), Some("notes.txt"));
    assert!(!attached.text_contents().unwrap().contains("東京"));

    // What a signature covers is left alone.
    let signed = crlf(
        "From: ann@example.net\nTo: bob@example.org\nSubject: s\nMIME-Version: 1.0\n\
         Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=\"=_s\"\n\n\
         --=_s\nContent-Type: text/plain\n\nsigned\n\
         --=_s\nContent-Type: application/pkcs7-signature\nContent-Transfer-Encoding: base64\n\nAAAA\n--=_s--\n",
    );
    send(&mut client, "disclaimer-signed@example.org", &signed).expect(250);
    assert_eq!(below_received(&postfix.sink().take("disclaimer-signed@example.org").message), signed);
    client.quit();
    postfix.assert_content_with(listener);
    host.stop();
}

#[test]
fn the_client_behind_a_relay_is_found_and_cannot_be_forged() {
    let postfix = postfix::shared();
    let listener = postfix.listener();
    let mark = |name: &str, address: &str| {
        let edits = json!({ "edits": [{ "add-header": { "name": "X-Client", "value": address } }] });
        scripted(name, &format!("when = \"client.address == '{address}'\""), &edits)
    };
    let config = [
        "[[stage]]\nname = \"peer\"\nplugin = \"peer-address\"\ngrants = [\"headers\", \"set-client\"]\n\
         [stage.config]\ntrusted = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n"
            .to_owned(),
        mark("outside", "203.0.113.9"),
        mark("forged", "198.51.100.66"),
        mark("local", "127.0.0.1"),
    ]
    .concat();
    let host = Wasmilter::start(&listener.milter, &config);
    let received = |from: &str, by: &str| {
        format!(
            "Received: from host ({from} [{from}])\n\tby {by} (Postfix) with ESMTP id 4X\n\tfor <bob@example.org>; Sat, 21 Nov 2026 12:00:00 +0000\n"
        )
    };
    let rest = "From: ann@example.net\nTo: bob@example.org\nSubject: s\n\nbody\n";
    let relayed = received("10.0.0.5", "inner.example.org") + &received("203.0.113.9", "outer.example.org") + rest;
    // The outside host wrote a line of its own below; whoever is beyond it is its claim.
    let forged = received("10.0.0.5", "inner.example.org")
        + &received("203.0.113.9", "outer.example.org")
        + &received("198.51.100.66", "outer.example.org")
        + rest;
    let mut client = SmtpClient::connect(listener.smtp);
    for (name, message, address) in [
        ("relayed", relayed, "203.0.113.9"),
        ("forged", forged, "203.0.113.9"),
        ("direct", rest.to_owned(), "127.0.0.1"),
    ] {
        let recipient = format!("peer-{name}@example.org");
        send(&mut client, &recipient, &crlf(message)).expect(250);
        assert_eq!(Letter::parse(&postfix.sink().take(&recipient).message).one("X-Client"), address, "{name}");
    }
    client.quit();
    postfix.assert_content_with(listener);
    host.stop();
}
