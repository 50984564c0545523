//! Archives that are not as they should be.

use std::io::{Cursor, Write};
use virus::Virus;
use wasmilter_sdk::{FactValue, Message, Verdict, testing};
use zip::{ZipWriter, write::SimpleFileOptions};

fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}", "$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*"].concat().into_bytes()
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn judge(config: &str, content: &[u8]) -> (Verdict, Vec<(String, FactValue)>) {
    let base64 = data_encoding::BASE64_MIME.encode(content);
    let head = "Subject: x\r\nContent-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let message = Message::parse(format!("{head}{base64}\r\n").as_bytes());
    let decision = testing::judge::<Virus>(config, &message).unwrap();
    (decision.verdict().clone(), decision.facts().iter().map(|fact| (fact.name.clone(), fact.value.clone())).collect())
}

fn flag(facts: &[(String, FactValue)], name: &str) -> bool {
    facts.iter().any(|(fact, value)| fact == name && matches!(value, FactValue::Flag(true)))
}

#[test]
fn a_virus_is_found_behind_a_program_and_without_the_directory() {
    let archive = zip(&[("a.txt", b"a"), ("eicar.com", &eicar())]);
    let with_program = [b"MZ some program".repeat(10), archive.clone()].concat();
    assert!(flag(&judge("{}", &with_program).1, "infected"));
    // Without the directory at the end.
    let directory = archive.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    let (_, facts) = judge("{}", &archive[..directory]);
    assert!(flag(&facts, "infected") && flag(&facts, "unreadable"), "{facts:?}");
}

#[test]
fn damaged_archives_are_an_outcome_of_their_own() {
    let mut archive = zip(&[("a.txt", b"some text that is long enough to be packed, packed, packed")]);
    archive[40] ^= 0xff;
    let (verdict, facts) = judge(r#"{"on_unreadable": "reject"}"#, &archive);
    assert!(matches!(verdict, Verdict::Reject(_)) && flag(&facts, "unreadable"), "{facts:?}");
    assert!(matches!(judge("{}", &archive).0, Verdict::Next));
}

#[test]
fn limits_hold_and_one_below_them_passes() {
    let nested = |times: usize| (0..times).fold(eicar(), |inner, _| zip(&[("inner", &inner)]));
    assert!(flag(&judge(r#"{"limits": {"depth": 3}}"#, &nested(3)).1, "infected"));
    let (verdict, facts) = judge(r#"{"limits": {"depth": 3}}"#, &nested(4));
    assert!(matches!(verdict, Verdict::Quarantine(_)) && !flag(&facts, "infected"), "{facts:?}");

    let many: Vec<(String, &[u8])> = (0..20).map(|index| (index.to_string(), &b"x"[..])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    assert!(matches!(judge(r#"{"limits": {"files": 21}}"#, &zip(&many)).0, Verdict::Next));
    assert!(matches!(judge(r#"{"limits": {"files": 20}}"#, &zip(&many)).0, Verdict::Quarantine(_)));

    let archive = zip(&[("a", &[b'x'; 5000])]);
    let total = 5000 + archive.len();
    assert!(matches!(judge(r#"{"limits": {"file_size": 5000}}"#, &archive).0, Verdict::Next));
    assert!(matches!(judge(r#"{"limits": {"file_size": 4999}}"#, &archive).0, Verdict::Quarantine(_)));
    assert!(matches!(judge(&format!(r#"{{"limits": {{"total_size": {total}}}}}"#), &archive).0, Verdict::Next));
    let less = total - 1;
    assert!(matches!(judge(&format!(r#"{{"limits": {{"total_size": {less}}}}}"#), &archive).0, Verdict::Quarantine(_)));
}
