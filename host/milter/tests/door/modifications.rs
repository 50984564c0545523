//! Messages as both MTAs would deliver them after the door's modifications.

use crate::{
    fake_mta::{Edit, Flavour, Mail, Offer, delivered},
    script::{Door, MESSAGE, Script},
};
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::{Arc, Mutex};
use wasmilter_message::{
    decision::Verdict,
    envelope::Mailbox,
    headers::{Entry, Field},
    message::ParsedMessage,
};

const BOTH: [Flavour; 2] = [Flavour::Postfix, Flavour::Sendmail];

fn mail() -> Mail {
    let mut mail = Mail::new(
        &[
            ("Received", " from a"),
            ("Received", " from b"),
            ("Subject", " hello"),
            ("X-Tag", " 1"),
            ("x-tag", " 2"),
            ("X-Odd", "no space"),
            ("X-Folded", " a\r\n\tb"),
        ],
        "body\r\n",
    );
    mail.recipients = vec!["<b@example.net>".into(), "C@Example.NET".into()];
    mail
}

fn new(name: &'static str, value: &'static str) -> Entry {
    Entry { field: Field::new(name, value), received: None, changed: false }
}

fn set(message: &mut ParsedMessage, place: usize, value: &'static str) {
    let entry = &mut message.headers.entries_mut()[place];
    entry.field.value = value.into();
    entry.changed = true;
}

type Change = fn(&mut ParsedMessage);

/// What was sent, and what would be delivered, for each MTA with and without leading space. Deliveries are compared with
/// the judged message itself; modifications are given for the usual negotiation.
async fn edits(change: Change) -> Vec<Edit> {
    let mut sent = Vec::new();
    for flavour in BOTH {
        for offer in [Offer { protocol: 0x0f_ffff, ..Offer::V6 }, Offer::V6] {
            let judged: Arc<Mutex<Option<ParsedMessage>>> = Arc::default();
            let keep = Arc::clone(&judged);
            let door = Door::open(Script::new(MESSAGE, move |message| {
                change(message);
                *keep.lock().unwrap() = Some(message.clone());
                Verdict::Accept
            }));
            let mut mta = door.mta(flavour, offer).await;
            mta.greet("192.0.2.1").await.unwrap();
            let leading_space = mta.leading_space();
            assert_eq!(leading_space, offer == Offer::V6);
            let mail = mail();
            let outcome = mta.send(&mail).await.unwrap();
            assert_eq!(outcome.reply.command, b'a');
            let delivered = delivered(&mail, &outcome, flavour, leading_space).unwrap().expect("delivered");
            let judged = judged.lock().unwrap().take().unwrap();
            let shown = |name: &[u8], value: &[u8]| {
                let value = String::from_utf8_lossy(value).into_owned();
                // Without leading space nobody can say that there is none.
                let value = if leading_space || value.starts_with([' ', '\t']) { value } else { format!(" {value}") };
                format!("{}:{value}", String::from_utf8_lossy(name).to_lowercase())
            };
            let expected: Vec<String> = judged.headers.fields().map(|f| shown(&f.name, &f.value)).collect();
            let found: Vec<String> = delivered.headers.iter().map(|(n, v)| shown(n, v)).collect();
            assert_eq!(found, expected, "{flavour:?} {leading_space}");
            assert_eq!(delivered.body, judged.body, "{flavour:?}");
            assert_eq!(delivered.sender, judged.envelope.sender.address());
            let sorted = |mut list: Vec<String>| {
                list.sort();
                list
            };
            let expected = judged.envelope.recipients.iter().map(|r| r.address().to_owned()).collect();
            assert_eq!(sorted(delivered.recipients), sorted(expected));
            mta.quit().await.unwrap();
            sent = outcome.edits;
        }
    }
    sent
}

fn change_header(index: u32, name: &str, value: &str) -> Edit {
    Edit::ChangeHeader { index, name: name.into(), value: value.into() }
}

fn insert_header(index: u32, name: &str, value: &str) -> Edit {
    Edit::InsertHeader { index, name: name.into(), value: value.into() }
}

#[tokio::test]
async fn nothing_changed_is_nothing_sent() {
    assert_eq!(edits(|_| {}).await, []);
    // Changed to what it was.
    assert_eq!(edits(|m| set(m, 2, " hello")).await, []);
    assert_eq!(edits(|m| m.body = Bytes::from_static(b"body\r\n")).await, []);
}

