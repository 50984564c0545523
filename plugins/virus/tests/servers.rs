//! Against a real clamd, when its address is given: `WASMILTER_CLAMD=127.0.0.1:3310 cargo test -p virus --test servers`.
//! It must find EICAR, and take streams of less than 30 MB.

use virus::Virus;
use wasmilter_sdk::{Message, Verdict, testing};

fn eicar() -> String {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}", "$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*"].concat()
}

#[test]
fn a_real_clamd_finds_eicar_and_says_when_mail_is_too_large() {
    let Ok(address) = std::env::var("WASMILTER_CLAMD") else { return };
    let judge = |config: &str, body: &str| {
        let mail = format!(
            "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n\
             Content-Type: application/octet-stream; name=a.com\r\n\r\n{body}\r\n--b--\r\n"
        );
        let message = Message::parse(mail.as_bytes()).with_service_at("clamd", &address);
        testing::judge::<Virus>(config, &message).unwrap()
    };
    let plain = r#"{"service": "clamd"}"#;
    assert!(matches!(judge(plain, "harmless").verdict(), Verdict::Next));
    let Verdict::Reject(reply) = judge(plain, &eicar()).verdict().clone() else { panic!("not found") };
    assert!(reply.text.to_lowercase().contains("eicar"), "{}", reply.text);
    let replaced = judge(r#"{"service": "clamd", "on_virus": "replace"}"#, &eicar());
    assert!(testing::edit_line(&replaced.edits()[0]).starts_with("replace-part 2"));
    let large = "0123456789abcdef".repeat(2 << 20);
    let verdict = judge(r#"{"service": "clamd", "on_limit": "tempfail"}"#, &large).verdict().clone();
    assert!(matches!(verdict, Verdict::Tempfail(_)), "{verdict:?}");
}
