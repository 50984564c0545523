//! Asking spamd of SpamAssassin: its own protocol, `SYMBOLS SPAMC/1.5`, the message as body; the answer is
//! `SPAMD/1.5 0 EX_OK`, fields with `Spam: True ; 15.0 / 5.0`, an empty line, the symbols separated by commas.

use crate::report::Report;
use std::io::{self, Read, Write};
use wasmilter_sdk::{Failure, Message, Service};

/// Longest answer: names of rules only.
const LONGEST_ANSWER: u64 = 256 * 1024;

/// Has a message scored.
pub(crate) fn score(service: &str, message: &Message) -> Result<Report, Failure> {
    let failure = |what: String| Failure::service(format!("asking {service}: {what}"));
    let mut stream = message.service(service).map_err(|error| failure(io::Error::from(error).to_string()))?;
    let sent = send(&mut stream, message);
    let mut answer = Vec::new();
    let received = stream.take(LONGEST_ANSWER).read_to_end(&mut answer);
    match (sent, received) {
        (Err(error), _) | (_, Err(error)) if answer.is_empty() => Err(failure(error.to_string())),
        _ => read_answer(&String::from_utf8_lossy(&answer)).map_err(failure),
    }
}

fn send(stream: &mut Service<'_>, message: &Message) -> io::Result<()> {
    let trace = trace(message);
    let length = u64::from(message.raw_size()).saturating_add(u64::try_from(trace.len()).unwrap_or_default());
    stream.write_all(format!("SYMBOLS SPAMC/1.5\r\nContent-length: {length}\r\n\r\n{trace}").as_bytes())?;
    io::copy(&mut io::BufReader::with_capacity(60 * 1024, message.raw_reader()), stream)?;
    stream.finish().map_err(io::Error::from)
}

/// The fields that the MTA will write for this hop; SpamAssassin learns the client and the sender from them.
fn trace(message: &Message) -> String {
    let client = message.client();
    let plain =
        |text: &str| -> String { text.chars().filter(|c| c.is_ascii_graphic() && !"()<>;".contains(*c)).collect() };
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    let address = match client.address.as_str() {
        "" => "127.0.0.1".to_owned(),
        v6 if v6.contains(':') => format!("IPv6:{}", plain(v6)),
        v4 => plain(v4),
    };
    let protocol = if client.auth_user.is_empty() { "ESMTP" } else { "ESMTPA" };
    format!(
        "X-Envelope-From: <{}>\r\nReceived: from {} ({} [{address}])\r\n\tby localhost (wasmilter) with {protocol} id {}\r\n",
        plain(&message.sender().address),
        or(plain(&client.helo), "unknown"),
        or(plain(&client.hostname), "unknown"),
        or(plain(&message.queue_id()), "0"),
    )
}

fn read_answer(answer: &str) -> Result<Report, String> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer is cut off")?;
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split_whitespace();
    let (protocol, code) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    if !protocol.starts_with("SPAMD/") {
        return Err("the answer is not spamd's".to_owned());
    }
    if code != "0" {
        return Err(format!("spamd answered with code {}", code.chars().take(20).collect::<String>()));
    }
    let spam = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("spam"))
        .map(|(_, value)| value)
        .ok_or("the answer has no score")?;
    // "True ; 15.0 / 5.0"
    let score = spam.split_once(';').and_then(|(_, scores)| scores.split('/').next()).map(str::trim);
    let score: f64 = score.and_then(|score| score.parse().ok()).ok_or("the answer has no score")?;
    if !score.is_finite() {
        return Err("the answer has no score".to_owned());
    }
    let symbols = body.split([',', '\r', '\n']).map(str::trim).filter(|symbol| !symbol.is_empty());
    Ok(Report { engine: "spamd", score, action: String::new(), symbols: symbols.map(str::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let report = read_answer(
            "SPAMD/1.1 0 EX_OK\r\nContent-length: 20\r\nSpam: True ; 15.5 / 5.0\r\n\r\nGTUBE,NO_RELAYS\r\n",
        )
        .unwrap();
        assert!((report.score - 15.5).abs() < 1e-9);
        assert_eq!(report.symbols, ["GTUBE", "NO_RELAYS"]);
        assert!(read_answer("SPAMD/1.1 0 EX_OK\r\nSpam: False ; -1.2 / 5.0\r\n\r\n").unwrap().score < 0.0);
    }

    #[test]
    fn errors_are_told() {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\n\r\n",
            "SPAMD/1.0 76 Bad header line\r\n\r\n",
            "SPAMD/1.1 0 EX_OK\r\n\r\nA",
            "SPAMD/1.1 0 EX_OK\r\nSpam: True ; NaN / 5.0\r\n\r\nA",
        ] {
            assert!(read_answer(answer).is_err(), "{answer}");
        }
    }
}
