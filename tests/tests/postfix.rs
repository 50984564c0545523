//! Mail through a real Postfix and the real host.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

use wasmilter_tests::{clamd, letter::below_received, postfix, rspamd, sendmail, smtp_client::SmtpClient, spamd};

const LETTER: &[u8] =
    b"From: Ann <ann@example.net>\r\nTo: bob@example.org\r\nSubject: hello\r\n\r\n.dots\r\nand text\r\n";

#[test]
fn sanity() {
    let postfix = postfix::shared();
    let mut client = SmtpClient::connect(postfix.plain());
    client.send("ann@example.net", &["sanity@example.org"], LETTER).expect(250);
    client.quit();
    let delivery = postfix.sink().take("sanity@example.org");
    assert_eq!(below_received(&delivery.message), LETTER);
    println!("{}", String::from_utf8_lossy(&delivery.message));
    println!("{}", postfix.log());
    assert!(!postfix.log().contains("warning"));
}

#[test]
fn sanity_sendmail() {
    let sendmail = sendmail::shared();
    let mut client = SmtpClient::connect(sendmail.plain());
    client.send("ann@example.net", &["sanity@example.org"], LETTER).expect(250);
    client.quit();
    let delivery = sendmail.sink().take("sanity@example.org");
    println!("{}", String::from_utf8_lossy(&delivery.message));
    println!("{}", sendmail.log());
    println!("{}", sendmail.quarantined());
    assert_eq!(below_received(&delivery.message), LETTER);
}

#[test]
fn sanity_scanners() {
    let c = clamd::Clamd::start();
    let s = spamd::Spamd::start();
    let r = rspamd::Rspamd::start();
    println!("{} {} {}", c.address(), s.address(), r.address());
}