#[tokio::test]
async fn fields_are_changed_in_place() {
    assert_eq!(edits(|m| set(m, 4, " two")).await, [change_header(2, "x-tag", " two")]);
    assert_eq!(edits(|m| set(m, 2, " a\r\n b\r\n\tc")).await, [change_header(1, "Subject", " a\n b\n\tc")]);
    assert_eq!(edits(|m| set(m, 5, "still none")).await, [change_header(1, "X-Odd", "still none")]);
}

#[tokio::test]
async fn several_of_a_name_are_removed_from_the_last() {
    assert_eq!(
        edits(|m| m.headers.entries_mut().retain(|entry| !entry.field.is("x-tag"))).await,
        [change_header(2, "x-tag", ""), change_header(1, "X-Tag", "")]
    );
    let mixed = edits(|m| {
        set(m, 1, " changed");
        m.headers.entries_mut().remove(0);
    });
    assert_eq!(mixed.await, [change_header(2, "Received", " changed"), change_header(1, "Received", "")]);
}

#[tokio::test]
async fn trace_fields_go_on_top_in_order() {
    let top = edits(|m| {
        m.headers.entries_mut().insert(0, new("Authentication-Results", " second"));
        m.headers.entries_mut().insert(0, new("X-Top", " first"));
    });
    assert_eq!(top.await, [insert_header(0, "Authentication-Results", " second"), insert_header(0, "X-Top", " first")]);
}

#[tokio::test]
async fn fields_at_the_end_stay_at_the_end() {
    let end = edits(|m| {
        m.headers.entries_mut().extend([new("X-New", " 1"), new("Subject", " again"), new("x-new", " 2")]);
    });
    assert_eq!(
        end.await,
        [
            Edit::AddHeader { name: "X-New".into(), value: " 1".into() },
            insert_header(0x7fff_ffff, "Subject", " again"),
            insert_header(0x7fff_ffff, "x-new", " 2"),
        ]
    );
}

#[tokio::test]
async fn everything_at_once_in_the_portable_order() {
    let all = edits(|m| {
        set(m, 2, " [tag] hello");
        m.headers.entries_mut().remove(0);
        m.headers.entries_mut().insert(0, new("X-Top", " t"));
        m.headers.entries_mut().push(new("X-End", " e"));
        m.body = Bytes::from(vec![b'\n'; 3]).slice(..0);
        m.body = Bytes::from("n\r\n".repeat(50_000));
        m.envelope.sender =
            Mailbox { raw: "<new@example.org>".into(), arguments: vec!["RET=HDRS".into(), "ENVID=1".into()] };
        m.envelope.recipients = vec![Mailbox::new("<b@example.net>"), Mailbox::new("d@example.net")];
    });
    let kinds: String = all
        .await
        .iter()
        .map(|edit| match edit {
            Edit::ChangeHeader { .. } => 'm',
            Edit::InsertHeader { .. } => 'i',
            Edit::AddHeader { .. } => 'h',
            Edit::ReplaceBody(_) => 'b',
            Edit::ChangeSender { address, arguments } => {
                assert_eq!(address, "<new@example.org>");
                assert_eq!(arguments.as_deref(), Some("RET=HDRS ENVID=1"), "one string");
                'e'
            }
            Edit::RemoveRecipient(address) => {
                assert_eq!(address, "C@Example.NET", "exactly as received");
                '-'
            }
            Edit::AddRecipient { address, .. } => {
                assert_eq!(address, "<d@example.net>");
                '+'
            }
            Edit::Quarantine(_) => 'q',
        })
        .collect();
    assert_eq!(kinds, "mmihbbbe-+");
}

#[tokio::test]
async fn an_empty_body_is_one_empty_piece() {
    assert_eq!(edits(|m| m.body = Bytes::new()).await, [Edit::ReplaceBody(Vec::new())]);
}

#[tokio::test]
async fn the_null_sender_has_brackets() {
    let null = edits(|m| m.envelope.sender = Mailbox::new(""));
    assert_eq!(null.await, [Edit::ChangeSender { address: "<>".into(), arguments: None }]);
}

