//! What is going to be sent: a function of the seed, the connection and the session's number, and of nothing else. So any
//! message of a run can be had again.

use crate::stages::{ASKS, Effect, STAGES, word};
use std::{fmt, time::Duration};
use wasmilter_tests::{
    clamd,
    fake_mta::{Flavour, Mail},
};

/// The recipient that the stage `recipients` removes.
pub(crate) const LAST_RECIPIENT: &str = "c@example.net";

/// One connection of a mail server, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) flavour: Flavour,
    /// Over TCP instead of the unix socket.
    pub(crate) tcp: bool,
    /// Writes in pieces of random size.
    pub(crate) pieces: Option<u64>,
    /// Reads replies slowly, and writes so.
    pub(crate) sluggish: bool,
    pub(crate) messages: Vec<Message>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) name: Name,
    /// Which one of the corpus, modulo its size.
    specimen: usize,
    /// Instead of one of the corpus, one for the virus scanner.
    pub(crate) infected: Option<bool>,
    /// Indices of the stages that it asks for, in order.
    pub(crate) asks: Vec<usize>,
    /// Silence of the client before it begins.
    pub(crate) idle: Duration,
    pub(crate) course: Course,
}

/// Names a message for whoever wants to see it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) seed: u64,
    pub(crate) connection: u32,
    pub(crate) session: u32,
    pub(crate) number: u32,
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "seed {} connection {} session {} message {}",
            self.seed, self.connection, self.session, self.number
        )
    }
}

/// How far the client goes with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// To its answer.
    Whole,
    /// Says `A` after that command, and goes on with the next message.
    Abort(u8),
    /// Closes the connection after that command; `E`: while it should wait for the answer.
    Vanish(u8),
    /// Closes it in the middle of a command.
    Cut(u8),
    /// Breaks the protocol after that command.
    Garbage(u8),
    /// Ends its side of the stream after `E`, and waits for what comes.
    HalfClose,
}

/// Commands after which a client may give up.
const PHASES: [u8; 6] = *b"MRTLNB";
/// Messages of one session at most.
const MOST_MESSAGES: u32 = 8;

impl Session {
    pub(crate) fn of(seed: u64, connection: u32, session: u32) -> Self {
        let place = (u64::from(connection) << 32) | u64::from(session);
        let mut random = fastrand::Rng::with_seed(
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ place.wrapping_mul(0xd1b5_4a32_d192_ed03),
        );
        let mut messages = Vec::new();
        for number in 0..random.u32(1..=MOST_MESSAGES) {
            let message = Message::random(&mut random, Name { seed, connection, session, number });
            let last = !matches!(message.course, Course::Whole | Course::Abort(_));
            messages.push(message);
            if last {
                break;
            }
        }
        Self {
            flavour: if random.bool() { Flavour::Postfix } else { Flavour::Sendmail },
            tcp: random.bool(),
            pieces: one_in(&mut random, 10).then(|| random.u64(..)),
            sluggish: one_in(&mut random, 40),
            messages,
        }
    }
}

impl Message {
    fn random(random: &mut fastrand::Rng, name: Name) -> Self {
        let asks: Vec<usize> = STAGES
            .iter()
            .enumerate()
            .filter(|(_, stage)| stage.one_in > 0 && one_in(random, stage.one_in))
            .map(|(index, _)| index)
            .collect();
        let scans = asks.iter().any(|index| STAGES.get(*index).is_some_and(|stage| stage.effect == Effect::Scans));
        let phase = random.choice(PHASES).unwrap_or(b'M');
        let course = match random.u32(0..1000) {
            0..30 => Course::Abort(phase),
            30..50 => Course::Vanish(phase),
            50..65 => Course::Vanish(b'E'),
            65..70 => Course::Cut(phase),
            70..73 => Course::Garbage(phase),
            73..78 => Course::HalfClose,
            _ => Course::Whole,
        };
        let idle = if one_in(random, 200) { Duration::from_millis(random.u64(500..5_000)) } else { Duration::ZERO };
        Self { name, specimen: random.usize(..), infected: scans.then(|| random.bool()), asks, idle, course }
    }

    /// The message as the mail server has it.
    pub(crate) fn mail(&self, corpus: &[Mail]) -> Mail {
        let mut mail = match self.infected {
            Some(infected) => {
                let text = if infected { clamd::eicar() } else { "nothing bad in here".to_owned() };
                Mail::new(&[("From", " a@example.org"), ("Received", " from somewhere")], format!("{text}\r\n"))
            }
            None => corpus.get(self.specimen.checked_rem(corpus.len()).unwrap_or(0)).cloned().unwrap_or_default(),
        };
        mail.sender = "<a@example.org>".to_owned();
        mail.recipients = vec!["<b@example.net>".to_owned(), format!("<{LAST_RECIPIENT}>")];
        let words: Vec<String> = self.stages().map(word).collect();
        if !words.is_empty() {
            // What makes guests misbehave; the others do not look.
            mail.headers.push((b"Subject".to_vec(), b" bad".to_vec()));
            mail.headers.push((ASKS.into(), format!(" {}", words.join(" ")).into_bytes()));
        }
        mail
    }

    /// The stages that it asks for.
    pub(crate) fn stages(&self) -> impl Iterator<Item = &'static crate::stages::Stage> {
        self.asks.iter().filter_map(|index| STAGES.get(*index))
    }

    /// Whether it asks for that stage.
    pub(crate) fn asks_for(&self, index: usize) -> bool {
        self.asks.contains(&index)
    }
}

fn one_in(random: &mut fastrand::Rng, many: u32) -> bool {
    random.u32(0..many.max(1)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_says_everything() {
        for connection in 0..5 {
            for session in 0..50 {
                assert_eq!(Session::of(7, connection, session), Session::of(7, connection, session));
            }
        }
        assert_ne!(Session::of(7, 0, 1), Session::of(8, 0, 1));
        assert_ne!(Session::of(7, 1, 0), Session::of(7, 0, 1));
    }

    #[test]
    fn everything_comes_up() {
        let messages: Vec<Message> = (0..20_000).flat_map(|session| Session::of(1, 0, session).messages).collect();
        for (index, stage) in STAGES.iter().enumerate() {
            let asked = messages.iter().filter(|message| message.asks_for(index)).count();
            assert_eq!(asked > 0, stage.one_in > 0, "{}", stage.name);
        }
        for phase in PHASES {
            for course in [Course::Abort(phase), Course::Vanish(phase), Course::Cut(phase), Course::Garbage(phase)] {
                assert!(messages.iter().any(|message| message.course == course), "{course:?}");
            }
        }
        assert!(messages.iter().any(|message| message.course == Course::HalfClose));
    }
}
