//! `[services]`: what each stream takes and answers.

use super::{Strayed, lock, shown};
use crate::{
    source::{CaseError, Short, Source},
    transaction::{ServiceKeys, StepKeys, StreamKeys},
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use toml::Spanned;
use wasmilter_message::{
    deadline::Deadline,
    judge::BoxFuture,
    service::{Connection, ServiceError, Services},
};

/// All services of a case.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServicesScript(BTreeMap<String, Service>);

#[derive(Debug, Clone)]
enum Service {
    /// The same to everybody, whatever is asked.
    Always(Bytes),
    /// One after the other.
    Streams(Vec<Stream>),
}

/// What a stream is like.
#[derive(Debug, Clone)]
enum Stream {
    NotOpened(ServiceError),
    Opened { steps: Vec<Step>, end: Option<ServiceError> },
}

#[derive(Debug, Clone)]
struct Step {
    wants: Wants,
    answer: Bytes,
}

/// What the peer waits for before it answers.
#[derive(Debug, Clone)]
enum Wants {
    Nothing,
    Anything,
    Exactly(Bytes),
    Pieces(Vec<Bytes>),
}

impl ServicesScript {
    pub(crate) fn read(keys: BTreeMap<String, ServiceKeys>, source: &Source) -> Result<Self, CaseError> {
        let service = |keys: ServiceKeys| match keys {
            Short::Short(answer) => Ok(Service::Always(answer.into())),
            Short::Long(streams) => {
                Ok(Service::Streams(streams.into_iter().map(|keys| stream(keys, source)).collect::<Result<_, _>>()?))
            }
        };
        let services = keys.into_iter().map(|(name, keys)| Ok((name, service(keys)?)));
        services.collect::<Result<_, CaseError>>().map(Self)
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn stream(keys: Spanned<StreamKeys>, source: &Source) -> Result<Stream, CaseError> {
    let span = keys.span();
    let StreamKeys { sent, sent_file, has, answer, answer_file, fails, steps } = keys.into_inner();
    let end = match &fails {
        None => None,
        Some(name) => match name.get_ref().as_str() {
            "unreachable" => Some(ServiceError::Unreachable("as the case says".to_owned())),
            "timed-out" => Some(ServiceError::TimedOut),
            "closed" => Some(ServiceError::Closed),
            other => {
                let message = format!("must be \"unreachable\", \"timed-out\" or \"closed\", is {other:?}");
                return Err(source.wrong(&name.span(), message));
            }
        },
    };
    let single = StepKeys { sent, sent_file, has, answer, answer_file };
    let is_single = single.sent.is_some()
        || single.sent_file.is_some()
        || single.has.is_some()
        || single.answer.is_some()
        || single.answer_file.is_some();
    let opened = match (is_single, steps) {
        (true, Some(_)) => return Err(source.wrong(&span, "`steps` stands in place of the other keys")),
        (false, Some(steps)) => {
            let steps = steps.into_iter().map(|keys| {
                let span = keys.span();
                step(keys.into_inner(), Wants::Nothing, &span, source)
            });
            Some(steps.collect::<Result<_, _>>()?)
        }
        (true, None) => Some(vec![step(single, Wants::Anything, &span, source)?]),
        (false, None) => None,
    };
    match (opened, end) {
        (Some(steps), end @ (None | Some(ServiceError::TimedOut | ServiceError::Closed))) => {
            Ok(Stream::Opened { steps, end })
        }
        (Some(_), Some(_)) => Err(source.wrong(&span, "who is unreachable has nothing to say")),
        (None, Some(ServiceError::Closed)) | (None, None) => Err(source.wrong(
            &span,
            "needs one of `sent`, `has`, `answer`, `steps`, or `fails` with \"unreachable\" or \"timed-out\"",
        )),
        (None, Some(error)) => Ok(Stream::NotOpened(error)),
    }
}

fn step(keys: StepKeys, otherwise: Wants, span: &std::ops::Range<usize>, source: &Source) -> Result<Step, CaseError> {
    let bytes = |text: Option<String>, file: Option<Spanned<String>>, what: &str| match (text, file) {
        (Some(_), Some(_)) => Err(source.wrong(span, format!("`{what}` and `{what}_file` are the same thing"))),
        (Some(text), None) => Ok(Some(Bytes::from(text))),
        (None, Some(file)) => Ok(Some(Bytes::from(source.file(&file)?))),
        (None, None) => Ok(None),
    };
    let wants = match (bytes(keys.sent, keys.sent_file, "sent")?, keys.has) {
        (Some(_), Some(_)) => return Err(source.wrong(span, "`sent` is all that is sent, `has` only pieces of it")),
        (Some(sent), None) => Wants::Exactly(sent),
        (None, Some(pieces)) => Wants::Pieces(pieces.into_iter().map(Bytes::from).collect()),
        (None, None) => otherwise,
    };
    Ok(Step { wants, answer: bytes(keys.answer, keys.answer_file, "answer")?.unwrap_or_default() })
}

/// The services while a case runs.
pub(crate) struct Scripted {
    script: ServicesScript,
    /// How many streams of each were opened.
    opened: Mutex<BTreeMap<String, usize>>,
    strayed: Strayed,
}

impl Scripted {
    pub(crate) fn new(script: ServicesScript, strayed: &Strayed) -> Arc<Self> {
        Arc::new(Self { script, opened: Mutex::default(), strayed: strayed.clone() })
    }

    /// Notes what was never used.
    pub(crate) fn finish(&self) {
        let opened = lock(&self.opened);
        for (name, service) in &self.script.0 {
            if let Service::Streams(streams) = service {
                let opened = opened.get(name).copied().unwrap_or_default();
                if opened < streams.len() {
                    let scripted = streams.len();
                    self.strayed.note(format!("service {name}: {scripted} streams in the script, {opened} opened"));
                }
            }
        }
    }

    fn next(&self, name: &str) -> Result<Box<dyn Connection>, ServiceError> {
        let number = {
            let mut opened = lock(&self.opened);
            let opened = opened.entry(name.to_owned()).or_default();
            *opened = opened.saturating_add(1);
            *opened
        };
        let stream = match self.script.0.get(name) {
            // Not even granted; the sandbox does not come this far.
            None => return Err(ServiceError::Denied),
            Some(Service::Always(answer)) => {
                Stream::Opened { steps: vec![Step { wants: Wants::Anything, answer: answer.clone() }], end: None }
            }
            Some(Service::Streams(streams)) => match streams.get(number.saturating_sub(1)) {
                Some(stream) => stream.clone(),
                None => {
                    self.strayed.note(format!("service {name}: stream {number} is not in the script"));
                    return Err(ServiceError::Unreachable("not in the case's script".to_owned()));
                }
            },
        };
        match stream {
            Stream::NotOpened(error) => Err(error),
            Stream::Opened { steps, end } => Ok(Box::new(Conversation {
                name: format!("service {name}, stream {number}"),
                strayed: self.strayed.clone(),
                steps,
                at: 0,
                sent: Vec::new(),
                readable: Bytes::new(),
                end,
                finished: false,
                told: false,
            })),
        }
    }
}

impl Services for Scripted {
    fn open<'a>(&'a self, service: &'a str, _: Deadline) -> BoxFuture<'a, Result<Box<dyn Connection>, ServiceError>> {
        Box::pin(async move { self.next(service) })
    }
}

/// One stream.
struct Conversation {
    name: String,
    strayed: Strayed,
    steps: Vec<Step>,
    /// The step that waits for what it wants.
    at: usize,
    /// What was sent and has not been wanted by a step yet.
    sent: Vec<u8>,
    readable: Bytes,
    /// What comes in place of the end.
    end: Option<ServiceError>,
    finished: bool,
    /// It has left the script; what follows is a consequence.
    told: bool,
}

impl Conversation {
    /// Goes on for as many steps as have what they want; `Err` when what was sent can never be that.
    fn go_on(&mut self) -> Result<(), ServiceError> {
        while let Some(step) = self.steps.get(self.at) {
            let is_last = self.at.saturating_add(1) == self.steps.len();
            match &step.wants {
                Wants::Nothing => {}
                Wants::Anything => self.sent.clear(),
                Wants::Exactly(wanted) if self.sent.starts_with(wanted) => {
                    self.sent.drain(..wanted.len());
                    if is_last && !self.sent.is_empty() {
                        return Err(self.stray(format!("{} was sent after what the script says", shown(&self.sent))));
                    }
                }
                Wants::Exactly(wanted) if wanted.starts_with(&self.sent) => return Ok(()),
                Wants::Exactly(wanted) => {
                    let same = wanted.iter().zip(&self.sent).take_while(|(a, b)| a == b).count();
                    let rest = |bytes: &[u8]| shown(bytes.get(same..).unwrap_or_default());
                    let message =
                        format!("after {same} bytes, {} was sent, expected {}", rest(&self.sent), rest(wanted));
                    return Err(self.stray(message));
                }
                Wants::Pieces(pieces) if missing(pieces, &self.sent).is_none() => self.sent.clear(),
                Wants::Pieces(_) => return Ok(()),
            }
            self.readable = [&self.readable[..], &step.answer[..]].concat().into();
            self.at = self.at.saturating_add(1);
        }
        // The last step takes more of anything; `Exactly` has complained already or will at the next write.
        match self.steps.last().map(|step| &step.wants) {
            Some(Wants::Exactly(_) | Wants::Nothing) if !self.sent.is_empty() => {
                Err(self.stray(format!("{} was sent after what the script says", shown(&self.sent))))
            }
            _ => {
                self.sent.clear();
                Ok(())
            }
        }
    }

    /// What the step at hand still waits for.
    fn waiting_for(&self) -> Option<String> {
        match &self.steps.get(self.at)?.wants {
            Wants::Nothing | Wants::Anything => None,
            Wants::Exactly(wanted) => Some(shown(wanted.get(self.sent.len()..).unwrap_or_default())),
            Wants::Pieces(pieces) => missing(pieces, &self.sent).map(shown),
        }
    }

    fn stray(&mut self, what: String) -> ServiceError {
        self.told = true;
        self.strayed.note(format!("{}: {what}", self.name));
        ServiceError::Closed
    }
}

/// The first piece that is not there, each looked for after the one before.
fn missing<'p>(pieces: &'p [Bytes], sent: &[u8]) -> Option<&'p [u8]> {
    let mut rest = sent;
    for piece in pieces {
        match rest.windows(piece.len().max(1)).position(|window| window == &piece[..]) {
            Some(at) => rest = rest.get(at.saturating_add(piece.len())..).unwrap_or_default(),
            None if piece.is_empty() => {}
            None => return Some(piece),
        }
    }
    None
}

impl Connection for Conversation {
    fn write<'a>(&'a mut self, bytes: &'a [u8], _: Deadline) -> BoxFuture<'a, Result<(), ServiceError>> {
        Box::pin(async move {
            if self.finished {
                return Err(ServiceError::Closed);
            }
            self.sent.extend_from_slice(bytes);
            self.go_on()
        })
    }

    fn finish(&mut self, _: Deadline) -> BoxFuture<'_, Result<(), ServiceError>> {
        Box::pin(async move {
            self.finished = true;
            Ok(())
        })
    }

    fn read(&mut self, max: usize, _: Deadline) -> BoxFuture<'_, Result<Bytes, ServiceError>> {
        Box::pin(async move {
            self.go_on()?;
            if !self.readable.is_empty() {
                let length = max.max(1).min(self.readable.len());
                return Ok(self.readable.split_to(length));
            }
            if let Some(wanted) = self.waiting_for() {
                self.stray(format!("reads, but the script waits for {wanted}"));
                return Err(ServiceError::TimedOut);
            }
            match &self.end {
                Some(error) => Err(error.clone()),
                None => Ok(Bytes::new()),
            }
        })
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // A step that wants nothing is over when somebody looks.
        if !self.told
            && self.go_on().is_ok()
            && let Some(wanted) = self.waiting_for()
        {
            self.stray(format!("closed, but the script waits for {wanted}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::Keys;
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    /// Nothing here waits.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }

    fn soon() -> Deadline {
        Deadline::after(std::time::Duration::from_secs(1))
    }

    fn scripted(text: &str) -> (Arc<Scripted>, Strayed) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("transaction.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::write(folder.path().join("bytes"), [0xff]).unwrap();
        let source = Source::read(path).unwrap();
        let keys: Keys = source.parse().unwrap();
        let script = ServicesScript::read(keys.services.unwrap().into_inner(), &source).unwrap();
        let strayed = Strayed::default();
        (Scripted::new(script, &strayed), strayed)
    }

    fn all(connection: &mut Box<dyn Connection>) -> Result<Vec<u8>, ServiceError> {
        let mut all = Vec::new();
        loop {
            match now(connection.read(3, soon()))? {
                piece if piece.is_empty() => return Ok(all),
                piece => all.extend_from_slice(&piece),
            }
        }
    }

    #[test]
    fn the_same_to_everybody() {
        let (services, strayed) = scripted("[services]\na = 'hello'\nb = ''\n");
        for asked in [&b"x"[..], b"", b"anything at all"] {
            let mut connection = now(services.open("a", soon())).unwrap();
            now(connection.write(asked, soon())).unwrap();
            now(connection.finish(soon())).unwrap();
            assert_eq!(all(&mut connection).unwrap(), b"hello");
            assert_eq!(now(connection.write(b"more", soon())), Err(ServiceError::Closed));
        }
        assert_eq!(now(services.open("c", soon())).err(), Some(ServiceError::Denied));
        services.finish();
        assert!(strayed.list().is_empty(), "{:?}", strayed.list());
    }

    #[test]
    fn streams_in_order_as_they_must_be() {
        let text = r#"
            [[services.a]]
            sent = "one"
            answer_file = "bytes"
            [[services.a]]
            fails = "unreachable"
            [[services.a]]
            has = ["GET ", "\r\n\r\n"]
            answer = "found"
            fails = "closed"
            [[services.a]]
            steps = [{ answer = "220 hi" }, { sent = "HELO" , answer = "250" }, { sent = "QUIT" }]
        "#;
        let (services, strayed) = scripted(text);
        let mut first = now(services.open("a", soon())).unwrap();
        now(first.write(b"on", soon())).unwrap();
        now(first.write(b"e", soon())).unwrap();
        assert_eq!(all(&mut first).unwrap(), b"\xff");
        assert!(matches!(now(services.open("a", soon())).err(), Some(ServiceError::Unreachable(_))));
        let mut third = now(services.open("a", soon())).unwrap();
        now(third.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nbody", soon())).unwrap();
        now(third.write(b"more of it", soon())).unwrap();
        assert_eq!(now(third.read(100, soon())).unwrap(), "found");
        assert_eq!(now(third.read(100, soon())), Err(ServiceError::Closed));
        let mut fourth = now(services.open("a", soon())).unwrap();
        assert_eq!(now(fourth.read(100, soon())).unwrap(), "220 hi");
        now(fourth.write(b"HELO", soon())).unwrap();
        assert_eq!(now(fourth.read(100, soon())).unwrap(), "250");
        now(fourth.write(b"QUIT", soon())).unwrap();
        assert_eq!(all(&mut fourth).unwrap(), b"");
        drop((first, third, fourth));
        services.finish();
        assert!(strayed.list().is_empty(), "{:?}", strayed.list());
    }

    #[test]
    fn what_strays_is_noted() {
        let text = "[[services.a]]\nsent = 'one two'\nanswer = 'x'\n";
        let run = |act: &dyn Fn(&Scripted)| {
            let (services, strayed) = scripted(text);
            act(&services);
            services.finish();
            strayed.list()
        };
        let open = |services: &Scripted| now(services.open("a", soon())).unwrap();
        assert_eq!(run(&|_| {}), ["service a: 1 streams in the script, 0 opened"]);
        let other = run(&|services| {
            let mut connection = open(services);
            assert_eq!(now(connection.write(b"one TWO", soon())), Err(ServiceError::Closed));
        });
        assert_eq!(other, ["service a, stream 1: after 4 bytes, \"TWO\" was sent, expected \"two\""]);
        let too_early = run(&|services| {
            let mut connection = open(services);
            now(connection.write(b"one", soon())).unwrap();
            assert_eq!(now(connection.read(10, soon())), Err(ServiceError::TimedOut));
        });
        assert_eq!(too_early, ["service a, stream 1: reads, but the script waits for \" two\""]);
        let more = run(&|services| {
            let mut connection = open(services);
            assert_eq!(now(connection.write(b"one two three", soon())), Err(ServiceError::Closed));
        });
        assert_eq!(more, ["service a, stream 1: \" three\" was sent after what the script says"]);
        let unfinished = run(&|services| drop(open(services)));
        assert_eq!(unfinished, ["service a, stream 1: closed, but the script waits for \"one two\""]);
        let twice = run(&|services| {
            now(open(services).write(b"one two", soon())).unwrap();
            assert!(now(services.open("a", soon())).is_err());
        });
        assert_eq!(twice, ["service a: stream 2 is not in the script"]);
    }
}
