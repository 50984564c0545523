//! The language of `CONDITIONS.md`, from both sides: what is understood, and what is refused with which words.

use super::*;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use wasmilter_message::{
    client::{Authentication, Client},
    envelope::{Envelope, Mailbox},
    facts::{Fact, Value},
    headers::Field,
    message::{ReceivedMessage, Transaction},
};

fn compile(source: &str) -> Result<Condition, ConditionError> {
    Condition::compile(source, None)
}

fn field(name: &'static str, value: &'static str) -> Field {
    Field::new(name.as_bytes(), value.as_bytes())
}

fn message() -> ParsedMessage {
    let client = Client {
        address: Some("192.0.2.7".parse().expect("an address")),
        port: Some(40_000),
        hostname: Some("mx.example.org".to_owned()),
        helo: Some("mx".to_owned()),
        auth: Some(Authentication { user: "anna".to_owned(), mechanism: "PLAIN".to_owned() }),
        tls: None,
        listener: Some("smtpd".to_owned()),
    };
    let mut message = ParsedMessage::new(ReceivedMessage {
        transaction: Transaction {
            connected: Arc::new(client),
            envelope: Envelope {
                sender: Mailbox::new("<Anna@Example.ORG>"),
                recipients: vec![Mailbox::new("<bert@example.com>"), Mailbox::new("<carla@example.net>")],
                queue_id: Some("4F2c".to_owned()),
            },
            ..Transaction::default()
        },
        headers: vec![
            field("Received", " from a"),
            field("Received", " from b"),
            field("sUBJECT", " =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus\r\n Wien"),
            field("X-Spam-Flag", " YES"),
        ],
        body: bytes::Bytes::from_static(b"Hello\r\n"),
    });
    let facts = [
        ("score", Value::Number(7.5)),
        ("found", Value::Flag(true)),
        ("name", Value::Text("Eicar".to_owned())),
        ("names", Value::Texts(vec!["A".to_owned(), "B".to_owned()])),
    ];
    for (name, value) in facts {
        message.facts.publish("spam", &Fact { name: name.to_owned(), value });
    }
    message.facts.publish("my-virus", &Fact { name: "found".to_owned(), value: Value::Flag(false) });
    message
}

#[test]
fn true_conditions() {
    let message = message();
    for source in [
        "true",
        "client.address == '192.0.2.7' && client.port == 40000",
        "client.authenticated && client.user == 'anna' && !client.tls",
        "client.hostname.endsWith('.example.org') && client.helo.startsWith('mx') && client.listener == 'smtpd'",
        "client.address.inNetwork('192.0.2.0/24') && !client.address.inNetwork('2001:db8::/32')",
        "envelope.sender.address == 'Anna@Example.ORG' && envelope.sender.domain == 'example.org'",
        "envelope.sender.local.lowerAscii() == 'anna' && envelope.queue_id != ''",
        "envelope.recipients.exists(r, r.domain == 'example.com')",
        "!envelope.recipients.all(r, r.domain == 'example.com')",
        "envelope.recipients.exists_one(r, r.local == 'carla')",
        "envelope.recipients.filter(r, r.domain.endsWith('.net')).size() == 1",
        "'bert' in envelope.recipients.map(r, r.local)",
        "envelope.recipients[1].address == 'carla@example.net'",
        "envelope.sender.domain in ['example.org', 'example.com']",
        "size(envelope.recipients) >= 2 && size(headers['received']) == 2",
        "header('subject') == 'Grüße aus Wien' && headers.subject[0].contains('Wien')",
        "headers['x-spam-flag'].exists(v, v == 'YES') && header('X-SPAM-FLAG') == 'YES'",
        "'X-Spam-Flag' in headers && !('x-other' in headers) && has(headers.subject) && header('x-other') == ''",
        r"header('subject').matches('^Gr.*Wien$') && header('subject').matches(r'\w{4}$')",
        "size(header('subject')) == 14",
        "message.size > 50 && message.size < 50000000 && message.size < 5e7",
        "facts.spam.score > 7 && facts.spam.score >= 7.5 && facts.spam.score == 7.5 && 7 < facts.spam.score",
        "facts.spam.score * 2 == 15 && facts.spam.score - 0.5 == 7 && -facts.spam.score < 0",
        "facts.spam.found && facts.spam.name == 'Eicar' && facts.spam.name.startsWith('Ei')",
        "'A' in facts.spam.names && facts.spam.names.exists(n, n == 'B')",
        "has(facts.spam.score) && !has(facts.spam.other) && !has(facts.other.score)",
        "!facts['my-virus'].found && !facts['my-virus']['found'] && has(facts['my-virus'].found)",
        "1 + 2 * 3 == 7 && 7 / 2 == 3 && 7 % 2 == 1 && 7.0 / 2 == 3.5 && 'a' + 'b' == 'ab' && 1 < 1.5 && 2u == 2",
        "message.size > 10 ? client.tls == false : client.tls",
        "'b' > 'a' && true != false",
        "[1, 2.5].exists(n, n == 2.5)",
        "false || 1 / 0 == 1 || true",
    ] {
        let condition = compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert_eq!(condition.evaluate(&message), Ok(true), "{source}");
    }
}

