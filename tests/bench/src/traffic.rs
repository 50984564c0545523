//! The MTA's side of the milter protocol, as fast as it goes: many connections, each with sessions of several messages.
//!
//! It behaves as Postfix does: it offers everything, leaves out what was negotiated away, gathers what needs no reply in one
//! write, waits where a reply is due, and takes every modification before the one verdict of a message. A reply that is not
//! due, or a verdict other than the one expected, is counted as wrong: a filter is not fast by being broken.

use crate::mail::Mail;
use anyhow::{Context, Result, bail};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Largest body chunk of an MTA (libmilter's MILTER_CHUNK_SIZE).
const CHUNK: usize = 65_535;
/// A filter that does not answer for that long has failed the run.
const PATIENCE: Duration = Duration::from_secs(60);
/// Written together at most, as an MTA's buffer would be.
const BUFFER: usize = 16 * 1024;

/// Everything that an MTA of version 6 offers: Postfix 3.7.
const VERSION: u32 = 6;
const ACTIONS: u32 = 0x1ff;
const STEPS: u32 = 0x1f_ffff;

/// Bits of the negotiated steps (`SMFIP_*`).
mod step {
    pub(super) const NO_CONNECT: u32 = 0x1;
    pub(super) const NO_HELO: u32 = 0x2;
    pub(super) const NO_MAIL: u32 = 0x4;
    pub(super) const NO_RCPT: u32 = 0x8;
    pub(super) const NO_BODY: u32 = 0x10;
    pub(super) const NO_HEADERS: u32 = 0x20;
    pub(super) const NO_END_OF_HEADER: u32 = 0x40;
    pub(super) const NO_REPLY_HEADER: u32 = 0x80;
    pub(super) const NO_DATA: u32 = 0x200;
    pub(super) const NO_REPLY_CONNECT: u32 = 0x1000;
    pub(super) const NO_REPLY_HELO: u32 = 0x2000;
    pub(super) const NO_REPLY_MAIL: u32 = 0x4000;
    pub(super) const NO_REPLY_RCPT: u32 = 0x8000;
    pub(super) const NO_REPLY_DATA: u32 = 0x1_0000;
    pub(super) const NO_REPLY_END_OF_HEADER: u32 = 0x4_0000;
    pub(super) const NO_REPLY_BODY: u32 = 0x8_0000;
}

/// What one run does.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Connections at the same time.
    pub(crate) connections: usize,
    /// Messages on each before it is closed and opened again.
    pub(crate) per_session: usize,
    /// Messages in all.
    pub(crate) messages: u64,
    /// Messages per second over all connections; none: each as soon as the one before it is done.
    pub(crate) rate: Option<f64>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) elapsed: Duration,
    pub(crate) messages: u64,
    /// Microseconds from the end of the message being sent to its verdict, of those that were accepted …
    pub(crate) end_of_message: Vec<u32>,
    /// … and of those that were not.
    pub(crate) end_of_refused: Vec<u32>,
    /// Microseconds from when the message was due to its verdict.
    pub(crate) whole: Vec<u32>,
    /// How many were not accepted.
    pub(crate) refused: u64,
}

/// Sends the load; every connection is a thread.
pub(crate) fn send(socket: &Path, mails: &[Mail], load: &Load) -> Result<Outcome> {
    let ticket = AtomicU64::new(0);
    let start = Instant::now();
    let outcomes: Vec<Result<Outcome>> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..load.connections).map(|_| scope.spawn(|| connection(socket, mails, load, &ticket, start))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| bail!("a connection's thread panicked")))
            .collect()
    });
    let mut all = Outcome { elapsed: start.elapsed(), ..Outcome::default() };
    for outcome in outcomes {
        let outcome = outcome?;
        all.messages += outcome.messages;
        all.refused += outcome.refused;
        all.end_of_message.extend(outcome.end_of_message);
        all.end_of_refused.extend(outcome.end_of_refused);
        all.whole.extend(outcome.whole);
    }
    Ok(all)
}

