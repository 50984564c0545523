//! What a scripted service hears and says in one stream.

use crate::ServiceError;
use std::collections::VecDeque;

/// One stream.
#[derive(Clone, Default)]
pub(super) struct Script {
    pub(super) steps: VecDeque<Step>,
    /// What opening gives (without steps), or what comes after the last answer in place of the end.
    pub(super) fails: Option<ServiceError>,
}

/// What must be sent, and what is then read.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) wanted: Wanted,
    pub(super) answer: Vec<u8>,
}

/// What must be sent.
#[derive(Clone)]
pub(super) enum Wanted {
    Anything,
    Exactly(Vec<u8>),
    /// Pieces in this order.
    Pieces(Vec<String>),
}

impl Script {
    /// Opens the stream.
    pub(super) fn play(self) -> Result<Played, ServiceError> {
        match self.fails {
            Some(error) if self.steps.is_empty() => Err(error),
            _ => Ok(Played { script: self, written: Vec::new(), answer: VecDeque::new(), complaint: None }),
        }
    }
}

/// A stream that is open.
pub(super) struct Played {
    script: Script,
    /// Since the last answer.
    written: Vec<u8>,
    /// What is left to read of the answer at hand.
    answer: VecDeque<u8>,
    complaint: Option<String>,
}

impl Played {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.written.extend_from_slice(bytes);
    }

    pub(super) fn read(&mut self, most: usize) -> Result<Vec<u8>, ServiceError> {
        while self.answer.is_empty() {
            let Some(step) = self.script.steps.front() else {
                return self.script.fails.clone().map_or_else(|| Ok(Vec::new()), Err);
            };
            if !step.wanted.is(&self.written) {
                self.complaint =
                    Some(format!("it was read before it got {}; it got {}", step.wanted.name(), shown(&self.written)));
                return Err(ServiceError::TimedOut);
            }
            self.written.clear();
            self.answer = self.script.steps.pop_front().map(|step| step.answer.into()).unwrap_or_default();
        }
        let length = most.min(self.answer.len());
        Ok(self.answer.drain(..length).collect())
    }

    /// What did not go by the script. Asked when the stream ends.
    pub(super) fn complaints(&mut self) -> Vec<String> {
        let mut complaints: Vec<String> = self.complaint.take().into_iter().collect();
        // What was sent and not answered yet.
        while let Some(step) = self.script.steps.pop_front() {
            if !complaints.is_empty() || matches!(step.wanted, Wanted::Anything) {
                continue;
            }
            if !step.wanted.is(&self.written) {
                complaints.push(format!("it wanted {} and got {}", step.wanted.name(), shown(&self.written)));
            }
            self.written.clear();
        }
        complaints
    }
}

impl Wanted {
    fn is(&self, written: &[u8]) -> bool {
        match self {
            Self::Anything => true,
            Self::Exactly(bytes) => bytes == written,
            Self::Pieces(pieces) => {
                let mut rest = written;
                pieces.iter().all(|piece| {
                    let piece = piece.as_bytes();
                    let at = rest.windows(piece.len().max(1)).position(|window| window == piece);
                    rest = at.and_then(|at| rest.get(at + piece.len()..)).unwrap_or_default();
                    at.is_some() || piece.is_empty()
                })
            }
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Anything => "anything".to_owned(),
            Self::Exactly(bytes) => shown(bytes),
            Self::Pieces(pieces) => format!("{pieces:?} in this order"),
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}
