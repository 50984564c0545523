//! Against a real rspamd and spamd, when their addresses are given:
//! `WASMILTER_RSPAMD=127.0.0.1:11333 WASMILTER_SPAMD=127.0.0.1:783 cargo test -p spam --test servers`.

use spam::Spam;
use wasmilter_sdk::{FactValue, Message, Verdict, testing};

fn gtube() -> String {
    ["XJS*C4JDBQADN1.NSBN3*2IDNEN*", "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL", "*C.34X"].concat()
}

fn judge(service: &str, protocol: &str, address: &str, extra: &str, body: &str) -> wasmilter_sdk::Decision {
    let mail = format!(
        "From: a@example.org\r\nTo: b@example.com\r\nSubject: hello\r\nDate: Mon, 6 Jan 2025 10:00:00 +0000\r\n\
         Message-ID: <1@example.org>\r\n\r\n{body}\r\n"
    );
    let message = Message::parse(mail.as_bytes()).with_service_at(service, address);
    let config = format!(r#"{{"service": "{service}", "protocol": "{protocol}"{extra}}}"#);
    testing::judge::<Spam>(&config, &message).unwrap()
}

fn symbols(decision: &wasmilter_sdk::Decision) -> usize {
    let symbols = decision.facts().iter().find(|fact| fact.name == "symbols").map(|fact| &fact.value);
    match symbols {
        Some(FactValue::Texts(symbols)) => symbols.len(),
        other => panic!("no symbols: {other:?}"),
    }
}

#[test]
fn a_real_rspamd_scores() {
    let Ok(address) = std::env::var("WASMILTER_RSPAMD") else { return };
    // By its score, and by what it proposes.
    for extra in ["", r#", "follow_action": true"#] {
        let spam = judge("rspamd", "rspamd", &address, extra, &gtube());
        assert!(matches!(spam.verdict(), Verdict::Reject(_)), "{:?} {:?}", spam.verdict(), spam.facts());
    }
    let ham = judge("rspamd", "rspamd", &address, "", "How are you?");
    assert!(matches!(ham.verdict(), Verdict::Next), "{:?}", ham.verdict());
}

#[test]
fn a_real_spamd_scores() {
    let Ok(address) = std::env::var("WASMILTER_SPAMD") else { return };
    let spam = judge("sa", "spamd", &address, "", &gtube());
    assert!(matches!(spam.verdict(), Verdict::Reject(_)), "{:?} {:?}", spam.verdict(), spam.facts());
    assert!(symbols(&spam) > 0);
    let ham = judge("sa", "spamd", &address, "", "How are you?");
    assert!(matches!(ham.verdict(), Verdict::Next), "{:?}", ham.verdict());
}
