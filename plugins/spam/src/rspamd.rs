//! Asking rspamd: `POST /checkv2` with the message as body and what is known of the transaction in header fields
//! (<https://docs.rspamd.com/developers/protocol>); the answer is JSON.

use crate::{http, report::Report};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    io::{self, Write},
};
use wasmilter_sdk::{Failure, Message};

/// The part of the answer that matters here.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    error: Option<String>,
    score: Option<f64>,
    #[serde(default)]
    action: String,
    #[serde(default)]
    symbols: BTreeMap<String, serde_json::Value>,
}

/// Has a message scored.
pub(crate) fn score(service: &str, message: &Message) -> Result<Report, Failure> {
    let failure = |what: String| Failure::service(format!("asking {service}: {what}"));
    let mut stream = message.service(service).map_err(|error| failure(io::Error::from(error).to_string()))?;
    let sent = send(&mut stream, message);
    // A server that refuses early has answered why.
    let response = http::read_response(&mut stream);
    let response = match (response, sent) {
        (Ok(response), _) => response,
        (Err(_), Err(error)) => return Err(failure(error.to_string())),
        (Err(what), Ok(())) => return Err(failure(what)),
    };
    read_answer(response.status, &response.body).map_err(failure)
}

fn send(stream: &mut impl Write, message: &Message) -> io::Result<()> {
    let head = format!(
        "POST /checkv2 HTTP/1.1\r\nHost: rspamd\r\nConnection: close\r\nContent-Length: {}\r\n{}\r\n",
        message.raw_size(),
        transaction(message)
    );
    stream.write_all(head.as_bytes())?;
    io::copy(&mut io::BufReader::with_capacity(60 * 1024, message.raw_reader()), stream)?;
    Ok(())
}

/// What rspamd wants to know besides the message.
fn transaction(message: &Message) -> String {
    let client = message.client();
    let mut fields = vec![
        ("IP", client.address),
        ("Helo", client.helo),
        ("Hostname", client.hostname),
        ("User", client.auth_user),
        ("Queue-Id", message.queue_id()),
        ("TLS-Version", client.tls_version),
        ("TLS-Cipher", client.tls_cipher),
        ("From", format!("<{}>", message.sender().address)),
    ];
    fields.extend(message.recipients().into_iter().map(|recipient| ("Rcpt", recipient.address)));
    let lines = fields.into_iter().filter(|(_, value)| !value.is_empty());
    lines.map(|(name, value)| format!("{name}: {}\r\n", one_line(&value))).collect()
}

/// Values come from the SMTP client: nothing in them may end the line.
fn one_line(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).collect()
}

fn read_answer(status: u16, body: &[u8]) -> Result<Report, String> {
    let answer: Result<Answer, _> = serde_json::from_slice(body);
    match answer {
        Ok(Answer { error: Some(error), .. }) => Err(format!("status {status}: {error}")),
        _ if status != 200 => Err(format!("status {status}")),
        Ok(Answer { score: Some(score), action, symbols, .. }) if score.is_finite() => {
            Ok(Report { engine: "rspamd", score, action, symbols: symbols.into_keys().collect() })
        }
        Ok(_) => Err("the answer has no score".to_owned()),
        Err(error) => Err(format!("the answer is not as expected: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let body = br#"{"is_skipped":false,"score":7.25,"required_score":15.0,"action":"add header",
            "symbols":{"GTUBE":{"name":"GTUBE","score":0},"DATE_IN_PAST":{"score":1.0}},"messages":{}}"#;
        let report = read_answer(200, body).unwrap();
        assert!((report.score - 7.25).abs() < 1e-9);
        assert_eq!(report.action, "add header");
        assert_eq!(report.symbols, ["DATE_IN_PAST", "GTUBE"]);
    }

    #[test]
    fn errors_are_told() {
        assert_eq!(read_answer(403, br#"{"error":"unauthorized"}"#).unwrap_err(), "status 403: unauthorized");
        assert_eq!(read_answer(502, b"<html>").unwrap_err(), "status 502");
        assert!(read_answer(200, b"{}").is_err());
    }

    #[test]
    fn the_request_can_not_be_split_by_what_a_client_said() {
        let message = Message::parse(b"Subject: x\n\ny\n").with_client(|client| {
            client.helo = "a\r\nIP: 127.0.0.1\r\n\r\n".to_owned();
        });
        let fields = transaction(&message);
        assert!(fields.contains("Helo: aIP: 127.0.0.1\r\n"), "{fields}");
        assert_eq!(fields.matches("\r\n").count(), fields.lines().count());
    }
}
