//! The messages that are sent: plain, with an attachment, large, and real ones.

use anyhow::{Result, bail};
use wasmilter_tests::{corpus, letter::crlf};

/// A message, cut as an MTA cuts it.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    /// Header fields: name, NUL, value, NUL.
    pub(crate) fields: Vec<Vec<u8>>,
    pub(crate) body: Vec<u8>,
}

/// Kinds of messages that the tables have a column for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum, serde::Serialize)]
pub(crate) enum Kind {
    /// 4 kB of text.
    #[value(name = "4k")]
    Plain,
    /// 100 kB with an attachment.
    #[value(name = "100k")]
    Attachment,
    /// 2 MB with an attachment.
    #[value(name = "2m")]
    Large,
    /// Real mail: the shared corpus where it is unpacked, otherwise the messages of tests/corpus.
    #[value(name = "corpus")]
    Corpus,
    /// Real mail of about 100 kB: of the same corpus what has 60 to 200 kB.
    #[value(name = "corpus-100k")]
    CorpusLarge,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "4 kB plain",
            Self::Attachment => "100 kB",
            Self::Large => "2 MB",
            Self::Corpus => "corpus",
            Self::CorpusLarge => "corpus, 60 to 200 kB",
        }
    }

    /// How many of them make one measurement, so that it takes about as long for every kind.
    pub(crate) fn messages(self) -> u64 {
        match self {
            Self::Plain | Self::Corpus => 4_000,
            Self::Attachment | Self::CorpusLarge => 1_500,
            Self::Large => 160,
        }
    }

    pub(crate) fn mails(self) -> Result<Vec<Mail>> {
        let messages = match self {
            Self::Plain => vec![plain(4_000)],
            Self::Attachment => vec![with_attachment(100_000)],
            Self::Large => vec![with_attachment(2_000_000)],
            Self::Corpus => real(8),
            Self::CorpusLarge => {
                real(1).into_iter().filter(|message| (60_000..200_000).contains(&message.len())).collect()
            }
        };
        if messages.is_empty() {
            bail!("no messages of the kind {:?}", self.name());
        }
        Ok(messages.iter().map(|message| cut(message)).collect())
    }
}

impl Mail {
    /// A message of about that many bytes, with an attachment.
    pub(crate) fn large(bytes: usize) -> Self {
        cut(&with_attachment(bytes))
    }
}

/// Every so-manieth message of the shared corpus, or, where that is not unpacked, our own.
fn real(step: usize) -> Vec<Vec<u8>> {
    let mut specimens = corpus::shared(step);
    if specimens.is_empty() {
        specimens = corpus::own();
    }
    specimens.into_iter().map(|specimen| specimen.message).collect()
}

const HEAD: &str = "\
Received: from mail.example.net (mail.example.net [192.0.2.17])
\tby mx.example.org (Postfix) with ESMTPS id 4XYZ123abc
\tfor <user@example.org>; Sat, 21 Nov 2026 10:00:00 +0000 (UTC)
From: Some Body <sender@example.net>
To: user@example.org
Subject: Minutes of the meeting
Date: Sat, 21 Nov 2026 10:00:00 +0000
Message-ID: <20261121100000.4711@mail.example.net>
MIME-Version: 1.0
";

/// What the text is made of: some 11 kB of prose that does not change from one version of the project to the next. Text that repeats
/// itself would spare filters that remember words what real mail costs them.
const PROSE: &str = include_str!("../../../plugins/LICENSE");

fn plain(size: usize) -> Vec<u8> {
    let mut text = format!("{HEAD}Content-Type: text/plain; charset=utf-8\n\n");
    for line in prose() {
        if text.len() >= size {
            break;
        }
        text.push_str(line);
    }
    crlf(text)
}

/// Lines of text without end.
fn prose() -> impl Iterator<Item = &'static str> {
    PROSE.split_inclusive('\n').filter(|line| !line.trim().is_empty()).cycle()
}

fn with_attachment(size: usize) -> Vec<u8> {
    let mut text = format!(
        "{HEAD}Content-Type: multipart/mixed; boundary=\"=-edge\"\n\n--=-edge\nContent-Type: text/plain; charset=utf-8\n\n"
    );
    prose().take(20).for_each(|line| text.push_str(line));
    text.push_str("\n--=-edge\nContent-Type: application/octet-stream; name=\"minutes.bin\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"minutes.bin\"\n\n");
    // Bytes without a pattern that a scanner could take for a known file (xorshift32), in base64's alphabet.
    let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let mut state = 0x9e37_79b9_u32;
    while text.len() < size {
        for _ in 0..76 {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let index = usize::try_from(state >> 26).unwrap_or(0);
            text.push(alphabet.get(index).copied().unwrap_or('A'));
        }
        text.push('\n');
    }
    text.push_str("\n--=-edge--\n");
    crlf(text)
}

/// As an MTA hands a message to a filter: fields with their lines joined by LF, the body as it is.
fn cut(message: &[u8]) -> Mail {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = match end {
        Some(end) => (message.get(..end + 2).unwrap_or_default(), message.get(end + 4..).unwrap_or_default()),
        None => (message, &[][..]),
    };
    let mut fields: Vec<Vec<u8>> = Vec::new();
    for line in head.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match (line.first(), fields.last_mut()) {
            (None, _) => {}
            (Some(b' ' | b'\t'), Some(field)) => {
                field.push(b'\n');
                field.extend(line);
            }
            _ => fields.push(line.to_vec()),
        }
    }
    let fields = fields.into_iter().filter_map(|field| {
        let colon = field.iter().position(|byte| *byte == b':')?;
        let (name, value) = field.split_at(colon);
        let value = value.get(1..)?;
        // What could not stand in a milter frame as one field.
        (!name.is_empty() && !field.contains(&0)).then(|| [name, b"\0", value, b"\0"].concat())
    });
    Mail { fields: fields.collect(), body: body.to_vec() }
}
