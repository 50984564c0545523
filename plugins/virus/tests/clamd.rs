//! The conversation with clamd, as clamd sees it.

use std::{cell::RefCell, rc::Rc};
use virus::Virus;
use wasmilter_sdk::{FailureKind, Message, ServiceError, Verdict, testing};

const MAIL: &[u8] =
    b"From: a@example.org\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\
    text\r\n--b\r\nContent-Type: application/x-bad; name=bad.bin\r\n\r\nevil content\r\n--b--\r\n";

/// Takes the pieces of INSTREAM apart, as clamd does.
fn content(request: &[u8]) -> Vec<u8> {
    let mut rest = request.strip_prefix(b"zINSTREAM\0").expect("the command");
    let mut content = Vec::new();
    loop {
        let (length, behind) = rest.split_first_chunk::<4>().expect("a length");
        let length = u32::from_be_bytes(*length) as usize;
        content.extend_from_slice(&behind[..length]);
        rest = &behind[length..];
        if length == 0 {
            assert!(rest.is_empty(), "nothing comes after the end");
            return content;
        }
    }
}

#[test]
fn clamd_gets_the_whole_message_byte_for_byte() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&seen);
    let large = [MAIL, &vec![b'x'; 200_000]].concat();
    let message = Message::parse(&large).with_service("clamd", move |request| {
        *kept.borrow_mut() = content(request);
        b"stream: OK\0".to_vec()
    });
    let decision = testing::judge::<Virus>(r#"{"service": "clamd"}"#, &message).unwrap();
    assert!(matches!(decision.verdict(), Verdict::Next) && decision.edits().is_empty());
    assert!(*seen.borrow() == large);
}

#[test]
fn to_replace_a_part_clamd_is_asked_which_one() {
    let message = Message::parse(MAIL).with_service("clamd", |request| {
        let evil = content(request).windows(4).any(|window| window == b"evil");
        if evil { b"stream: Evil.Test FOUND\0".to_vec() } else { b"stream: OK\0".to_vec() }
    });
    let decision = testing::judge::<Virus>(r#"{"service": "clamd", "on_virus": "replace"}"#, &message).unwrap();
    let edits: Vec<String> = decision.edits().iter().map(testing::edit_line).collect();
    assert_eq!(edits, [r#"replace-part 2 by text/plain """#]);
}

#[test]
fn what_only_the_whole_shows_is_quarantined_instead_of_replaced() {
    let message = Message::parse(MAIL).with_service("clamd", |request| {
        let whole = content(request).starts_with(b"From:");
        if whole { b"stream: Evil.Test FOUND\0".to_vec() } else { b"stream: OK\0".to_vec() }
    });
    let decision = testing::judge::<Virus>(r#"{"service": "clamd", "on_virus": "replace"}"#, &message).unwrap();
    assert!(matches!(decision.verdict(), Verdict::Quarantine(_)), "{:?}", decision.verdict());
}

#[test]
fn too_large_for_clamd_and_encrypted_are_outcomes_of_their_own() {
    for (answer, option) in [
        (&b"INSTREAM size limit exceeded. ERROR\0"[..], "on_limit"),
        (b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0", "on_limit"),
        (b"stream: Heuristics.Encrypted.Zip FOUND\0", "on_encrypted"),
    ] {
        let message = Message::parse(MAIL).with_service("clamd", move |_| answer.to_vec());
        let config = format!(r#"{{"service": "clamd", "{option}": "tempfail"}}"#);
        let decision = testing::judge::<Virus>(&config, &message).unwrap();
        assert!(matches!(decision.verdict(), Verdict::Tempfail(_)), "{option}: {:?}", decision.verdict());
    }
}

#[test]
fn a_clamd_that_is_not_there_is_a_failure_of_the_service() {
    for error in [ServiceError::Denied, ServiceError::TimedOut, ServiceError::Unreachable("refused".to_owned())] {
        let message = Message::parse(MAIL).with_broken_service("clamd", error);
        let failure = testing::judge::<Virus>(r#"{"service": "clamd"}"#, &message).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Service);
    }
    let message = Message::parse(MAIL).with_service("clamd", |_| Vec::new());
    assert!(testing::judge::<Virus>(r#"{"service": "clamd"}"#, &message).is_err());
}