/// Every comparison with what nobody published is false, and so is it by itself: a stage that was skipped must neither
/// break those after it nor let them run.
#[test]
fn unset_facts_are_false() {
    let message = message();
    for source in [
        "facts.av.found",
        "facts.av.score > 1",
        "facts.av.score < 1",
        "facts.av.score == 1",
        "facts.av.score != 1",
        "1 >= facts.av.score",
        "facts.av.name == facts.av.name",
        "facts.av.score + 1 > 0",
        "-facts.av.score < 0",
        "facts.av.name in ['a']",
        "'a' in facts.av.names",
        "facts.av.names.exists(n, n == 'a')",
        "facts.av.name.startsWith('a')",
        "'abc'.contains(facts.av.name)",
        "facts.av.name.matches('.*')",
        "facts.av.name.lowerAscii() == ''",
        "size(facts.av.names) == 0",
        "facts.av.found ? true : false",
        "facts.av.name in headers",
        "facts.av.name.inNetwork('0.0.0.0/0')",
    ] {
        let condition = compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert_eq!(condition.evaluate(&message), Ok(false), "{source}");
    }
    let condition = compile("!facts.av.found && !(facts.av.score > 1)").expect("valid");
    assert_eq!(condition.evaluate(&message), Ok(true));
}

#[test]
fn facts_of_another_type_have_no_order() {
    let message = message();
    for (source, reason) in [
        ("facts.spam.name > 7", "text can not be compared with a number"),
        ("facts.spam.score.startsWith('7')", "must be text, is a number"),
        ("facts.spam.score", "must be true or false, is a number"),
        ("facts.spam.name + 1 > 0", "can not calculate with text and a number"),
        ("'a' in facts.spam.name", "must be a list, is text"),
        ("1 / 0 == 1", "division by zero"),
        ("9223372036854775807 + 1 > 0", "number is too large"),
        ("envelope.recipients[2].local == ''", "list of 2 elements has none at that index"),
        ("envelope.recipients[-1].local == ''", "list of 2 elements has none at that index"),
    ] {
        let condition = compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let error = condition.evaluate(&message).expect_err(source);
        assert!(error.contains(reason), "{source}: {error}");
    }
    // Equality has an answer all the same.
    for (source, value) in [("facts.spam.name == 7", false), ("facts.spam.name != 7", true)] {
        assert_eq!(compile(source).expect(source).evaluate(&message), Ok(value), "{source}");
    }
}

