use crate::Disclaimer;
use serde_json::{Value, json};
use wasmilter_sdk::{
    Decision, Edit, FactValue, Message, bindings::message::exports::wasmilter::policy::message_policy::Annotation,
    testing,
};

const TEXT: &str = "This message is confidential. Sent by {sender}.";

fn mail(content_type: &str, body: &str) -> Message {
    let eml = format!(
        "From: \"Alice <B>\" <alice@example.net>\nTo: bob@example.org\nSubject: hello\n\
         Date: Tue, 3 Nov 2026 10:00:00 +0100\nMIME-Version: 1.0\nContent-Type: {content_type}\n\n{body}"
    );
    Message::parse(eml.as_bytes())
}

fn judge(config: &Value, message: &Message) -> Decision {
    testing::judge::<Disclaimer>(&config.to_string(), message).unwrap()
}

fn annotation(decision: &Decision) -> &Annotation {
    match decision.edits().first() {
        Some(Edit::AppendText(annotation) | Edit::PrependText(annotation)) => annotation,
        other => panic!("{other:?}"),
    }
}

fn skipped(decision: &Decision) -> Option<&str> {
    match &decision.facts().iter().find(|fact| fact.name == "skipped")?.value {
        FactValue::Text(text) => Some(text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn variables_are_filled_in_and_escaped_in_html() {
    let config = json!({"text": "{from_name} of {sender_domain} on {date} {{sic}}\nline & line", "separator": "____"});
    let decision = judge(&config, &mail("text/plain", "hello\n"));
    let annotation = annotation(&decision);
    assert_eq!(annotation.plain, "\n____\nAlice <B> of example.net on 3 Nov 2026 {sic}\nline & line\n");
    let html = "<hr>\n<div>Alice &lt;B&gt; of example.net on 3 Nov 2026 {sic}<br>\nline &amp; line</div>\n";
    assert_eq!(annotation.html, html);
}

#[test]
fn a_fragment_of_block_elements_stays_valid() {
    // A paragraph inside a paragraph would not be.
    let decision = judge(&json!({"text": TEXT, "html": "<p>Confidential.</p>"}), &mail("text/plain", "hello\n"));
    assert_eq!(annotation(&decision).html, "<div><p>Confidential.</p></div>\n");
}

#[test]
fn a_reply_that_quotes_the_text_gets_no_second_one() {
    let config = json!({"text": TEXT});
    let quoted = "Yes.\n\n> hello\n>\n> This message is\n> confidential.  Sent by\n> somebody@example.com.\n";
    assert_eq!(skipped(&judge(&config, &mail("text/plain", quoted))), Some("present"));
    let html =
        "<p>Yes.</p><blockquote>This <b>message</b>&nbsp;is confidential. <!-- x > y -->Sent\nby x.</blockquote>";
    assert_eq!(skipped(&judge(&config, &mail("text/html", html))), Some("present"));
    let partial = "> This message is confidential.\n";
    assert_eq!(skipped(&judge(&config, &mail("text/plain", partial))), None);
    let always = json!({"text": TEXT, "once": false});
    assert_eq!(skipped(&judge(&always, &mail("text/plain", quoted))), None);
}

#[test]
fn a_short_text_is_not_looked_for() {
    let decision = judge(&json!({"text": "Hello, {sender}"}), &mail("text/plain", "Hello, Bob\n"));
    assert_eq!(skipped(&decision), None);
}

#[test]
fn letters_with_accents_are_found_in_html() {
    let config = json!({"text": "Für Übermut gibt es heiße Öfen."});
    let html = "<P>F&uuml;r &#220;bermut gibt es hei&szlig;e &#xD6;fen.</P>";
    assert_eq!(skipped(&judge(&config, &mail("text/html", html))), Some("present"));
    let style = "<style>Für Übermut gibt es heiße Öfen.</style><p>x</p>";
    assert_eq!(skipped(&judge(&config, &mail("text/html; charset=utf-8", style))), None);
}

#[test]
fn the_marker_is_added_and_honoured_only_for_the_same_text() {
    let config = json!({"text": TEXT, "header": "X-Disclaimer", "once": false});
    let decision = judge(&config, &mail("text/plain", "hello\n"));
    let Some(Edit::AddHeader(field)) = decision.edits().get(1) else { panic!("{:?}", decision.edits()) };
    let marked =
        |value: &str| Message::parse(format!("X-Disclaimer: {value}\nFrom: a@example.net\n\nhello\n").as_bytes());
    assert_eq!(skipped(&judge(&config, &marked(&field.value))), Some("present"));
    assert_eq!(skipped(&judge(&config, &marked("added; id=0000000000000000"))), None);
}

#[test]
fn what_must_not_change_is_left_alone() {
    let config = json!({"text": TEXT});
    let pgp = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nhello\n-----BEGIN PGP SIGNATURE-----\n";
    assert_eq!(skipped(&judge(&config, &mail("text/plain", pgp))), Some("signed"));
    assert_eq!(skipped(&judge(&config, &mail("text/calendar", "BEGIN:VCALENDAR\n"))), Some("no-text"));
    let report =
        "--x\nContent-Type: text/plain\n\nnot delivered\n--x\nContent-Type: message/delivery-status\n\n\n--x--\n";
    let report = mail("multipart/report; report-type=delivery-status; boundary=x", report);
    assert_eq!(skipped(&judge(&config, &report)), Some("report"));
}

#[test]
fn every_problem_is_told_with_its_place() {
    let config = json!({
        "text": "Hello {nobody}",
        "html": "<html><body>x</body></html>",
        "separator": "a\nb",
        "header": "Subject",
        "position": "end",
    });
    let problems = testing::configure::<Disclaimer>(&config.to_string()).err().unwrap().into_list();
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    for path in ["/text", "/html", "/separator", "/header"] {
        assert!(paths.contains(&path), "{problems:?}");
    }
    let short = json!({"text": "Hello {sender}", "once": true});
    let problems = testing::configure::<Disclaimer>(&short.to_string()).err().unwrap().into_list();
    assert!(problems.iter().any(|problem| problem.path == "/once"), "{problems:?}");
    for text in ["", "-- ", "{sender}", "{{", "a { b", "a } b"] {
        let problems = testing::configure::<Disclaimer>(&json!({"text": text}).to_string()).err();
        let ok = problems.is_some_and(|problems| problems.into_list().iter().any(|problem| problem.path == "/text"));
        assert!(ok, "{text:?} was taken");
    }
}

#[test]
fn cases() {
    testing::cases::<Disclaimer>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
