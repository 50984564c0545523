//! A delivered message taken apart, so that a test can say what it expects of it.

use crate::fake_mta::Mail;

/// Header fields and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Name and everything after the colon, folding included, without the last CRLF.
    pub fields: Vec<(String, Vec<u8>)>,
    /// What follows the empty line.
    pub body: Vec<u8>,
}

impl Letter {
    /// Takes a message with CRLF lines apart.
    #[must_use]
    pub fn parse(message: &[u8]) -> Self {
        let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
        let mut rest = message;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            let text = line.strip_suffix(b"\r\n").unwrap_or(line);
            if text.is_empty() {
                rest = after;
                break;
            }
            match (text.first(), fields.last_mut()) {
                (Some(b' ' | b'\t'), Some((_, value))) => {
                    value.extend_from_slice(b"\r\n");
                    value.extend_from_slice(text);
                }
                _ => {
                    let Some(colon) = text.iter().position(|&byte| byte == b':') else { break };
                    let name = String::from_utf8_lossy(&text[..colon]).into_owned();
                    fields.push((name, text[colon + 1..].to_vec()));
                }
            }
            rest = after;
        }
        Self { fields, body: rest.to_vec() }
    }

    /// The message as a mail server has it that speaks to a milter: what is no header field, and all after it, is body.
    #[must_use]
    pub fn into_mail(self) -> Mail {
        let mut mail = Mail::new(&[], self.body);
        mail.headers = self.fields.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
        mail
    }

    /// The values of the fields of that name, from the top, trimmed, as text.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<String> {
        let named = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| String::from_utf8_lossy(value).trim().to_owned()).collect()
    }

    /// The value of the only field of that name.
    #[track_caller]
    #[must_use]
    pub fn one(&self, name: &str) -> String {
        let mut all = self.all(name);
        assert_eq!(all.len(), 1, "fields {name}: {all:?}");
        all.remove(0)
    }

    /// Names of all fields, from the top.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The message below the Received field that this hop's MTA wrote on top of it.
#[track_caller]
#[must_use]
pub fn below_received(delivered: &[u8]) -> &[u8] {
    let start = String::from_utf8_lossy(&delivered[..delivered.len().min(200)]).into_owned();
    assert!(start.starts_with("Received:"), "the MTA's Received field is not on top: {start:?}");
    let mut at = 0;
    loop {
        at += delivered[at..].iter().position(|&byte| byte == b'\n').expect("a line end") + 1;
        if !matches!(delivered.get(at), Some(b' ' | b'\t')) {
            return &delivered[at..];
        }
    }
}

/// Text with its lines ended by CRLF, whatever ended them before.
#[must_use]
pub fn crlf(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    let mut lines = Vec::with_capacity(text.len() + text.len() / 32);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => {
                lines.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
                lines.extend_from_slice(b"\r\n");
            }
            None => lines.extend_from_slice(line),
        }
    }
    if !lines.is_empty() && !lines.ends_with(b"\r\n") {
        lines.extend_from_slice(b"\r\n");
    }
    lines
}

/// The first line in which two messages differ, in words; none when they are the same.
#[must_use]
pub fn difference(expected: &[u8], got: &[u8]) -> Option<String> {
    if expected == got {
        return None;
    }
    let lines = |text: &[u8]| -> Vec<String> {
        text.split_inclusive(|&byte| byte == b'\n').map(|line| line.escape_ascii().to_string()).collect()
    };
    let (expected, got) = (lines(expected), lines(got));
    let same = expected.iter().zip(&got).take_while(|(expected, got)| expected == got).count();
    let line = |lines: &[String]| lines.get(same).cloned().unwrap_or_else(|| "(end)".to_owned());
    Some(format!("line {}: expected {}, got {}", same + 1, line(&expected), line(&got)))
}