#[tokio::test]
async fn nobody_is_added_twice() {
    let doubled = edits(|m| {
        m.envelope.recipients.push(Mailbox::new("<d@example.net>"));
        m.envelope.recipients.dedup();
    });
    assert_eq!(doubled.await, [Edit::AddRecipient { address: "<d@example.net>".into(), arguments: None }]);
    let door = Door::open(Script::new(MESSAGE, |m| {
        m.envelope.recipients.extend([Mailbox::new("b@EXAMPLE.net"), Mailbox::new("<d@x>"), Mailbox::new("d@x")]);
        Verdict::Accept
    }));
    let mut mta = door.greeted(Flavour::Postfix).await;
    let outcome = mta.send(&mail()).await.unwrap();
    assert_eq!(outcome.edits, [Edit::AddRecipient { address: "<d@x>".into(), arguments: None }]);
}

#[tokio::test]
async fn an_empty_value_is_not_a_deletion() {
    for offer in [Offer::V6, Offer { protocol: 0x0f_ffff, ..Offer::V6 }] {
        let door = Door::open(Script::new(MESSAGE, |m| {
            set(m, 2, "");
            Verdict::Accept
        }));
        let mut mta = door.mta(Flavour::Postfix, offer).await;
        mta.greet("192.0.2.1").await.unwrap();
        assert_eq!(mta.send(&mail()).await.unwrap().edits, [change_header(1, "Subject", " ")]);
    }
}

#[tokio::test]
async fn what_can_not_be_said_fails_for_now_and_changes_nothing() {
    let cases: [(Change, Offer); 14] = [
        (|m| m.envelope.recipients.clear(), Offer::V6),
        (|m| m.headers.entries_mut().push(new("Bad Name", " x")), Offer::V6),
        (|m| m.headers.entries_mut().push(new("Bad:Name", " x")), Offer::V6),
        (|m| m.headers.entries_mut().push(new("", " x")), Offer::V6),
        (|m| m.headers.entries_mut().push(new("X-Caf\u{e9}", " x")), Offer::V6),
        (|m| m.headers.entries_mut().push(new("X-Tab\t", " x")), Offer::V6),
        (|m| m.headers.entries_mut().push(new("X\r\nX-Smuggled", " x")), Offer::V6),
        (|m| m.headers.entries_mut().push(new("X-Nul", " a\0b")), Offer::V6),
        (|m| set(m, 2, " nul\0"), Offer::V6),
        (|m| m.envelope.sender = Mailbox::new("<a\r\nRCPT TO:b@x>"), Offer::V6),
        (|m| m.body = Bytes::from_static(b"new"), Offer { actions: 0x1fd, ..Offer::V6 }),
        (|m| m.envelope.sender = Mailbox::new("<new@x>"), Offer::V2),
        (|m| set(m, 2, " changed"), Offer { actions: 0x1ef, ..Offer::V6 }),
        (|m| m.envelope.recipients.truncate(1), Offer { actions: 0x1f7, ..Offer::V6 }),
    ];
    for (number, (change, offer)) in cases.into_iter().enumerate() {
        let door = Door::open(Script::new(MESSAGE, move |message| {
            message.headers.entries_mut().insert(0, new("X-Fine", " x"));
            change(message);
            Verdict::Accept
        }));
        let mut mta = door.mta(Flavour::Postfix, offer).await;
        mta.greet("192.0.2.1").await.unwrap();
        let outcome = mta.send(&mail()).await.unwrap();
        assert_eq!(outcome.edits, [], "case {number}: nothing is written before all is checked");
        assert_eq!(outcome.reply.data, b"451 4.3.2 Service unavailable, try again later\0", "case {number}");
    }
}

