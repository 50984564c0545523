//! What must be answered: computed from what the message asks for and what was known while it was judged, by nothing of
//! the host. Where timing leaves several legal answers, all of them.

use crate::{
    plan::Message,
    stages::{
        self, Change, Effect, GENERATION, INSERTED, LAST, NEW_RECIPIENT, NEW_SENDER, NEW_TYPE, STAGES, Says, Then,
    },
};
use std::ops::RangeInclusive;
use wasmilter_tests::fake_mta::{Delivered, Flavour, Mail, Outcome, delivered};

/// What was known of the world between the beginning and the end of a message.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// Configurations that may have been in force.
    pub(crate) generations: RangeInclusive<u32>,
    /// Whether the scanner surely answered.
    pub(crate) scanner_up: bool,
}

/// One legal way of judging a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) answer: Answer,
    /// What each stage that ran is counted with: its index, and a verdict or none for a failure.
    pub(crate) counted: Vec<(usize, Option<&'static str>)>,
}

/// What the mail server is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A reply that begins like this.
    Refused(&'static str),
    /// Swallowed.
    Discarded,
    /// Goes on, held or not.
    Passed { held: Option<String>, changes: Vec<Change>, generation: u32 },
}

impl Answer {
    /// Its name in `wasmilter_messages_total`.
    pub(crate) fn verdict(&self) -> &'static str {
        match self {
            Self::Refused(reply) if reply.starts_with('4') => "tempfail",
            Self::Refused(_) => "reject",
            Self::Discarded => "discard",
            Self::Passed { held: Some(_), .. } => "quarantine",
            Self::Passed { held: None, .. } => "accept",
        }
    }
}

/// Every legal way of judging the message.
pub(crate) fn judgements(message: &Message, world: &World) -> Vec<Judgement> {
    let mut all = Vec::new();
    for generation in world.generations.clone() {
        // The scanner may have answered, or not.
        let scans = if world.scanner_up { &[true][..] } else { &[true, false] };
        for scanned in scans {
            let judgement = judgement(message, generation, *scanned);
            if !all.contains(&judgement) {
                all.push(judgement);
            }
        }
    }
    all
}

fn judgement(message: &Message, generation: u32, scanned: bool) -> Judgement {
    let mut counted = Vec::new();
    let mut changes = Vec::new();
    for (index, stage) in STAGES.iter().enumerate() {
        if stage.one_in > 0 && !message.asks_for(index) {
            continue;
        }
        // What the stage is counted with, and the answer when it is the last one.
        let (verdict, ends) = match stage.effect {
            Effect::Nothing if stage.name != "noop" => continue,
            Effect::Nothing | Effect::Generation => (Some("next"), None),
            Effect::Edits(change) => {
                changes.push(change);
                (Some("next"), None)
            }
            Effect::Fails(causes, then) => (None, after_failure(stage.name, causes, then)),
            Effect::Says(says) => {
                let (verdict, end) = said(says);
                (Some(verdict), Some(end))
            }
            Effect::Scans if !scanned => (None, after_failure(stage.name, &["service"], Then::Tempfail)),
            Effect::Scans
                if message.infected == Some(true)
                    && !changes.iter().any(|change| matches!(change, Change::Content(_))) =>
            {
                (Some("reject"), Some(End::Refused("550 5.7.1 message contains a virus")))
            }
            Effect::Scans => (Some("next"), None),
        };
        counted.push((index, verdict));
        let answer = match ends {
            None => continue,
            Some(End::Refused(reply)) => Answer::Refused(reply),
            Some(End::Discarded) => Answer::Discarded,
            Some(End::Passed(held)) => Answer::Passed { held, changes, generation },
        };
        return Judgement { answer, counted };
    }
    Judgement { answer: Answer::Passed { held: None, changes, generation }, counted }
}