/// One connection after the other, until all messages are taken.
fn connection(socket: &Path, mails: &[Mail], load: &Load, ticket: &AtomicU64, start: Instant) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let next = || {
        let number = ticket.fetch_add(1, Ordering::Relaxed);
        (number < load.messages).then_some(number)
    };
    let Some(mut number) = next() else { return Ok(outcome) };
    loop {
        let mut session = Session::open(socket)?;
        for _ in 0..load.per_session {
            let due = match load.rate {
                Some(rate) => {
                    #[allow(clippy::cast_precision_loss, reason = "numbers of messages are far below 2⁵²")]
                    let due = start + Duration::from_secs_f64(number as f64 / rate);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    due
                }
                None => Instant::now(),
            };
            let which = usize::try_from(number).unwrap_or(0) % mails.len().max(1);
            let mail = mails.get(which).context("no message to send")?;
            let (verdict, asked) = session.message(mail, number)?;
            let answered = Instant::now();
            outcome.messages += 1;
            let took = micros(answered - asked);
            if matches!(verdict, b'a' | b'c') {
                outcome.end_of_message.push(took);
            } else {
                outcome.refused += 1;
                outcome.end_of_refused.push(took);
            }
            outcome.whole.push(micros(answered.saturating_duration_since(due)));
            match next() {
                Some(following) => number = following,
                None => {
                    session.quit()?;
                    return Ok(outcome);
                }
            }
        }
        session.quit()?;
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

struct Session {
    stream: UnixStream,
    steps: u32,
    out: Vec<u8>,
    input: Vec<u8>,
    /// What of `input` is read already.
    at: usize,
}

impl Session {
    fn open(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).with_context(|| format!("connecting to {}", socket.display()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut session = Self { stream, steps: 0, out: Vec::with_capacity(BUFFER * 2), input: Vec::new(), at: 0 };
        let mut offer = Vec::new();
        for word in [VERSION, ACTIONS, STEPS] {
            offer.extend(word.to_be_bytes());
        }
        session.frame(b'O', &[&offer]);
        let (letter, answer) = session.reply()?;
        let steps = answer.get(8..12).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let Some(steps) = steps.filter(|_| letter == b'O') else { bail!("negotiation was answered with {letter:?}") };
        session.steps = steps;
        session.greet()?;
        Ok(session)
    }

    fn greet(&mut self) -> Result<()> {
        self.macros(b'C', &["j", "mx.example.org", "{daemon_name}", "smtpd", "v", "Postfix 3.7.11"]);
        let port = 40_000_u16.to_be_bytes();
        if self.wanted(step::NO_CONNECT) {
            self.frame(b'C', &[b"mail.example.net\0", b"4", &port, b"192.0.2.17\0"]);
            self.go_on(step::NO_REPLY_CONNECT)?;
        }
        self.macros(b'H', &[]);
        if self.wanted(step::NO_HELO) {
            self.frame(b'H', &[b"mail.example.net\0"]);
            self.go_on(step::NO_REPLY_HELO)?;
        }
        Ok(())
    }

    /// One message; gives its verdict and when its end was sent.
    fn message(&mut self, mail: &Mail, number: u64) -> Result<(u8, Instant)> {
        // Filters name files after it.
        let queue_id = format!("4XYZ{number:06x}");
        let queue_id = queue_id.as_str();
        self.macros(
            b'M',
            &["{mail_addr}", "sender@example.net", "{mail_host}", "example.net", "{mail_mailer}", "smtp"],
        );
        if self.wanted(step::NO_MAIL) {
            self.frame(b'M', &[b"<sender@example.net>\0"]);
            self.go_on(step::NO_REPLY_MAIL)?;
        }
        self.macros(b'R', &["i", queue_id, "{rcpt_addr}", "user@example.org", "{rcpt_host}", "example.org"]);
        if self.wanted(step::NO_RCPT) {
            self.frame(b'R', &[b"<user@example.org>\0"]);
            self.go_on(step::NO_REPLY_RCPT)?;
        }
        self.macros(b'T', &["i", queue_id]);
        if self.wanted(step::NO_DATA) {
            self.frame(b'T', &[]);
            self.go_on(step::NO_REPLY_DATA)?;
        }
        if let Some(verdict) = self.content(mail)? {
            self.frame(b'A', &[]);
            self.flush()?;
            return Ok((verdict, Instant::now()));
        }
        self.macros(b'E', &["i", queue_id]);
        self.frame(b'E', &[]);
        self.flush()?;
        let asked = Instant::now();
        loop {
            match self.reply()?.0 {
                // Modifications and progress.
                b'+' | b'2' | b'-' | b'b' | b'e' | b'h' | b'i' | b'm' | b'q' | b'p' => {}
                verdict @ (b'a' | b'c' | b'd' | b'r' | b't' | b'y') => return Ok((verdict, asked)),
                other => bail!("the end of a message was answered with {:?}", char::from(other)),
            }
        }
    }

    /// Header fields and body; gives a verdict on the message that does not wait for its end.
    fn content(&mut self, mail: &Mail) -> Result<Option<u8>> {
        if self.wanted(step::NO_HEADERS) {
            for field in &mail.fields {
                self.frame(b'L', &[field]);
                if let Some(verdict) = self.step(step::NO_REPLY_HEADER)?.filter(|letter| *letter != b'c') {
                    return Ok(Some(verdict));
                }
            }
        }
        if self.wanted(step::NO_END_OF_HEADER) {
            self.frame(b'N', &[]);
            if let Some(verdict) = self.step(step::NO_REPLY_END_OF_HEADER)?.filter(|letter| *letter != b'c') {
                return Ok(Some(verdict));
            }
        }
        if self.wanted(step::NO_BODY) {
            for chunk in mail.body.chunks(CHUNK) {
                self.frame(b'B', &[chunk]);
                match self.step(step::NO_REPLY_BODY)? {
                    None | Some(b'c') => {}
                    Some(b's') => break,
                    verdict => return Ok(verdict),
                }
            }
        }
        Ok(None)
    }

    fn quit(mut self) -> Result<()> {
        self.frame(b'Q', &[]);
        self.flush()
    }

    fn wanted(&self, no: u32) -> bool {
        self.steps & no == 0
    }

    /// Waits for a reply where one is due, which must be to go on.
    fn go_on(&mut self, no_reply: u32) -> Result<()> {
        match self.step(no_reply)? {
            None | Some(b'c') => Ok(()),
            Some(other) => bail!("a step was answered with {:?}", char::from(other)),
        }
    }

    /// Waits for a reply where one is due: to go on, to skip the rest of the body, or a verdict.
    fn step(&mut self, no_reply: u32) -> Result<Option<u8>> {
        if self.steps & no_reply != 0 {
            if self.out.len() > BUFFER {
                self.flush()?;
            }
            return Ok(None);
        }
        match self.reply()?.0 {
            letter @ (b'c' | b's' | b'a' | b'd' | b'r' | b't' | b'y') => Ok(Some(letter)),
            other => bail!("a step was answered with {:?}", char::from(other)),
        }
    }

    fn macros(&mut self, command: u8, pairs: &[&str]) {
        let mut payload = vec![command];
        for text in pairs {
            payload.extend(text.as_bytes());
            payload.push(0);
        }
        self.frame(b'D', &[&payload]);
    }

    fn frame(&mut self, letter: u8, pieces: &[&[u8]]) {
        let length: usize = 1 + pieces.iter().map(|piece| piece.len()).sum::<usize>();
        self.out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        self.out.push(letter);
        for piece in pieces {
            self.out.extend(*piece);
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.write_all(&self.out).context("writing to the filter")?;
        self.out.clear();
        Ok(())
    }

    /// The next reply: its letter and what follows it. Sends what is waiting first.
    fn reply(&mut self) -> Result<(u8, Vec<u8>)> {
        if !self.out.is_empty() {
            self.flush()?;
        }
        let length = self.take(4)?;
        let length = length.try_into().map(u32::from_be_bytes).ok().and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.filter(|length| (1..=1 << 20).contains(length)) else { bail!("malformed reply") };
        let mut frame = self.take(length)?;
        let letter = frame.remove(0);
        Ok((letter, frame))
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.input.len() - self.at < length {
            if self.at == self.input.len() {
                self.input.clear();
                self.at = 0;
            }
            let mut piece = [0; 16 * 1024];
            let read = self.stream.read(&mut piece).context("waiting for a reply of the filter")?;
            if read == 0 {
                bail!("the filter closed the connection");
            }
            self.input.extend(piece.get(..read).unwrap_or_default());
        }
        let taken = self.input.get(self.at..self.at + length).unwrap_or_default().to_vec();
        self.at += length;
        Ok(taken)
    }
}
