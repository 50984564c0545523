//! What holds for every connection, whatever comes over it. Shared by the tests here and by the fuzz targets (`../fuzz`), which call
//! `fuzz_session` and `fuzz_stream` with whatever they think of. Time is virtual: an hour of silence takes no time.
//!
//! - The session ends, and nothing panics.
//! - What is written are frames with replies that MTAs know, one for each command that waits for one, in order, and none else;
//!   modifications and progress only before the reply to the end of a message, and only those that were negotiated.
//! - No message that is judged is larger than the limits allow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::let_underscore_must_use,
    dead_code,
    reason = "a test fails by panicking, its helpers too"
)]

use arbitrary::{Result, Unstructured};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf},
    time::{sleep, timeout},
};
use wasmilter_message::{
    body::InMemory,
    decision::{HookVerdict, Reply, Verdict},
    envelope::Mailbox,
    headers::{Entry, Field},
    judge::{BoxFuture, Hook, HookJudged, Judge, Needs},
    message::{JudgedMessage, ParsedMessage, ReceivedMessage, Transaction},
    trace::Trace,
};
use wasmilter_milter::{Door, Metrics, Settings, serve_connection};

/// Small, so that a fuzzer gets past them.
const MESSAGE_SIZE: u64 = 20_000;
const HEADER_SIZE: u64 = 5_000;
/// Longer than any session may take: each of its commands can be late and each judgement slow.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// Commands that wait for a reply, and the option that says that they do not.
const NO_REPLY: [(u8, u32); 9] = [
    (b'C', 0x1000),
    (b'H', 0x2000),
    (b'M', 0x4000),
    (b'R', 0x8000),
    (b'T', 0x1_0000),
    (b'U', 0x2_0000),
    (b'N', 0x4_0000),
    (b'B', 0x8_0000),
    (b'L', 0x80),
];
const SKIP: u32 = 0x400;

/// What an MTA does, one after the other.
enum Step {
    /// A command as MTAs write it.
    Command(u8, Vec<u8>),
    /// Anything; from here on nobody knows what follows.
    Noise(Vec<u8>),
    Silence(Duration),
}

/// A session of commands, in any order, some of them noise.
pub(crate) fn fuzz_session(bytes: &[u8]) {
    // Running out of bytes ends the script; there is nothing else that could fail.
    let mut choices = Unstructured::new(bytes);
    let Ok(judge) = Fuzzed::choose(&mut choices) else { return };
    let mut steps = vec![Step::Command(b'O', offer(&mut choices).unwrap_or_else(|_| vec![0; 12]))];
    let piece = choices.int_in_range(1..=5_000).unwrap_or(1_000);
    while !choices.is_empty() && steps.len() < 200 {
        match step(&mut choices) {
            Ok(step) => steps.push(step),
            Err(_) => break,
        }
    }
    let (replies, _) = run(judge, &steps, piece);
    check(&steps, &replies);
}

/// Bytes as they come: half of the inputs begin with an offer, so that they get further.
pub(crate) fn fuzz_stream(bytes: &[u8]) {
    let mut choices = Unstructured::new(bytes);
    let Ok(judge) = Fuzzed::choose(&mut choices) else { return };
    let mut steps = Vec::new();
    if choices.arbitrary().unwrap_or(false) {
        steps.push(Step::Command(b'O', vec![0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff]));
    }
    let piece = choices.int_in_range(1..=5_000).unwrap_or(1_000);
    steps.push(Step::Noise(choices.take_rest().to_vec()));
    let (replies, raw) = run(judge, &steps, piece);
    // Who speaks HTTP or SMTP is answered so.
    if !raw.starts_with(b"HTTP/1.1 400 ") && !raw.starts_with(b"554 ") {
        check(&steps, &replies);
    }
}

fn offer(choices: &mut Unstructured) -> Result<Vec<u8>> {
    let version = choices.int_in_range(0..=8_u32)?;
    let (actions, options) = match choices.arbitrary::<bool>()? {
        true => (0x1ff, 0x1f_ffff),
        false => (choices.arbitrary::<u32>()?, choices.arbitrary::<u32>()?),
    };
    Ok([version, actions, options].map(u32::to_be_bytes).concat())
}

