//! The MTA's side of the milter protocol, played by the rules of Postfix or Sendmail.
//!
//! [`FakeMta`] speaks it over any stream: it negotiates what it is told to offer, knows from the answer which commands
//! are sent and which get a reply, writes as real MTAs do (what needs no reply goes out together with what follows) or in
//! random pieces, and takes no reply that a real MTA would not take. [`delivered`] then does to a message what Postfix or
//! Sendmail would do with the modifications. Everything here is in terms of bytes; nothing of the host is used.
#![allow(missing_docs, reason = "fields and variants are named as the protocol names them")]

use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// Whose habits and rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Macros before everything, `A` after each message, indices that shift at once.
    Postfix,
    /// No `A` between messages, indices that do not shift.
    Sendmail,
}

/// What is offered at negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    pub version: u32,
    pub actions: u32,
    pub protocol: u32,
}

impl Offer {
    /// Of both MTAs since 2009.
    pub const V6: Self = Self { version: 6, actions: 0x1ff, protocol: 0x1f_ffff };
    /// Of Postfix with `milter_protocol = 4`.
    pub const V4: Self = Self { version: 4, actions: 0x3f, protocol: 0x37f };
    /// Of an MTA of 2004.
    pub const V2: Self = Self { version: 2, actions: 0x3f, protocol: 0x7f };
}

/// What the filter answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    pub version: u32,
    pub actions: u32,
    pub protocol: u32,
    /// Stage number and list of names.
    pub macros: Vec<(u32, String)>,
}

/// How bytes are written.
#[derive(Debug, Clone, Copy)]
pub enum Writing {
    /// Everything up to the next reply at once.
    Together,
    /// In pieces of random size, from a seed.
    Pieces(u64),
}

/// A reply of the filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub command: u8,
    pub data: Vec<u8>,
}

impl Reply {
    /// Text of a reply code; empty for others.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.data.strip_suffix(b"\0").unwrap_or(&self.data)).into_owned()
    }

    fn refuses(&self) -> bool {
        matches!(self.command, b'r' | b't' | b'y')
    }
}

/// A modification as the filter sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    AddHeader { name: Vec<u8>, value: Vec<u8> },
    InsertHeader { index: u32, name: Vec<u8>, value: Vec<u8> },
    ChangeHeader { index: u32, name: Vec<u8>, value: Vec<u8> },
    ReplaceBody(Vec<u8>),
    ChangeSender { address: String, arguments: Option<String> },
    AddRecipient { address: String, arguments: Option<String> },
    RemoveRecipient(String),
    Quarantine(String),
}

/// How a message ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command at which it ended: `M`, `R` (no recipient left), `L`, `B`, `E`, …
    pub stage: u8,
    pub edits: Vec<Edit>,
    /// How often the filter said that it still works.
    pub progress: usize,
    pub reply: Reply,
    /// Recipients that the filter let through.
    pub recipients: Vec<String>,
}

