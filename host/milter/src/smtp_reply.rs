//! What the SMTP client hears.
//!
//! The text of a milter's reply becomes an SMTP reply (RFC 5321 §4.2) by way of the MTA, which checks it more or less.
//! So that no MTA finds fault with it: every line has the code and an enhanced status code of the same class, all lines
//! but the last a dash; CRLF stands between lines and not after them; printable US-ASCII only; at most [`LINES`] lines
//! of [`LINE_LENGTH`] bytes.

use wasmilter_message::decision::{HookVerdict, Reply, Verdict};

/// Lines of a reply.
pub const LINES: usize = 10;
/// Bytes of a line, its codes included; RFC 5321 allows 512.
pub const LINE_LENGTH: usize = 450;

/// What the SMTP client hears at the end of the message, lines joined by CRLF. For a message that is taken the MTA
/// chooses the text itself; here it is `250 2.0.0 Ok`.
#[must_use]
pub fn smtp_reply(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Reject(reply) => refusal(Class::Permanent, reply),
        Verdict::Tempfail(reply) => refusal(Class::Temporary, reply),
        Verdict::Next | Verdict::Accept | Verdict::Discard | Verdict::Quarantine { .. } => "250 2.0.0 Ok".to_owned(),
    }
}

/// What the SMTP client hears after an envelope hook; None when the command is not refused.
#[must_use]
pub fn hook_reply(verdict: &HookVerdict) -> Option<String> {
    match verdict {
        HookVerdict::Next => None,
        HookVerdict::Reject(reply) => Some(refusal(Class::Permanent, reply)),
        HookVerdict::Tempfail(reply) => Some(refusal(Class::Temporary, reply)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Permanent,
    Temporary,
}

fn refusal(class: Class, reply: &Reply) -> String {
    let (digit, default_code, default_enhanced, default_text) = match class {
        Class::Permanent => ('5', 550, "5.7.1", "Message refused by policy"),
        Class::Temporary => ('4', 451, "4.7.1", "Service unavailable, try again later"),
    };
    // Replies of plugins were checked; a wrong one from elsewhere must not turn into a protocol error.
    let checked = |part: Reply| part.check(digit).is_ok();
    let code = match reply.code {
        code if code != 0 && checked(Reply { code, ..Reply::default() }) => code,
        _ => default_code,
    };
    let enhanced = match reply.enhanced.as_str() {
        enhanced if !enhanced.is_empty() && checked(Reply { enhanced: enhanced.into(), ..Reply::default() }) => {
            enhanced
        }
        _ => default_enhanced,
    };
    let room = LINE_LENGTH.saturating_sub(enhanced.len().saturating_add("550 ".len()).saturating_add(1));
    let mut lines: Vec<String> = reply.text.split(['\n', '\r']).map(|line| printable(line, room)).collect();
    lines.retain(|line| !line.is_empty());
    lines.truncate(LINES);
    if lines.is_empty() {
        lines.push(default_text.to_owned());
    }
    let last = lines.len().saturating_sub(1);
    let line = |(number, text)| format!("{code}{}{enhanced} {text}", if number == last { ' ' } else { '-' });
    lines.into_iter().enumerate().map(line).collect::<Vec<_>>().join("\r\n")
}

/// The line without what an SMTP reply can not carry, cut to `room` bytes.
fn printable(line: &str, room: usize) -> String {
    let visible = |c: char| {
        if c == '\t' {
            ' '
        } else if c == ' ' || c.is_ascii_graphic() {
            c
        } else {
            '?'
        }
    };
    line.trim().chars().map(visible).take(room).collect::<String>().trim_end().to_owned()
}

/// The same text as it is written to the MTA: both MTAs read `%` as the start of a format, Sendmail drops the whole
/// text over it.
pub(crate) fn on_the_wire(reply: &str) -> String {
    reply.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(code: u16, enhanced: &str, text: &str) -> String {
        smtp_reply(&Verdict::Reject(Reply { code, enhanced: enhanced.into(), text: text.into() }))
    }

    #[test]
    fn golden_texts() {
        for (code, enhanced, text, golden) in [
            (0, "", "", "550 5.7.1 Message refused by policy"),
            (0, "", "no thanks", "550 5.7.1 no thanks"),
            (554, "5.6.0", "virus", "554 5.6.0 virus"),
            (0, "", "10 messages per hour", "550 5.7.1 10 messages per hour"),
            (0, "", "4.7.1 x", "550 5.7.1 4.7.1 x"),
            (0, "", "a\nb\nc", "550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c"),
            (0, "", "a\r\nb\r\n", "550-5.7.1 a\r\n550 5.7.1 b"),
            (0, "", "caf\u{e9}\u{7}\u{0}", "550 5.7.1 caf???"),
            (0, "", "100% sure", "550 5.7.1 100% sure"),
            (0, "", " \n ", "550 5.7.1 Message refused by policy"),
            (451, "4.7.1", "wrong class", "550 5.7.1 wrong class"),
            (250, "2.0.0", "wrong class", "550 5.7.1 wrong class"),
            (0, "5.7.1\r\n250 ok", "smuggled", "550 5.7.1 smuggled"),
        ] {
            assert_eq!(reject(code, enhanced, text), golden);
        }
        assert_eq!(smtp_reply(&Verdict::Tempfail(Reply::default())), "451 4.7.1 Service unavailable, try again later");
        assert_eq!(
            smtp_reply(&Verdict::Tempfail(Reply { code: 421, enhanced: "4.3.2".into(), text: "bye".into() })),
            "421 4.3.2 bye"
        );
        assert_eq!(smtp_reply(&Verdict::Discard), "250 2.0.0 Ok");
        assert_eq!(hook_reply(&HookVerdict::Next), None);
        assert_eq!(hook_reply(&HookVerdict::Tempfail(Reply::text("later"))).as_deref(), Some("451 4.7.1 later"));
    }

    #[test]
    fn percent_is_doubled_on_the_wire_only() {
        assert_eq!(on_the_wire("550 5.7.1 100% sure"), "550 5.7.1 100%% sure");
    }

    proptest::proptest! {
        #[test]
        fn no_mta_finds_fault_with_any_text(code: u16, enhanced: String, text: String, soft: bool) {
            let reply = Reply { code, enhanced, text };
            let (digit, verdict) =
                if soft { ("4", Verdict::Tempfail(reply)) } else { ("5", Verdict::Reject(reply)) };
            let said = smtp_reply(&verdict);
            let lines: Vec<&str> = said.split("\r\n").collect();
            assert!((1..=LINES).contains(&lines.len()));
            for (number, line) in lines.iter().enumerate() {
                assert!(line.len() <= LINE_LENGTH, "{line}");
                assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line}");
                assert!(line.starts_with(digit) && line.chars().nth(4) == digit.chars().next(), "{line}");
                assert_eq!(line.as_bytes()[..3], lines[0].as_bytes()[..3]);
                assert_eq!(line.as_bytes()[3], if number + 1 == lines.len() { b' ' } else { b'-' });
                assert!(line.len() > "550 5.7.1 ".len());
            }
        }
    }
}