fn step(choices: &mut Unstructured) -> Result<Step> {
    let kind = *choices.choose(b"CHMRLLBBEETNUDDAKQ.~")?;
    let string = |choices: &mut Unstructured, least: usize| -> Result<Vec<u8>> {
        let length = choices.int_in_range(least..=60)?;
        let mut string: Vec<u8> = choices.bytes(length.min(choices.len()))?.iter().map(|b| (*b).max(1)).collect();
        string.resize(string.len().max(least), b'x');
        string.push(0);
        Ok(string)
    };
    let chunk = |choices: &mut Unstructured| -> Result<Vec<u8>> {
        let (length, times) = (choices.int_in_range(0..=100_usize)?, choices.int_in_range(1..=300_usize)?);
        Ok(choices.bytes(length.min(choices.len()))?.repeat(times))
    };
    let data = match kind {
        b'C' => {
            let mut data = string(choices, 0)?;
            match *choices.choose(b"U46L")? {
                b'U' => data.push(b'U'),
                family => {
                    data.push(family);
                    data.extend(choices.arbitrary::<u16>()?.to_be_bytes());
                    data.extend(string(choices, 0)?);
                }
            }
            data
        }
        b'H' | b'U' => string(choices, 0)?,
        b'M' | b'R' => {
            let mut data = string(choices, 0)?;
            for _ in 0..choices.int_in_range(0..=2)? {
                data.extend(string(choices, 0)?);
            }
            data
        }
        b'L' => [string(choices, 1)?, string(choices, 0)?].concat(),
        b'B' | b'E' => chunk(choices)?,
        b'D' => {
            let mut data = vec![choices.arbitrary::<u8>()?];
            for _ in 0..choices.int_in_range(0..=2)? {
                let known = *choices.choose(&[&b"i\0"[..], b"{client_addr}\0", b"{rcpt_mailer}\0", b"x\0"])?;
                data.extend(known);
                data.extend(string(choices, 0)?);
            }
            data
        }
        b'.' => return Ok(Step::Silence(Duration::from_secs(choices.int_in_range(0..=1_000)?))),
        b'~' => {
            let length = choices.int_in_range(0..=40)?;
            let mut noise = choices.bytes(usize::min(length, choices.len()))?.to_vec();
            // Half of it in frames.
            if choices.arbitrary()? {
                let announced = u32::try_from(noise.len()).unwrap().to_be_bytes();
                noise.splice(0..0, announced);
            }
            return Ok(Step::Noise(noise));
        }
        _ => Vec::new(),
    };
    Ok(Step::Command(kind, data))
}

/// Plays the script against the door; gives the replies, and the bytes that they were.
fn run(judge: Fuzzed, steps: &[Step], piece: usize) -> (Vec<(u8, Vec<u8>)>, Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let written = runtime.block_on(async {
        let (mta, ours) = tokio::io::duplex(piece);
        let settings = Settings { message_size: MESSAGE_SIZE, header_size: HEADER_SIZE, ..Settings::default() };
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let door = Door {
            judge: Arc::new(judge),
            store: Arc::new(InMemory),
            settings: Arc::new(settings),
            metrics: Arc::new(metrics),
        };
        let (reader, writer) = tokio::io::split(mta);
        let session = timeout(NEVER, serve_connection(ours, door));
        let (ended, written, ()) = tokio::join!(session, read(reader), write(writer, steps));
        ended.expect("the session ends");
        written
    });
    let mut replies = Vec::new();
    let mut rest = written.as_slice();
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*head) as usize;
        if length == 0 || length > after.len() {
            break;
        }
        replies.push((after[0], after[1..length].to_vec()));
        rest = &after[length..];
    }
    let strange = written.starts_with(b"HTTP") || written.starts_with(b"554 ");
    assert!(rest.is_empty() || strange, "no frames: {rest:?}");
    (replies, written)
}

async fn read(mut reader: ReadHalf<DuplexStream>) -> Vec<u8> {
    let mut written = Vec::new();
    let _cut = reader.read_to_end(&mut written).await;
    written
}

/// Closes nothing before the door does: a peer that has gone is not answered.
async fn write(mut writer: WriteHalf<DuplexStream>, steps: &[Step]) {
    for step in steps {
        let done = match step {
            Step::Command(kind, data) => {
                let length = u32::try_from(data.len() + 1).unwrap().to_be_bytes();
                writer.write_all(&[&length[..], &[*kind], data].concat()).await
            }
            Step::Noise(noise) => writer.write_all(noise).await,
            Step::Silence(time) => {
                sleep(*time).await;
                Ok(())
            }
        };
        if done.is_err() {
            return;
        }
    }
    sleep(NEVER).await;
}