/// A message as the MTA has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mail {
    /// As in MAIL FROM, with brackets.
    pub sender: String,
    pub sender_arguments: Vec<String>,
    pub recipients: Vec<String>,
    /// Name and everything after the colon, folded by CRLF and white space.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Mail {
    /// A small message from a@example.org to b@example.net, with that header and body.
    pub fn new(headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        Self {
            sender: "<a@example.org>".into(),
            sender_arguments: vec!["SIZE=1000".into()],
            recipients: vec!["<b@example.net>".into()],
            headers: headers
                .iter()
                .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
                .collect(),
            body: body.into(),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection to a filter.
pub struct FakeMta {
    stream: Box<dyn Stream>,
    flavour: Flavour,
    pending: Vec<u8>,
    random: Option<u64>,
    pub negotiated: Negotiated,
    messages: u32,
    /// How long a reply may take; Sendmail's is 10 s.
    pub patience: Duration,
}

/// Bits of the protocol word: "no such command" and "no reply to it".
fn bits(command: u8) -> (u32, u32) {
    match command {
        b'C' => (0x1, 0x1000),
        b'H' => (0x2, 0x2000),
        b'M' => (0x4, 0x4000),
        b'R' => (0x8, 0x8000),
        b'T' => (0x200, 0x1_0000),
        b'L' => (0x20, 0x80),
        b'N' => (0x40, 0x4_0000),
        b'B' => (0x10, 0x8_0000),
        b'U' => (0x100, 0x2_0000),
        _ => (0, 0),
    }
}

const LEADING_SPACE: u32 = 0x10_0000;

fn protocol_error(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl FakeMta {
    /// Speaks over a stream; see [`Self::negotiate`].
    pub fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, flavour: Flavour) -> Self {
        let negotiated = Negotiated { version: 0, actions: 0, protocol: 0, macros: Vec::new() };
        Self {
            stream: Box::new(stream),
            flavour,
            pending: Vec::new(),
            random: None,
            negotiated,
            messages: 0,
            patience: Duration::from_secs(10),
        }
    }

    /// Connects to `unix:/path` or `inet:address:port` and negotiates.
    pub async fn connect(address: &str, flavour: Flavour, offer: Offer) -> io::Result<Self> {
        let mut mta = match address.split_once(':') {
            Some(("unix", path)) => Self::over(tokio::net::UnixStream::connect(path).await?, flavour),
            Some(("inet", inet)) => {
                let stream = tokio::net::TcpStream::connect(inet).await?;
                stream.set_nodelay(true)?;
                Self::over(stream, flavour)
            }
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        mta.negotiate(offer).await?;
        Ok(mta)
    }

    /// Writes from now on in that way.
    #[must_use]
    pub fn writing(mut self, writing: Writing) -> Self {
        self.random = match writing {
            Writing::Together => None,
            Writing::Pieces(seed) => Some(seed.wrapping_mul(2).wrapping_add(1)),
        };
        self
    }

    /// Offers, and takes the answer as Sendmail does: nothing beyond the offer.
    pub async fn negotiate(&mut self, offer: Offer) -> io::Result<()> {
        let words = [offer.version, offer.actions, offer.protocol];
        self.queue(b'O', &words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>());
        let reply = self.reply().await?;
        if reply.command != b'O' || reply.data.len() < 12 {
            return Err(protocol_error(format!("answer to negotiation: {reply:?}")));
        }
        let word = |at: usize| u32::from_be_bytes(reply.data[at..at + 4].try_into().unwrap());
        let mut macros = Vec::new();
        let mut rest = &reply.data[12..];
        while rest.len() > 4 {
            let stage = u32::from_be_bytes(rest[..4].try_into().unwrap());
            let (names, after) = string(&rest[4..])?;
            macros.push((stage, String::from_utf8_lossy(names).into_owned()));
            rest = after;
        }
        self.negotiated = Negotiated { version: word(0), actions: word(4), protocol: word(8), macros };
        let Negotiated { version, actions, protocol, ref macros } = self.negotiated;
        if version < 2 || version > offer.version {
            return Err(protocol_error(format!("version {version}, offered {}", offer.version)));
        }
        if actions & !offer.actions != 0 || protocol & !offer.protocol != 0 {
            return Err(protocol_error(format!("{actions:#x} {protocol:#x} goes beyond the offer {offer:?}")));
        }
        if !macros.is_empty() && (offer.version < 6 || offer.actions & 0x100 == 0) {
            return Err(protocol_error("macro lists were not offered"));
        }
        Ok(())
    }

    /// Sends bytes as they are.
    pub async fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        self.flush().await
    }

    /// Puts a frame into what is written next, without asking whether it is wanted.
    pub fn queue(&mut self, command: u8, data: &[u8]) {
        self.pending.extend_from_slice(&(u32::try_from(data.len()).unwrap() + 1).to_be_bytes());
        self.pending.push(command);
        self.pending.extend_from_slice(data);
    }

    /// Queues macros for a command; both MTAs send them for commands that the filter does not want, too.
    pub fn macros(&mut self, command: u8, macros: &[(&str, &str)]) {
        let mut data = vec![command];
        for (name, value) in macros {
            data.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        self.queue(b'D', &data);
    }

    /// Sends a command if the filter wants it, and waits for the reply if it gives one.
    pub async fn command(&mut self, command: u8, data: &[u8]) -> io::Result<Option<Reply>> {
        let (no_event, no_reply) = bits(command);
        let since = match command {
            b'T' => 4,
            b'U' => 3,
            _ => 2,
        };
        if self.negotiated.protocol & no_event != 0 || self.negotiated.version < since {
            return Ok(None);
        }
        self.queue(command, data);
        if self.negotiated.protocol & no_reply != 0 {
            return Ok(None);
        }
        let reply = self.reply().await?;
        let legal = match reply.command {
            b'c' | b'r' | b't' => true,
            b'y' => valid_reply_text(&reply.data),
            b'a' | b'd' => !matches!(command, b'C' | b'H' | b'R'),
            b's' => command == b'B' && self.negotiated.protocol & 0x400 != 0,
            _ => false,
        };
        if !legal {
            return Err(protocol_error(format!("{} was answered by {reply:?}", char::from(command))));
        }
        Ok(Some(reply))
    }

    /// Client and HELO, with macros. None when neither was refused.
    pub async fn greet(&mut self, address: &str) -> io::Result<Option<Reply>> {
        let v6 = address.contains(':');
        let macros = [("j", "mx.example.net"), ("{daemon_name}", "smtpd"), ("_", "client.example.org [192.0.2.1]")];
        self.macros(b'C', &macros);
        let written = match (v6, self.flavour) {
            (true, Flavour::Sendmail) => format!("IPv6:{address}"),
            _ => address.to_owned(),
        };
        let mut connect = b"client.example.org\0".to_vec();
        connect.push(if v6 { b'6' } else { b'4' });
        connect.extend_from_slice(&4711u16.to_be_bytes());
        connect.extend_from_slice(written.as_bytes());
        connect.push(0);
        if let Some(reply) = self.command(b'C', &connect).await?.filter(Reply::refuses) {
            return Ok(Some(reply));
        }
        self.helo("client.example.org", &[]).await
    }

    /// HELO, perhaps again, with macros of TLS.
    pub async fn helo(&mut self, name: &str, macros: &[(&str, &str)]) -> io::Result<Option<Reply>> {
        // A second EHLO: Postfix aborts after it, Sendmail before.
        if self.messages > 0 && self.flavour == Flavour::Sendmail {
            self.queue(b'A', b"");
        }
        self.macros(b'H', macros);
        let reply = self.command(b'H', format!("{name}\0").as_bytes()).await?;
        if self.flavour == Flavour::Postfix {
            self.queue(b'A', b"");
        }
        Ok(reply.filter(Reply::refuses))
    }

    /// A whole transaction, as the MTA does it.
    pub async fn send(&mut self, mail: &Mail) -> io::Result<Outcome> {
        let outcome = self.send_until_end(mail).await;
        if self.flavour == Flavour::Postfix {
            self.queue(b'A', b"");
        }
        outcome
    }

    async fn send_until_end(&mut self, mail: &Mail) -> io::Result<Outcome> {
        match self.send_before(mail, b'E').await? {
            Ok(recipients) => Ok(Outcome { recipients, ..self.end_of_message().await? }),
            Err(refused) => Ok(refused),
        }
    }

    /// A transaction up to and including that command (`M`, `R`, `T`, `L`, `N`, or `B` with the first chunk of the body), for
    /// clients that do not end what they begin. Nothing of it stays unwritten.
    pub async fn begin(&mut self, mail: &Mail, last: u8) -> io::Result<()> {
        let _not_refused = self.send_before(mail, last).await?.is_ok();
        self.flush().await
    }

    /// Everything before `E`, or up to the end of `last`. Gives the accepted recipients, or what the filter said instead.
    async fn send_before(&mut self, mail: &Mail, last: u8) -> io::Result<Result<Vec<String>, Outcome>> {
        self.messages += 1;
        let queue_id = format!("4Queue{}", self.messages);
        let id: [(&str, &str); 1] = [("i", &queue_id)];
        let postfix = self.flavour == Flavour::Postfix;
        let ended = |stage, reply| Outcome { stage, edits: Vec::new(), progress: 0, reply, recipients: Vec::new() };

        // Postfix has no queue id before the first accepted recipient.
        let mut at_mail = vec![("{mail_addr}", mail.sender.trim_matches(['<', '>']))];
        if !postfix {
            at_mail.extend(id);
        }
        self.macros(b'M', &at_mail);
        let arguments = mail.sender_arguments.iter().map(String::as_str);
        let data = strings([mail.sender.as_str()].into_iter().chain(arguments));
        if let Some(reply) = self.command(b'M', &data).await?.filter(Reply::refuses) {
            return Ok(Err(ended(b'M', reply)));
        }
        if last == b'M' {
            return Ok(Ok(Vec::new()));
        }

        let mut recipients = Vec::new();
        let mut refusal = None;
        for recipient in &mail.recipients {
            let mut at_rcpt = vec![("{rcpt_mailer}", "local"), ("{rcpt_addr}", recipient.trim_matches(['<', '>']))];
            if postfix && !recipients.is_empty() {
                at_rcpt.extend(id);
            }
            self.macros(b'R', &at_rcpt);
            match self.command(b'R', &strings([recipient.as_str()])).await?.filter(Reply::refuses) {
                None => recipients.push(recipient.clone()),
                refused => refusal = refused,
            }
        }
        if let (true, Some(reply)) = (recipients.is_empty(), refusal) {
            return Ok(Err(ended(b'R', reply)));
        }
        if last == b'R' {
            return Ok(Ok(recipients));
        }

        if postfix {
            self.macros(b'T', &id);
        }
        if let Some(reply) = self.command(b'T', b"").await?.filter(Reply::refuses) {
            return Ok(Err(ended(b'T', reply)));
        }
        if last == b'T' {
            return Ok(Ok(recipients));
        }
        for (name, value) in &mail.headers {
            if postfix {
                self.macros(b'L', &id);
            }
            let value = if self.leading_space() { value } else { value.strip_prefix(b" ").unwrap_or(value) };
            let mut data = [name.as_slice(), b"\0"].concat();
            data.extend(value.iter().filter(|byte| **byte != b'\r'));
            data.push(0);
            if let Some(reply) = self.command(b'L', &data).await?.filter(|reply| reply.command != b'c') {
                return Ok(Err(ended(b'L', reply)));
            }
        }
        if last == b'L' {
            return Ok(Ok(recipients));
        }
        if postfix {
            self.macros(b'N', &id);
        }
        if let Some(reply) = self.command(b'N', b"").await?.filter(|reply| reply.command != b'c') {
            return Ok(Err(ended(b'N', reply)));
        }
        if last == b'N' {
            return Ok(Ok(recipients));
        }
        for chunk in mail.body.chunks(65_535) {
            if postfix {
                self.macros(b'B', &id);
            }
            match self.command(b'B', chunk).await? {
                Some(reply) if reply.command == b's' => break,
                Some(reply) if reply.command != b'c' => return Ok(Err(ended(b'B', reply))),
                _ if last == b'B' => return Ok(Ok(recipients)),
                _ => {}
            }
        }
        let at_end = if postfix { id } else { [("{msg_id}", "<1@example.org>")] };
        self.macros(b'E', &at_end);
        Ok(Ok(recipients))
    }

    /// `E`, and everything up to the final reply.
    pub async fn end_of_message(&mut self) -> io::Result<Outcome> {
        self.queue(b'E', b"");
        let mut outcome = Outcome {
            stage: b'E',
            edits: Vec::new(),
            progress: 0,
            reply: Reply { command: 0, data: Vec::new() },
            recipients: Vec::new(),
        };
        loop {
            let reply = self.reply().await?;
            match reply.command {
                b'p' => outcome.progress += 1,
                b'c' | b'a' | b'd' | b'r' | b't' => return Ok(Outcome { reply, ..outcome }),
                b'y' if valid_reply_text(&reply.data) => return Ok(Outcome { reply, ..outcome }),
                _ => outcome.edits.push(self.edit(&reply)?),
            }
        }
    }

    /// `E`, and no more writing: the filter sees the end of the stream while it judges.
    pub async fn end_and_close_one_side(&mut self) -> io::Result<()> {
        self.queue(b'E', b"");
        self.flush().await?;
        self.stream.shutdown().await
    }

    /// Ends the transaction.
    pub async fn abort(&mut self) -> io::Result<()> {
        self.queue(b'A', b"");
        self.flush().await
    }

    /// Says goodbye and waits for the filter to close. An error when it says anything more.
    pub async fn quit(mut self) -> io::Result<()> {
        self.queue(b'Q', b"");
        self.closed().await
    }

    /// Waits for the filter to close. An error when it says anything more, or does not close.
    pub async fn closed(&mut self) -> io::Result<()> {
        match self.flush().await {
            // Closed before all was written: that is closed, too.
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                return Ok(());
            }
            flushed => flushed?,
        }
        let mut byte = [0];
        match timeout(self.patience, self.stream.read(&mut byte)).await {
            Ok(Ok(0)) => Ok(()),
            Ok(Ok(_)) => Err(protocol_error(format!("a reply that nobody waits for: {:?}", char::from(byte[0])))),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// An error when the filter says anything within that time.
    pub async fn silent(&mut self, during: Duration) -> io::Result<()> {
        self.flush().await?;
        match timeout(during, self.stream.read(&mut [0])).await {
            Err(_) => Ok(()),
            Ok(read) => Err(protocol_error(format!("not silent: {read:?}"))),
        }
    }

    /// Whether header values come and go raw.
    pub fn leading_space(&self) -> bool {
        self.negotiated.protocol & LEADING_SPACE != 0
    }

    /// Writes what is queued and waits for one reply.
    pub async fn reply(&mut self) -> io::Result<Reply> {
        self.flush().await?;
        let read = async {
            let length = self.stream.read_u32().await?;
            if length == 0 || length > 1 << 20 {
                return Err(protocol_error(format!("reply of {length} bytes")));
            }
            let command = self.stream.read_u8().await?;
            let mut data = vec![0; length as usize - 1];
            self.stream.read_exact(&mut data).await?;
            Ok(Reply { command, data })
        };
        timeout(self.patience, read).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Writes what is queued.
    pub async fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.pending);
        let Some(mut random) = self.random else { return self.stream.write_all(&bytes).await };
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Small pieces and large ones, in turns.
            let most = if random >> 63 == 0 { 7 } else { 40_000 };
            let (piece, after) = rest.split_at(((random >> 33) as usize % most + 1).min(rest.len()));
            self.stream.write_all(piece).await?;
            self.stream.flush().await?;
            tokio::task::yield_now().await;
            rest = after;
        }
        self.random = Some(random);
        Ok(())
    }

    /// Reads a modification, and refuses it when it was not negotiated or is malformed.
    fn edit(&self, reply: &Reply) -> io::Result<Edit> {
        let Reply { command, data } = reply;
        let needed = match command {
            b'h' | b'i' => 0x1,
            b'b' => 0x2,
            b'+' => 0x4,
            b'-' => 0x8,
            b'm' => 0x10,
            b'q' => 0x20,
            b'e' => 0x40,
            b'2' => 0x80,
            _ => return Err(protocol_error(format!("not a modification: {reply:?}"))),
        };
        if self.negotiated.actions & needed == 0 {
            return Err(protocol_error(format!("{} was not negotiated", char::from(*command))));
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let header = |data: &[u8]| -> io::Result<(Vec<u8>, Vec<u8>)> {
            let (name, rest) = string(data)?;
            let (value, rest) = string(rest)?;
            let folded = value.split(|b| *b == b'\n').skip(1).all(|l| l.starts_with(b" ") || l.starts_with(b"\t"));
            if name.is_empty() || !rest.is_empty() || value.contains(&b'\r') || !folded {
                return Err(protocol_error(format!("malformed header in {reply:?}")));
            }
            Ok((name.to_vec(), value.to_vec()))
        };
        let indexed = |data: &[u8]| -> io::Result<(u32, Vec<u8>, Vec<u8>)> {
            let (index, rest) = data.split_first_chunk::<4>().ok_or_else(|| protocol_error("index is missing"))?;
            let (name, value) = header(rest)?;
            Ok((u32::from_be_bytes(*index), name, value))
        };
        let address = |data: &[u8]| -> io::Result<(String, Option<String>)> {
            let (address, rest) = string(data)?;
            match rest {
                [] => Ok((text(address), None)),
                rest => match string(rest)? {
                    (arguments, []) => Ok((text(address), Some(text(arguments)))),
                    _ => Err(protocol_error("arguments must be one string")),
                },
            }
        };
        Ok(match command {
            b'h' => header(data).map(|(name, value)| Edit::AddHeader { name, value })?,
            b'i' => indexed(data).map(|(index, name, value)| Edit::InsertHeader { index, name, value })?,
            b'm' => indexed(data).map(|(index, name, value)| Edit::ChangeHeader { index, name, value })?,
            b'b' if data.len() <= 65_535 => Edit::ReplaceBody(data.clone()),
            b'e' => address(data).map(|(address, arguments)| Edit::ChangeSender { address, arguments })?,
            b'+' | b'2' => address(data).map(|(address, arguments)| Edit::AddRecipient { address, arguments })?,
            b'-' => Edit::RemoveRecipient(address(data)?.0),
            b'q' => Edit::Quarantine(text(string(data)?.0)),
            _ => return Err(protocol_error(format!("malformed {reply:?}"))),
        })
    }
}

fn strings<'a>(strings: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    strings.into_iter().flat_map(|string| [string.as_bytes(), b"\0"].concat()).collect()
}

/// Takes a string that ends in NUL.
fn string(data: &[u8]) -> io::Result<(&[u8], &[u8])> {
    let end = data.iter().position(|byte| *byte == 0).ok_or_else(|| protocol_error("string without NUL"))?;
    Ok((&data[..end], &data[end + 1..]))
}

/// What the strictest Postfix takes: a code of one class on every line, an enhanced code of that class, dashes, CRLF,
/// US-ASCII, `%` doubled, one NUL at the end.
pub fn valid_reply_text(data: &[u8]) -> bool {
    let Some(text) = data.strip_suffix(b"\0").and_then(|text| std::str::from_utf8(text).ok()) else { return false };
    let lines: Vec<&str> = text.split("\r\n").collect();
    let last = lines.len() - 1;
    !text.replace("%%", "").contains('%')
        && lines.iter().enumerate().all(|(number, line)| {
            let bytes = line.as_bytes();
            bytes.len() > 5
                && bytes.len() <= 512
                && matches!(bytes[0], b'4' | b'5')
                && bytes[..3].iter().all(u8::is_ascii_digit)
                && bytes[..3] == lines[0].as_bytes()[..3]
                && bytes[3] == if number == last { b' ' } else { b'-' }
                && bytes[4] == bytes[0]
                && bytes[5] == b'.'
                && bytes.iter().all(|b| (b' '..=b'~').contains(b))
        })
}

/// A message as it is delivered, without the MTA's own header fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    pub sender: String,
    /// Without brackets.
    pub recipients: Vec<String>,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    /// Why it is held.
    pub held: Option<String>,
}

/// A line of the queue file's header.
struct Line {
    name: Vec<u8>,
    value: Vec<u8>,
    /// The MTA's own Received field, or a default of Sendmail that has no value: not counted by CHGHEADER.
    hidden: bool,
    /// Sendmail only marks.
    deleted: bool,
}

/// Does to `mail` what the MTA does with the outcome. None when it is not delivered.
///
/// # Errors
/// Where the MTA would fail the message: Postfix wants pieces of a body in one run.
pub fn delivered(
    mail: &Mail,
    outcome: &Outcome,
    flavour: Flavour,
    leading_space: bool,
) -> Result<Option<Delivered>, String> {
    if !matches!(outcome.reply.command, b'c' | b'a') {
        return Ok(None);
    }
    let line =
        |name: &[u8], value: &[u8], hidden| Line { name: name.into(), value: value.into(), hidden, deleted: false };
    let mut lines = vec![line(b"Received", b" by us", true)];
    if flavour == Flavour::Sendmail {
        lines.extend((0..8).map(|_| line(b"", b"", true)));
    }
    lines.extend(mail.headers.iter().map(|(name, value)| line(name, value, false)));
    let raw = |value: &[u8]| {
        let mut raw = if leading_space { Vec::new() } else { b" ".to_vec() };
        for byte in value {
            raw.extend_from_slice(if *byte == b'\n' { b"\r\n" } else { std::slice::from_ref(byte) });
        }
        raw
    };
    let unbracketed = |address: &str| address.trim_start_matches('<').trim_end_matches('>').to_owned();
    let mut sender = mail.sender.clone();
    let mut recipients: Vec<String> = outcome.recipients.clone();
    let mut body: Option<Vec<u8>> = None;
    let mut held = None;
    let mut previous_was_body = false;
    for edit in &outcome.edits {
        let is_body = matches!(edit, Edit::ReplaceBody(_));
        match edit {
            Edit::AddHeader { name, value } => {
                let new = line(name, &raw(value), false);
                let first = lines.iter().position(|l| !l.hidden && !l.deleted && l.name.eq_ignore_ascii_case(name));
                match (flavour, first) {
                    (Flavour::Sendmail, Some(place)) => lines.insert(place, new),
                    _ => lines.push(new),
                }
            }
            Edit::InsertHeader { index, name, value } => {
                lines.insert((*index as usize).min(lines.len()), line(name, &raw(value), false));
            }
            Edit::ChangeHeader { index, name, value } => {
                let same = |l: &Line| !l.hidden && l.name.eq_ignore_ascii_case(name);
                let place = lines
                    .iter()
                    .enumerate()
                    .filter(|(_, l)| same(l))
                    .nth((*index).max(1) as usize - 1)
                    .map(|(at, _)| at);
                match (place, flavour) {
                    (Some(place), Flavour::Postfix) if value.is_empty() => {
                        lines.remove(place);
                    }
                    (Some(place), Flavour::Postfix) => lines[place] = line(name, &raw(value), false),
                    (Some(place), Flavour::Sendmail) if value.is_empty() => lines[place].deleted = true,
                    (Some(place), Flavour::Sendmail) => lines[place].value = raw(value),
                    (None, _) if value.is_empty() => {}
                    (None, Flavour::Postfix) => lines.push(line(name, &raw(value), false)),
                    (None, Flavour::Sendmail) => {
                        let place = lines.iter().position(same).unwrap_or(lines.len());
                        lines.insert(place, line(name, &raw(value), false));
                    }
                }
            }
            Edit::ReplaceBody(piece) => {
                if body.is_some() && !previous_was_body && flavour == Flavour::Postfix {
                    return Err("body replacement was interrupted".to_owned());
                }
                body.get_or_insert_default().extend_from_slice(piece);
            }
            Edit::ChangeSender { address, .. } => sender.clone_from(address),
            Edit::AddRecipient { address, .. } => {
                let new = unbracketed(address);
                if flavour == Flavour::Postfix || !recipients.iter().any(|r| unbracketed(r) == new) {
                    recipients.push(address.clone());
                }
            }
            Edit::RemoveRecipient(address) => recipients.retain(|recipient| recipient != address),
            Edit::Quarantine(reason) => held = Some(reason.clone()),
        }
        previous_was_body = is_body;
    }
    if recipients.is_empty() {
        return Ok(None);
    }
    let body = body.map_or_else(|| mail.body.clone(), normalised);
    Ok(Some(Delivered {
        sender: unbracketed(&sender),
        recipients: recipients.iter().map(|recipient| unbracketed(recipient)).collect(),
        headers: lines.into_iter().filter(|l| !l.hidden && !l.deleted).map(|l| (l.name, l.value)).collect(),
        body,
        held,
    }))
}

/// A replaced body: bare LF becomes CRLF, a missing last one is added.
fn normalised(replaced: Vec<u8>) -> Vec<u8> {
    let mut body = Vec::with_capacity(replaced.len() + 2);
    for byte in replaced {
        if byte == b'\n' && body.last() != Some(&b'\r') {
            body.push(b'\r');
        }
        body.push(byte);
    }
    if !body.is_empty() && !body.ends_with(b"\r\n") {
        body.extend_from_slice(b"\r\n");
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(edits: Vec<Edit>) -> Outcome {
        Outcome {
            stage: b'E',
            edits,
            progress: 0,
            reply: Reply { command: b'a', data: Vec::new() },
            recipients: vec!["<b@example.net>".into()],
        }
    }

    fn headers_after(flavour: Flavour, edits: Vec<Edit>) -> Vec<String> {
        let mail = Mail::new(&[("X", " 1"), ("x", " 2"), ("X", " 3"), ("Subject", " s")], "b\r\n");
        let delivered = delivered(&mail, &outcome(edits), flavour, true).unwrap().unwrap();
        delivered
            .headers
            .iter()
            .map(|(n, v)| String::from_utf8_lossy(&[n, &b":"[..], v].concat()).into_owned())
            .collect()
    }

    fn change(index: u32, value: &str) -> Edit {
        Edit::ChangeHeader { index, name: b"X".to_vec(), value: value.into() }
    }

    /// The table of milter-facts §1.8, as observed on both MTAs.
    #[test]
    fn indices_as_the_two_mtas_count_them() {
        use Flavour::{Postfix, Sendmail};
        let delete = |indices: [u32; 3]| indices.map(|index| change(index, "")).to_vec();
        assert_eq!(headers_after(Postfix, delete([1, 2, 3])), ["x: 2", "Subject: s"]);
        assert_eq!(headers_after(Sendmail, delete([1, 2, 3])), ["Subject: s"]);
        assert_eq!(headers_after(Postfix, delete([1, 1, 1])), ["Subject: s"]);
        assert_eq!(headers_after(Sendmail, delete([1, 1, 1])), ["x: 2", "X: 3", "Subject: s"]);
        for flavour in [Postfix, Sendmail] {
            assert_eq!(headers_after(flavour, delete([3, 2, 1])), ["Subject: s"]);
            assert_eq!(headers_after(flavour, vec![change(9, "")]).len(), 4);
        }
        assert_eq!(headers_after(Postfix, vec![change(9, " n")])[4], "X: n");
        assert_eq!(headers_after(Sendmail, vec![change(9, " n")])[0], "X: n");
        assert_eq!(headers_after(Postfix, vec![change(2, " n")])[1], "X: n");
        assert_eq!(headers_after(Sendmail, vec![change(2, " n")])[1], "x: n");
        let add = || vec![Edit::AddHeader { name: b"X".to_vec(), value: b" n".to_vec() }];
        assert_eq!(headers_after(Postfix, add())[4], "X: n");
        assert_eq!(headers_after(Sendmail, add())[0], "X: n");
    }

    #[test]
    fn bodies_must_come_in_one_run() {
        let mail = Mail::new(&[], "old\r\n");
        let piece = |text: &str| Edit::ReplaceBody(text.into());
        let run = outcome(vec![piece("a\nb"), piece("\r\nc")]);
        let body = delivered(&mail, &run, Flavour::Postfix, true).unwrap().unwrap().body;
        assert_eq!(body, b"a\r\nb\r\nc\r\n");
        let cut = outcome(vec![piece("a"), change(1, "x"), piece("b")]);
        assert!(delivered(&mail, &cut, Flavour::Postfix, true).is_err());
        assert!(delivered(&mail, &cut, Flavour::Sendmail, true).is_ok());
        let empty = outcome(vec![piece("")]);
        assert_eq!(delivered(&mail, &empty, Flavour::Postfix, true).unwrap().unwrap().body, b"");
    }

    #[test]
    fn recipients_as_the_two_mtas_keep_them() {
        let mail = Mail::new(&[], "");
        let add = |address: &str| Edit::AddRecipient { address: address.into(), arguments: None };
        let twice = outcome(vec![add("b@example.net")]);
        assert_eq!(delivered(&mail, &twice, Flavour::Postfix, true).unwrap().unwrap().recipients.len(), 2);
        assert_eq!(delivered(&mail, &twice, Flavour::Sendmail, true).unwrap().unwrap().recipients.len(), 1);
        let not_exactly = outcome(vec![Edit::RemoveRecipient("b@example.net".into())]);
        assert_eq!(delivered(&mail, &not_exactly, Flavour::Postfix, true).unwrap().unwrap().recipients.len(), 1);
        let last = outcome(vec![Edit::RemoveRecipient("<b@example.net>".into())]);
        assert_eq!(delivered(&mail, &last, Flavour::Postfix, true), Ok(None), "vanishes silently");
    }

    #[test]
    fn reply_texts_as_the_strictest_mta_takes_them() {
        for (text, valid) in [
            (&b"550 5.7.1 no\0"[..], true),
            (b"550-5.7.1 a\r\n550 5.7.1 b\0", true),
            (b"550 5.7.1 100%% sure\0", true),
            (b"550 5.7.1 100% sure\0", false),
            (b"550 5.7.1 no", false),
            (b"550\0", false),
            (b"550 4.7.1 x\0", false),
            (b"550 10 messages per hour\0", false),
            (b"550 5.7.1 a\r\n550 5.7.1 b\0", false),
            (b"550-5.7.1 a\n550 5.7.1 b\0", false),
            (b"550 5.7.1 a\r\n\0", false),
            (b"550 5.7.1 caf\xc3\xa9\0", false),
            (b"250 2.0.0 ok\0", false),
        ] {
            assert_eq!(valid_reply_text(text), valid, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[tokio::test]
    async fn what_a_real_mta_would_not_take_is_an_error() {
        for (answer, fine) in [
            (&b"\0\0\0\x01c"[..], true),
            (b"\0\0\0\x01s", false),
            (b"\0\0\0\x01d", false),
            (b"\0\0\0\x01p", false),
            (b"\0\0\0\x01h", false),
            (b"\0\0\0\x05y550\0", false),
        ] {
            let (mut filter, stream) = tokio::io::duplex(1000);
            let mut mta = FakeMta::over(stream, Flavour::Postfix);
            mta.negotiated.version = 6;
            filter.write_all(answer).await.unwrap();
            assert_eq!(mta.command(b'C', b"localhost\0U").await.is_ok(), fine, "{answer:?}");
        }
    }
}