/// The MTA wants an address back exactly as it gave it, and takes another for an unknown one: the recipient would stay.
#[tokio::test]
async fn an_address_that_is_not_utf_8_is_never_sent_back_changed() {
    let changes: [(Change, Option<usize>); 3] = [
        (|_| {}, Some(0)),
        (|m| m.envelope.recipients.truncate(1), None),
        (|m| m.envelope.sender.arguments.clear(), None),
    ];
    for (number, (change, edits)) in changes.into_iter().enumerate() {
        let door = Door::open(Script::new(MESSAGE, move |message| {
            change(message);
            Verdict::Accept
        }));
        let mut mta = door.greeted(Flavour::Postfix).await;
        mta.command(b'M', b"<j\xf6rg@example.org>\0SIZE=10\0").await.unwrap();
        mta.command(b'R', b"<b@example.net>\0").await.unwrap();
        mta.command(b'R', b"<caf\xe9@example.net>\0").await.unwrap();
        let outcome = mta.end_of_message().await.unwrap();
        assert_eq!(outcome.edits, [], "case {number}");
        assert_eq!(outcome.reply.command, if edits.is_some() { b'a' } else { b'y' }, "case {number}");
    }
}

#[tokio::test]
async fn line_ends_in_values_can_smuggle_nothing() {
    let door = Door::open(Script::new(MESSAGE, |m| {
        set(m, 2, " a\r\nX-Smuggled: b\rc\nd\r\n");
        Verdict::Accept
    }));
    let mut mta = door.greeted(Flavour::Postfix).await;
    let outcome = mta.send(&mail()).await.unwrap();
    assert_eq!(outcome.edits, [change_header(1, "Subject", " a\n\tX-Smuggled: b\n\tc\n\td\n\t")]);
}

/// A message of few names, so that they repeat, and what stages did to it.
#[derive(Debug, Clone)]
enum Deed {
    Remove(usize),
    Set(usize, u8),
    Top(u8, u8),
    End(u8, u8),
}

fn name(number: u8) -> &'static str {
    ["A", "B", "a"][usize::from(number) % 3]
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        any::<usize>().prop_map(Deed::Remove),
        (any::<usize>(), any::<u8>()).prop_map(|(at, value)| Deed::Set(at, value)),
        (any::<u8>(), any::<u8>()).prop_map(|(name, value)| Deed::Top(name, value)),
        (any::<u8>(), any::<u8>()).prop_map(|(name, value)| Deed::End(name, value)),
    ];
    proptest::collection::vec(deed, 0..12)
}

fn perform(deeds: &[Deed], message: &mut ParsedMessage) {
    let entries = message.headers.entries_mut();
    let entry = |number: u8, value: u8| Entry {
        field: Field::new(name(number), format!(" {value}")),
        received: None,
        changed: false,
    };
    for deed in deeds {
        match *deed {
            Deed::Remove(at) if !entries.is_empty() => {
                entries.remove(at % entries.len());
            }
            Deed::Set(at, value) if !entries.is_empty() => {
                let at = at % entries.len();
                entries[at].field.value = format!(" {value}").into();
                entries[at].changed = true;
            }
            Deed::Remove(_) | Deed::Set(..) => {}
            Deed::Top(name, value) => entries.insert(0, entry(name, value)),
            Deed::End(name, value) => entries.push(entry(name, value)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever stages do to the header, both MTAs deliver what the stages left.
    #[test]
    fn both_mtas_deliver_what_the_stages_left(
        names in proptest::collection::vec(any::<u8>(), 0..8),
        deeds in deeds(),
        postfix: bool,
        seed: u64,
    ) {
        let flavour = if postfix { Flavour::Postfix } else { Flavour::Sendmail };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fields: Vec<(&str, String)> =
                names.iter().enumerate().map(|(n, number)| (name(*number), format!(" old{n}"))).collect();
            let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let mail = Mail::new(&fields, "b\r\n");
            let judged: Arc<Mutex<Option<ParsedMessage>>> = Arc::default();
            let keep = Arc::clone(&judged);
            let door = Door::open(Script::new(MESSAGE, move |message| {
                perform(&deeds, message);
                *keep.lock().unwrap() = Some(message.clone());
                Verdict::Accept
            }));
            let mut mta = door.greeted(flavour).await.writing(crate::fake_mta::Writing::Pieces(seed));
            let outcome = mta.send(&mail).await.unwrap();
            let delivered = delivered(&mail, &outcome, flavour, true).unwrap().unwrap();
            let judged = judged.lock().unwrap().take().unwrap();
            let expected: Vec<(Vec<u8>, Vec<u8>)> =
                judged.headers.fields().map(|f| (f.name.to_vec(), f.value.to_vec())).collect();
            assert_eq!(delivered.headers, expected);
        });
    }
}