#[test]
fn what_is_missing_is_empty() {
    let message = ParsedMessage::without_content(Transaction::default());
    for source in [
        "client.address == '' && client.port == 0 && client.hostname == '' && client.user == ''",
        "!client.authenticated && !client.tls && !client.address.inNetwork('0.0.0.0/0')",
        "envelope.sender.address == '' && envelope.sender.domain == '' && envelope.queue_id == ''",
        "size(envelope.recipients) == 0 && envelope.recipients.all(r, false) && size(headers.subject) == 0",
    ] {
        assert_eq!(compile(source).expect(source).evaluate(&message), Ok(true), "{source}");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (source, reason, offset) in [
        (
            "cleint.address == ''",
            "no such name \"cleint\"; there are client, envelope, headers, message, facts",
            Some(0),
        ),
        ("client.adress == ''", "client has no field \"adress\"; there are address, port", Some(6)),
        ("envelope.from == ''", "envelope has no field \"from\"; there are sender", Some(8)),
        ("envelope.sender.host == ''", "a mailbox has no field \"host\"; there are address, local, domain", Some(15)),
        ("message.length > 1", "message has no field \"length\"; there are size", Some(7)),
        ("message.size == 'a'", "a number can not be compared with text", Some(13)),
        ("'ü' == 'ü' && message.size == 'a'", "a number can not be compared with text", Some(29)),
        ("client.tls == 1", "true or false can not be compared with a number", Some(11)),
        ("client.tls < true", "can not be compared", Some(11)),
        ("envelope.sender == 'a@b'", "a mailbox (write .address, .local or .domain) can not be compared", Some(16)),
        ("envelope.recipients == []", "a list can not be compared", Some(20)),
        ("headers.subject == 'a'", "a list can not be compared with text", Some(16)),
        ("facts.score > 1", "the facts of a stage (write facts.STAGE.NAME) can not be compared", Some(12)),
        ("message.size", "condition must be true or false, is a number", None),
        ("client", "condition must be true or false, is client", None),
        ("client.address && true", "must be true or false, is text", Some(6)),
        ("!message.size", "must be true or false, is a number", Some(8)),
        ("message.size in [1, 'a']", "list must have elements of one type", Some(20)),
        ("message.size in ['a']", "a number can not be in a list of text", Some(13)),
        ("'a' in client", "'in' is for lists and headers", Some(4)),
        ("client.address.size() == 'a'", "a number can not be compared with text", Some(22)),
        ("client.address.frobnicate()", "no such function \"frobnicate\"; there are header(), size()", None),
        ("header('a', 'b') == ''", "header() is not used like that", None),
        ("duration('1s') == 1", "no such function \"duration\"", None),
        ("client.address.matches(client.helo)", "argument of matches() must be a text in quotes", None),
        ("client.address.matches('(')", "regular expression can not be used: error: unclosed group", None),
        ("client.address.inNetwork('10.0.0.0/33')", "network must look like", None),
        ("message.size.contains('a')", "contains is for text, not for a number", None),
        ("has(client.address)", "has() is for facts.STAGE.NAME", None),
        ("client in []", "client (write client.FIELD) can not be in a list", None),
        ("headers[0] == ''", "headers[] is for text, not for a number", None),
        ("client == client", "client (write client.FIELD) can not be compared", None),
        ("{'a': 1}.a == 1", "maps and structures can not be written", None),
        ("null == null", "bytes and null have no use", None),
        ("b'a' == b'a'", "bytes and null have no use", None),
        ("'a' + 1 == 'a1'", "can not calculate with text and a number", None),
        ("-'a' == 'a'", "'-' is for numbers", None),
        ("true ? 1 : 'a'", "both sides of ':' must have one type", None),
        ("envelope.recipients.exists(r, envelope.recipients.exists(s, s.local == r.local))", "can not be nested", None),
        ("envelope.recipients.exists(client, true)", "variable must have another name", None),
        ("envelope.recipients.exists(r, r.host == '')", "a mailbox has no field \"host\"", None),
        ("envelope.recipients.exists(r, true) && r.local == ''", "no such name \"r\"", None),
        ("client.address == ", "syntax error", None),
        ("client.address = ''", "syntax error", None),
        ("", "must not be empty", None),
        (" \n", "must not be empty", None),
    ] {
        let error = compile(source).expect_err(source);
        assert!(error.message.contains(reason), "{source}: {error}");
        if offset.is_some() {
            assert_eq!(error.offset, offset, "{source}: {error}");
        }
    }
}

#[test]
fn a_syntax_error_says_where() {
    let error = compile("message.size > 1\n&& client.port == == 2").expect_err("two operators");
    assert!(error.message.starts_with("syntax error: "), "{error}");
    assert_eq!(error.offset, Some(35), "{error}");
    let error = compile("'\u{fc}' == == 1").expect_err("two operators");
    assert_eq!(error.offset, Some(8), "{error}");
}

/// Sources that would be deep recursion for a parser, a checker or an evaluation. Refused or understood, but with a
/// small stack.
#[test]
fn nothing_overflows_the_stack() {
    let max = Condition::MAX_SOURCE;
    let repeated = |piece: &str, end: &str| format!("{}{end}", piece.repeat((max - end.len()) / piece.len()));
    let sources = [
        repeated("(", ""),
        repeated("!", "true"),
        repeated("-", "1"),
        repeated("!(", "true"),
        repeated("- ", "1"),
        repeated("! ", "true"),
        repeated("[", ""),
        repeated("{", ""),
        repeated("1+", "1 > 0"),
        repeated("1 < ", "1"),
        repeated("true&&", "true"),
        repeated("true||", "true"),
        repeated("true?true:", "true"),
        repeated("client.", "address"),
        repeated("a[0].", "b"),
        repeated("true == ", "true"),
        format!("client.address{}", "[0]".repeat(1000)),
        format!("client.helo{} == ''", ".lowerAscii()".repeat(300)),
        repeated("has(", ""),
        repeated("'", ""),
        repeated("\\", ""),
        repeated("\u{fc}", ""),
        repeated("x.map(", ""),
    ];
    for source in sources {
        let start: String = source.chars().take(30).collect();
        let run = move || {
            let started = Instant::now();
            if let Ok(condition) = compile(&source) {
                assert!(condition.evaluate(&message()).is_ok());
            }
            started.elapsed()
        };
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(run).expect("a thread");
        let took = thread.join().expect("no panic");
        assert!(took < Duration::from_secs(5), "{start}: {took:?}");
    }
    assert!(compile(&repeated("true&&", "true")).is_ok());
    let error = compile(&"a".repeat(max + 1)).expect_err("too long");
    assert!(error.message.contains("at most 4096 bytes, has 4097"), "{error}");
    let error = compile(&format!("1 in [{}1]", "1,".repeat(200))).expect_err("too many");
    assert!(error.message.contains("at most 200 elements, has 201"), "{error}");
}

/// A message that makes conditions expensive: nothing takes long, and what would is an error.
#[test]
fn evaluation_is_bounded() {
    let mut message = message();
    message.envelope.recipients = (0..50_000).map(|n| Mailbox::new(format!("<user{n}@host{n}.example>"))).collect();
    message.headers.entries_mut().extend((0..20_000).map(|_| wasmilter_message::headers::Entry {
        field: Field::new("X-Many", vec![b'a'; 200]),
        received: None,
        changed: false,
    }));
    for source in [
        "envelope.recipients.exists(r, r.domain == 'x')",
        "envelope.recipients.filter(r, r.domain.startsWith('host')).size() > 0",
        "envelope.recipients.map(r, r.address + r.address + r.address).size() > 0",
        "envelope.recipients.exists(r, header('subject') == r.local)",
        "envelope.recipients.exists(r, size(headers['x-many']) == 7)",
        "headers['x-many'].exists(v, v.matches('(a*)*b') || v.matches('[ab]*c.*d.*e'))",
        "headers['x-many'].exists(v, v in headers['x-many'])",
        "envelope.recipients.exists(r, envelope.recipients.size() == 1)",
    ] {
        let condition = compile(source).expect(source);
        let started = Instant::now();
        let value = condition.evaluate(&message);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(2), "{source}: {took:?}");
        assert!(value.is_err_and(|error| error.contains("steps")), "{source}");
        // No way round the end of the steps.
        let condition = compile(&format!("{source} || true")).expect(source);
        assert!(condition.evaluate(&message).is_err(), "{source}");
    }
    // A thousand recipients are no trouble.
    message.envelope.recipients.truncate(1000);
    for source in [
        "envelope.recipients.all(r, r.domain.endsWith('.example'))",
        "envelope.recipients.filter(r, r.domain.endsWith('.example')).map(r, r.domain).size() == 1000",
        "envelope.recipients.exists_one(r, r.local == 'user7')",
        "envelope.recipients.map(r, r.domain)[999] == 'host999.example'",
    ] {
        assert_eq!(compile(source).expect(source).evaluate(&message), Ok(true), "{source}");
    }
}

