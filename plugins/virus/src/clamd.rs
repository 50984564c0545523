//! Asking clamd (clamd(8), "COMMANDS"): `zINSTREAM\0`, then pieces, each with its length as 32 bits in network order before
//! it, then a length of zero. The answer ends with NUL: `stream: OK`, `stream: NAME FOUND` or `… ERROR`.

use crate::report::{Find, InfectedPart, Report};
use std::io::{self, Read, Write};
use wasmilter_sdk::{Failure, Message, PartKind, Service};

/// Bytes of the message in one piece.
const PIECE: usize = 60 * 1024;
/// Longest answer that is read: names are far shorter.
const LONGEST_ANSWER: u64 = 4096;

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Clean,
    Found(String),
    TooLarge,
}

/// Scans the message as a whole, since clamd takes MIME and archives apart by itself. With `parts`, an infected message
/// is scanned once more part by part, to learn which one it is.
pub(crate) fn scan(service: &str, message: &Message, parts: bool) -> Result<Report, Failure> {
    let mut report = Report { engine: "clamd", scanned: 1, ..Report::default() };
    match ask(service, message, message.raw_reader())? {
        Answer::Clean => {}
        Answer::TooLarge => report.limit = Some("it is larger than clamd takes".to_owned()),
        // What clamd calls viruses when it is told to alert about what it can not look into.
        Answer::Found(name) if name.starts_with("Heuristics.Encrypted.") => report.encrypted = true,
        Answer::Found(name) if name.starts_with("Heuristics.Limits.Exceeded") => {
            report.limit = Some("it passes the limits of clamd".to_owned());
        }
        Answer::Found(virus) if parts => report.finds = locate(service, message, virus)?,
        Answer::Found(virus) => report.finds.push(Find { virus, part: None }),
    }
    Ok(report)
}

/// Which parts are infected; when none is by itself, the message as a whole.
fn locate(service: &str, message: &Message, virus: String) -> Result<Vec<Find>, Failure> {
    let mut finds = Vec::new();
    for part in message.parts().into_iter().filter(|part| part.kind == PartKind::Leaf && part.encoded_size > 0) {
        if let Answer::Found(virus) = ask(service, message, part.reader())? {
            finds.push(Find { virus, part: Some(InfectedPart { id: part.id, path: part.file_name.clone() }) });
        }
    }
    if finds.is_empty() {
        finds.push(Find { virus, part: None });
    }
    Ok(finds)
}

fn ask(service: &str, message: &Message, content: impl Read) -> Result<Answer, Failure> {
    let failure = |doing: &str, error: io::Error| Failure::service(format!("{doing} {service}: {error}"));
    let mut stream = message.service(service).map_err(|error| failure("connecting to", error.into()))?;
    // clamd that has enough answers and closes while we still write: its answer tells more than our error.
    let sent = send(&mut stream, content);
    let mut answer = Vec::new();
    let received = stream.take(LONGEST_ANSWER).read_to_end(&mut answer);
    match (sent, received) {
        (Err(error), _) if answer.is_empty() => Err(failure("sending to", error)),
        (_, Err(error)) if answer.is_empty() => Err(failure("waiting for", error)),
        _ => read_answer(&answer).map_err(|what| Failure::service(format!("answer of {service}: {what}"))),
    }
}

fn send(stream: &mut Service<'_>, mut content: impl Read) -> io::Result<()> {
    let mut piece = b"zINSTREAM\0".to_vec();
    let mut buffer = vec![0; PIECE];
    loop {
        let read = content.read(&mut buffer)?;
        piece.extend_from_slice(&u32::try_from(read).unwrap_or(u32::MAX).to_be_bytes());
        piece.extend_from_slice(buffer.get(..read).unwrap_or_default());
        stream.write_all(&piece)?;
        piece.clear();
        if read == 0 {
            return Ok(());
        }
    }
}

/// What the answer says, or what is wrong with it.
fn read_answer(answer: &[u8]) -> Result<Answer, String> {
    let answer = answer.split(|&byte| byte == 0).next().unwrap_or_default();
    let answer = String::from_utf8_lossy(answer);
    let answer = answer.trim_end();
    let verdict = answer.strip_prefix("stream: ").unwrap_or(answer);
    if verdict == "OK" {
        Ok(Answer::Clean)
    } else if let Some(name) = verdict.strip_suffix(" FOUND") {
        Ok(Answer::Found(name.to_owned()))
    } else if verdict.starts_with("INSTREAM size limit exceeded") {
        Ok(Answer::TooLarge)
    } else if verdict.is_empty() {
        Err("is empty".to_owned())
    } else {
        Err(verdict.chars().filter(|c| !c.is_control()).take(200).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood() {
        assert_eq!(read_answer(b"stream: OK\0"), Ok(Answer::Clean));
        assert_eq!(
            read_answer(b"stream: Win.Test.EICAR_HDB-1 FOUND\0"),
            Ok(Answer::Found("Win.Test.EICAR_HDB-1".to_owned()))
        );
        assert_eq!(read_answer(b"INSTREAM size limit exceeded. ERROR\0"), Ok(Answer::TooLarge));
        assert_eq!(read_answer(b"stream: Can't allocate memory ERROR\0").unwrap_err(), "Can't allocate memory ERROR");
        assert_eq!(read_answer(b"").unwrap_err(), "is empty");
        assert!(read_answer(b"stream: OK or not").is_err());
    }
}