/// Holds the replies against what the commands wait for.
fn check(steps: &[Step], replies: &[(u8, Vec<u8>)]) {
    let mut replies = replies.iter().peekable();
    // Until somebody offers something, nothing is answered.
    let mut negotiated = None;
    let mut sure = true;
    let idle = Settings::default().idle;
    let mut silent = Duration::ZERO;
    for step in steps {
        silent = if let Step::Silence(time) = step { silent + *time } else { Duration::ZERO };
        if silent >= idle {
            // Several silences make one that is too long: the door may have closed the connection.
            sure = false;
        }
        let kind = match step {
            Step::Command(kind, data) if *kind == b'O' && negotiated.is_none() && sure => {
                if u32::from_be_bytes(data[..4].try_into().unwrap()) < 2 {
                    break;
                }
                let Some((b'O', granted)) = replies.next() else { panic!("the offer is not answered") };
                assert!(granted.len() >= 12, "{granted:?}");
                let word = |at: usize| u32::from_be_bytes(granted[at..at + 4].try_into().unwrap());
                let offered = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
                assert!((2..=6).contains(&word(0)) && word(0) <= offered(0), "{}", word(0));
                assert_eq!((word(4) & !offered(4), word(8) & !offered(8)), (0, 0), "more than was offered");
                negotiated = Some((word(4), word(8)));
                continue;
            }
            Step::Command(kind, _) => *kind,
            Step::Noise(noise) => {
                sure &= noise.is_empty();
                continue;
            }
            Step::Silence(_) => continue,
        };
        if !sure {
            break;
        }
        let Some((actions, options)) = negotiated else { panic!("every session begins with an offer") };
        match kind {
            b'Q' | b'O' => break,
            b'D' | b'A' | b'K' => continue,
            _ => {}
        }
        if NO_REPLY.iter().any(|(command, option)| *command == kind && options & option != 0) {
            continue;
        }
        if kind == b'E' {
            while replies.next_if(|(reply, data)| is_before_the_end(*reply, data, actions)).is_some() {}
        }
        let Some((reply, data)) = replies.next() else { panic!("no reply to {:?}", char::from(kind)) };
        let fits = match (kind, reply) {
            (b'C' | b'H' | b'M' | b'R', b'y') | (b'E', b'y') => is_reply_text(data),
            (b'E', b'a' | b'd' | b'r' | b't')
            | (b'C' | b'H' | b'M' | b'R' | b'T' | b'U' | b'N' | b'B' | b'L', b'c') => true,
            (b'B', b's') => options & SKIP != 0,
            _ => false,
        };
        assert!(fits, "{:?} was answered by {:?} {data:?}", char::from(kind), char::from(*reply));
    }
    if sure {
        assert_eq!(replies.next(), None, "nobody waits for this");
    }
    // Of what answers noise is known only that MTAs know it.
    for (reply, data) in replies {
        assert!(b"caytrdsOphim+2-ebq".contains(reply), "{:?} {data:?}", char::from(*reply));
    }
}

/// Progress, or a modification that was negotiated.
fn is_before_the_end(reply: u8, data: &[u8], actions: u32) -> bool {
    let needed = match reply {
        b'p' => return data.is_empty(),
        b'h' | b'i' => 0x1,
        b'b' => 0x2,
        b'+' => 0x4,
        b'-' => 0x8,
        b'm' => 0x10,
        b'q' => 0x20,
        b'e' => 0x40,
        b'2' => 0x80,
        _ => return false,
    };
    assert_ne!(actions & needed, 0, "{:?} was not negotiated", char::from(reply));
    assert!(reply == b'b' || data.ends_with(b"\0"), "{:?} {data:?}", char::from(reply));
    assert!(data.len() <= 65_536 || reply != b'b');
    true
}

/// A code and printable lines; `smtp_reply` has tests of its own for the rest.
fn is_reply_text(data: &[u8]) -> bool {
    let Some((0, text)) = data.split_last() else { return false };
    text.len() > 4
        && matches!(text[0], b'4' | b'5')
        && text[..3].iter().all(u8::is_ascii_digit)
        && text.split(|b| *b == b'\n').all(|line| line.len() <= 512)
        && text.iter().all(|b| matches!(b, b' '..=b'~' | b'\r' | b'\n'))
}

/// A judge that answers anything, at any time.
struct Fuzzed {
    needs: Needs,
    /// What it does, one byte after the other, from the beginning again when they are used up.
    choices: Vec<u8>,
}