#[test]
fn needs_only_what_it_looks_at() {
    for (source, headers, body) in [
        ("client.tls || envelope.sender.domain == 'a' || facts.a.b", false, false),
        ("header('subject') == ''", true, false),
        ("'x' in headers", true, false),
        ("has(headers.x)", true, false),
        ("headers.x.size() == 1", true, false),
        ("client.tls && message.size > 1", true, true),
    ] {
        let needs = compile(source).expect(source).needs();
        assert_eq!(needs, Needs { headers, body, ..Needs::default() }, "{source}");
    }
}

#[test]
fn the_examples_of_the_manual_are_understood() {
    let manual = include_str!("../../CONDITIONS.md");
    let mut seen = 0;
    for line in manual.lines() {
        if let Some(source) = line.strip_prefix("when = \"").or_else(|| line.strip_prefix("unless = \"")) {
            let source = source.strip_suffix('"').expect("closed");
            compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
    // What the table of names shows is a name, as it stands there.
    for source in
        ["client.listener", "envelope.queue_id", "client.helo", "header('name')", "client.user", "client.hostname"]
    {
        assert!(manual.contains(&format!("`{source}`")), "{source}");
        compile(&format!("{source} == ''")).unwrap_or_else(|error| panic!("{source}: {error}"));
    }
}

/// Neither the parser nor the check nor the evaluation may panic, whatever is written. Pieces are put together at random,
/// always the same ones: a failure can be seen again.
#[test]
fn random_conditions_never_panic() {
    const PIECES: &str = "client envelope headers message facts .address .size .spam .score .recipients ['x'] [0] ( ) [ ] \
        { } , : ? && || ! - + * / % == != < >= in 1 2.5 3u 0x1F 9223372036854775808 1e999 'a' \"b\" r'\\d' b'x' null true \
        false .exists(r, .map(r, .all(r, r has( size( .matches(' ') ' \\ \u{fc} ` @ # // . .. ?. [? ''' int( {'a':1} Foo{a:1}";
    let pieces: Vec<_> = PIECES.split(' ').collect();
    let message = message();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("small")
    };
    let mut understood = 0;
    for _ in 0..6000 {
        let length = 1 + next(12);
        let source: Vec<_> = (0..length).map(|_| pieces[next(pieces.len())]).collect();
        let source = source.join([" ", ""][next(2)]);
        if let Ok(condition) = compile(&source) {
            understood += 1;
            // A value or none: both are fine here.
            drop(condition.evaluate(&message));
        }
    }
    assert!(understood > 5, "{understood}");
}

#[test]
fn the_direction_is_known_where_the_site_is() {
    let mut local = Local::default();
    local.add_domain("example.com").expect("a domain");
    let local = Arc::new(local);
    let value =
        |source: &str| Condition::compile(source, Some(&local)).expect(source).evaluate(&message()).expect(source);
    assert!(value("direction == 'outbound'"), "the client authenticated, and one recipient is elsewhere");
    assert!(value("'internal' != direction") && value("direction in ['inbound', 'outbound']"));
    assert!(!value("direction == 'inbound' || direction in []"));
    for (source, offset) in [
        ("direction == 'inbund'", 13),
        ("direction in ['inbound', 'out']", 25),
        ("direction == client.helo", 19),
        ("direction in headers", 13),
    ] {
        let error = Condition::compile(source, Some(&local)).expect_err(source);
        assert_eq!(error.message, "a direction is 'inbound', 'outbound' or 'internal'", "{source}");
        assert_eq!(error.offset, Some(offset), "{source}");
    }
    for source in ["direction", "direction < 'inbound'", "direction.contains('in')", "direction + 'x' == 'y'"] {
        assert!(Condition::compile(source, Some(&local)).is_err(), "{source}");
    }
    let error = compile("direction == 'inbound'").expect_err("nobody said what is local");
    assert!(error.message.contains("[local]"), "{error}");
}
