//! What holds for all messages and all decisions: tried on random bytes, on broken messages and on random edits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    clippy::let_underscore_must_use,
    reason = "a test fails by panicking, its helpers too"
)]

mod invariants;

use invariants::{ALL, Choices, Seeded, fuzz_edits, fuzz_eml, fuzz_parse, mutated, own_corpus, random_edits, written};
use proptest::prelude::*;
use wasmilter_message::{apply::apply, body::InMemory};

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        fuzz_eml(&bytes);
        fuzz_parse(&bytes);
        fuzz_edits(&bytes);
    }

    #[test]
    fn bytes_that_look_like_mail(pieces in proptest::collection::vec(mail_piece(), 0..60), choices: [u8; 32]) {
        let file = pieces.concat();
        fuzz_eml(file.as_bytes());
        fuzz_parse(file.as_bytes());
        random_edits(&invariants::message(file.as_bytes()), &choices);
    }
}

fn mail_piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "\r\n",
        "\r\n\r\n",
        "\n",
        " ",
        "\t",
        "--b",
        "--b--",
        "\r\n--b\r\n",
        "\r\n--b--\r\n",
        "\r\n--c\r\n",
        "--c--\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n",
        "Content-Type: multipart/alternative; boundary=\"c\"\r\n",
        "Content-Type: message/rfc822\r\n\r\n",
        "Content-Type: text/html; charset=iso-2022-jp\r\n\r\n",
        "Content-Type: text/plain; format=flowed\r\n\r\n",
        "Content-Type: multipart/signed; boundary=b\r\n",
        "Content-Transfer-Encoding: base64\r\n\r\n",
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
        "Content-Disposition: attachment; filename*0*=utf-8''%41;filename*1=b\r\n",
        "Content-ID: <x>\r\n",
        "=\r\n",
        "=41",
        "SGVsbG8=\r\n",
        "<body>",
        "</body>",
        "text",
        "\u{e4}",
        "Subject: =?utf-8?q?x?=\r\n",
        "To: a:b,c@d;<e\r\n",
        "\"(",
    ])
}

/// How many times as many inputs as usual are tried: `WASMILTER_TEST_ROUNDS`.
fn rounds() -> usize {
    std::env::var("WASMILTER_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[test]
fn broken_messages() {
    let corpus = own_corpus();
    let mut seeded = Seeded(1);
    let (mut applied, mut refused) = (0, 0);
    for round in 0..3000 * rounds() {
        let (_, file) = &corpus[round % corpus.len()];
        let choices = seeded.bytes(64);
        let file = mutated(file, &mut Choices(&choices));
        fuzz_eml(&file);
        fuzz_parse(&file);
        if random_edits(&invariants::message(&file), &seeded.bytes(48)) { applied += 1 } else { refused += 1 }
    }
    assert!(applied > 500 && refused > 100, "{applied} decisions applied, {refused} refused");
}

#[test]
fn random_edits_change_only_what_they_name() {
    let corpus = own_corpus();
    let mut seeded = Seeded(2);
    for round in 0..6000 * rounds() {
        let (_, file) = &corpus[round % corpus.len()];
        random_edits(&invariants::message(file), &seeded.bytes(48));
    }
}

#[test]
fn no_edits_change_nothing() {
    for (name, file) in own_corpus() {
        let message = invariants::message(&file);
        let edited = apply(&message, &[], ALL, &InMemory).unwrap();
        assert!(edited.same_body(&message), "{name}");
        assert_eq!(edited.headers, message.headers, "{name}");
        assert_eq!(written(&edited), written(&message), "{name}");
        assert_eq!(edited.envelope, message.envelope, "{name}");
    }
}