/// How a stage ends a message.
enum End {
    Refused(&'static str),
    Discarded,
    Passed(Option<String>),
}

/// What `on_failure` says; None: on with the next stage.
fn after_failure(stage: &str, causes: &[&str], then: Then) -> Option<End> {
    match then {
        Then::Tempfail => Some(End::Refused("451 4.3.0 ")),
        Then::Reject => Some(End::Refused("554 5.3.0 ")),
        Then::Accept => Some(End::Passed(None)),
        Then::Skip => None,
        // Only stages with one cause quarantine.
        Then::Quarantine => Some(End::Passed(Some(format!("stage {stage} failed: {}", causes.concat())))),
    }
}

fn said(says: Says) -> (&'static str, End) {
    match says {
        Says::Accept => ("accept", End::Passed(None)),
        Says::Reject => ("reject", End::Refused("550 5.7.1 refused as asked")),
        Says::Tempfail => ("tempfail", End::Refused("450 4.7.1 later as asked")),
        Says::Discard => ("discard", End::Discarded),
        Says::Quarantine => ("quarantine", End::Passed(Some("held as asked".to_owned()))),
    }
}

/// Which of the legal judgements the host's is; an error says what it was instead.
pub(crate) fn check<'a>(
    legal: &'a [Judgement],
    mail: &Mail,
    outcome: &Outcome,
    flavour: Flavour,
    leading_space: bool,
) -> Result<&'a Judgement, String> {
    let mut complaints = Vec::new();
    for judgement in legal {
        match differs(&judgement.answer, mail, outcome, flavour, leading_space) {
            None => return Ok(judgement),
            Some(complaint) => complaints.push(complaint),
        }
    }
    complaints.dedup();
    Err(complaints.join("; or "))
}

fn differs(answer: &Answer, mail: &Mail, outcome: &Outcome, flavour: Flavour, leading_space: bool) -> Option<String> {
    let reply = format!("{} {:?}", char::from(outcome.reply.command), outcome.reply.text());
    match answer {
        Answer::Refused(text) => {
            let refused = outcome.reply.command == b'y' && outcome.reply.text().starts_with(text);
            (!refused || !outcome.edits.is_empty())
                .then(|| format!("expected {text:?}, got {reply} and {} edits", outcome.edits.len()))
        }
        Answer::Discarded => (outcome.reply.command != b'd').then(|| format!("expected discard, got {reply}")),
        Answer::Passed { held, changes, generation } => {
            let expected = expected(mail, held.as_ref(), changes, *generation);
            match delivered(mail, outcome, flavour, leading_space) {
                Ok(Some(got)) => difference(&expected, &got),
                Ok(None) => Some(format!("expected delivery, got {reply}")),
                Err(error) => Some(error),
            }
        }
    }
}

/// The message as it must be delivered.
fn expected(mail: &Mail, held: Option<&String>, changes: &[Change], generation: u32) -> Delivered {
    let unbracketed = |address: &str| address.trim_start_matches('<').trim_end_matches('>').to_owned();
    let field = |name: &str, value: &str| (name.as_bytes().to_vec(), format!(" {value}").into_bytes());
    let mut delivered = Delivered {
        sender: unbracketed(&mail.sender),
        recipients: mail.recipients.iter().map(|recipient| unbracketed(recipient)).collect(),
        headers: mail.headers.clone(),
        body: mail.body.clone(),
        held: held.cloned(),
    };
    delivered.headers.push(field(GENERATION, &generation.to_string()));
    for change in changes {
        match change {
            Change::Insert => delivered.headers.insert(0, field(INSERTED.0, INSERTED.1)),
            Change::Last => delivered.headers.push(field(LAST.0, LAST.1)),
            Change::Strip => delivered.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(b"received")),
            Change::Content(lines) => {
                delivered.headers.retain(|(name, _)| !is_content(name));
                delivered.headers.push(field("Content-Type", NEW_TYPE));
                delivered.body = stages::new_body(*lines).into_bytes();
            }
            Change::Sender => NEW_SENDER.clone_into(&mut delivered.sender),
            Change::Recipients => {
                delivered.recipients.pop();
                delivered.recipients.push(NEW_RECIPIENT.to_owned());
            }
        }
    }
    delivered
}

/// Fields that belong to the content. Where among the others they stand is the host's choice.
fn is_content(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"MIME-Version")
        || name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"))
}