impl Fuzzed {
    fn choose(choices: &mut Unstructured) -> Result<Self> {
        let bits = choices.arbitrary::<u8>()?;
        let bit = |number: u8| bits & (1 << number) != 0;
        let needs = Needs {
            connect: bit(0),
            helo: bit(1),
            mail: bit(2),
            rcpt: bit(3),
            message: bit(4),
            headers: bit(5),
            body: bit(6),
        };
        let length = choices.int_in_range(0..=24)?;
        Ok(Self { needs, choices: choices.bytes(usize::min(length, choices.len()))?.to_vec() })
    }
}

/// How long a judge thinks: mostly not at all, sometimes beyond all limits.
fn delay(byte: u8) -> Duration {
    match byte % 8 {
        0 => Duration::from_secs(1),
        1 => Duration::from_secs(20),
        2 => Duration::from_secs(400),
        _ => Duration::ZERO,
    }
}

fn refusal(choices: &[u8]) -> Reply {
    Reply {
        code: choices.iter().fold(0_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(u16::from(*byte))) % 700,
        enhanced: if choices.len().is_multiple_of(2) { String::new() } else { "4.7.1".to_owned() },
        text: String::from_utf8_lossy(choices).into_owned(),
    }
}

impl Judge for Fuzzed {
    fn needs(&self) -> Needs {
        self.needs
    }

    fn hook(&self, hook: Hook, so_far: Transaction) -> BoxFuture<'static, HookJudged> {
        let choice = self.choices.get(hook.name().len() % self.choices.len().max(1)).copied().unwrap_or_default();
        let reply = refusal(&self.choices);
        Box::pin(async move {
            sleep(delay(choice >> 4)).await;
            let verdict = match choice % 4 {
                0 => HookVerdict::Reject(reply),
                1 => HookVerdict::Tempfail(reply),
                _ => HookVerdict::Next,
            };
            HookJudged { verdict, facts: so_far.facts }
        })
    }

    fn judge(&self, message: ReceivedMessage) -> BoxFuture<'static, JudgedMessage> {
        let fields: usize = message.headers.iter().map(|field| field.name.len() + field.value.len()).sum();
        assert!(fields as u64 <= HEADER_SIZE, "{fields} bytes of header fields");
        assert!(message.body.len() as u64 <= MESSAGE_SIZE, "{} bytes of body", message.body.len());
        let choices = self.choices.clone();
        Box::pin(async move {
            let mut choices = choices.into_iter();
            let mut next = move || choices.next().unwrap_or(7);
            let slow = delay(next());
            if !slow.is_zero() {
                sleep(slow).await;
            }
            let received = Arc::new(ParsedMessage::new(message));
            let mut changed = ParsedMessage::clone(&received);
            for _ in 0..next() % 4 {
                edit(&mut changed, &mut next);
            }
            let verdict = match next() % 8 {
                0 => Verdict::Next,
                1 => Verdict::Reject(refusal(&[next(), next()])),
                2 => Verdict::Tempfail(refusal(&[next()])),
                3 => Verdict::Discard,
                4 => Verdict::Quarantine { reason: String::from_utf8_lossy(&[next(), next()]).into_owned() },
                _ => Verdict::Accept,
            };
            JudgedMessage { received, message: Arc::new(changed), verdict, trace: Trace::default() }
        })
    }
}

/// One change, valid or not.
fn edit(message: &mut ParsedMessage, next: &mut impl FnMut() -> u8) {
    let text = String::from_utf8_lossy(&[next(), next(), next()]).into_owned();
    let entries = message.headers.entries_mut();
    let place = usize::from(next());
    match next() % 8 {
        0 => entries.insert(
            place % (entries.len() + 1),
            Entry { field: Field::new("X-New", text), received: None, changed: false },
        ),
        1 if !entries.is_empty() => drop(entries.remove(place % entries.len())),
        2 if !entries.is_empty() => {
            let entry = place % entries.len();
            entries[entry].field.value = text.into();
            entries[entry].changed = true;
        }
        3 => message.body = text.repeat(place * 200).into(),
        4 => message.envelope.sender = Mailbox::new(format!("<{text}@example.org>")),
        5 => message.envelope.recipients.push(Mailbox::new(format!("<{text}@example.net>"))),
        6 => message.envelope.recipients.clear(),
        _ => {}
    }
}