fn difference(expected: &Delivered, got: &Delivered) -> Option<String> {
    type Fields<'a> = Vec<&'a (Vec<u8>, Vec<u8>)>;
    fn parted(delivered: &Delivered) -> (Fields<'_>, Fields<'_>) {
        delivered.headers.iter().partition(|(name, _)| is_content(name))
    }
    let sorted = |delivered: &Delivered| {
        let mut recipients = delivered.recipients.clone();
        recipients.sort();
        recipients
    };
    let shown = |fields: &[&(Vec<u8>, Vec<u8>)]| {
        let field = |(name, value): &&(Vec<u8>, Vec<u8>)| format!("{}:{}", name.escape_ascii(), value.escape_ascii());
        fields.iter().map(field).collect::<Vec<_>>().join(", ")
    };
    let ((content, others), (got_content, got_others)) = (parted(expected), parted(got));
    if expected.held != got.held {
        return Some(format!("held: expected {:?}, got {:?}", expected.held, got.held));
    }
    if (&expected.sender, sorted(expected)) != (&got.sender, sorted(got)) {
        return Some(format!("envelope: {} to {:?}", got.sender, got.recipients));
    }
    if others != got_others {
        let at = others.iter().zip(&got_others).take_while(|(one, other)| one == other).count();
        let rest = |fields: &Fields<'_>| shown(fields.get(at..(at + 1).min(fields.len())).unwrap_or_default());
        return Some(format!("field {at}: expected {}, got {}", rest(&others), rest(&got_others)));
    }
    // The host writes a field of the same name as it was written before.
    let spelled = |fields: &Fields<'_>| {
        fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect::<Vec<_>>()
    };
    if spelled(&content) != spelled(&got_content) {
        return Some(format!("fields of the content: expected {}, got {}", shown(&content), shown(&got_content)));
    }
    (expected.body != got.body).then(|| format!("body: expected {} bytes, got {}", expected.body.len(), got.body.len()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::plan::Session;

    fn asking(names: &[&str]) -> Message {
        let mut message = Session::of(1, 0, 0).messages.remove(0);
        message.asks = (0..STAGES.len()).filter(|index| names.contains(&STAGES.get(*index).unwrap().name)).collect();
        message.infected = names.contains(&"scan").then_some(true);
        message
    }

    fn answers(names: &[&str], scanner_up: bool) -> Vec<&'static str> {
        let world = World { generations: 3..=3, scanner_up };
        judgements(&asking(names), &world).iter().map(|judgement| judgement.answer.verdict()).collect()
    }

    #[test]
    fn the_first_stage_that_ends_a_message_ends_it() {
        assert_eq!(answers(&[], true), ["accept"]);
        assert_eq!(answers(&["panics", "drops"], true), ["reject"]);
        assert_eq!(answers(&["endless", "drops"], true), ["discard"]);
        assert_eq!(answers(&["memory", "rejects"], true), ["accept"]);
        assert_eq!(answers(&["out-of-bounds"], true), ["quarantine"]);
    }

    #[test]
    fn a_scanner_that_may_be_away_leaves_two_answers() {
        assert_eq!(answers(&["scan"], true), ["reject"]);
        assert_eq!(answers(&["scan"], false), ["reject", "tempfail"]);
        assert_eq!(answers(&["panics", "scan"], false), ["reject"]);
        // What replaced the content took the virus with it.
        assert_eq!(answers(&["content", "scan"], true), ["accept"]);
    }

    #[test]
    fn what_was_not_asked_for_is_noticed() {
        let mail = Mail::new(&[("Subject", " s")], "text\r\n");
        let outcome = Outcome {
            stage: b'E',
            edits: Vec::new(),
            progress: 0,
            reply: wasmilter_tests::fake_mta::Reply { command: b'a', data: Vec::new() },
            recipients: mail.recipients.clone(),
        };
        let legal = judgements(&asking(&[]), &World { generations: 1..=1, scanner_up: true });
        let complaint = check(&legal, &mail, &outcome, Flavour::Postfix, true).unwrap_err();
        assert!(complaint.contains(GENERATION), "{complaint}");
    }
}
