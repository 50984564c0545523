//! Where mail ends up: an SMTP server (RFC 5321) that accepts everything and remembers envelope and exact bytes.

use crate::wait;
use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// How long a test waits for mail that must arrive.
const DELIVERY: Duration = Duration::from_secs(60);

/// The server. Lives as long as the test binary.
#[derive(Debug, Clone)]
pub struct Sink {
    address: SocketAddr,
    delivered: Arc<Mutex<Vec<Delivery>>>,
}

/// A message as it was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Sender without angle brackets.
    pub from: String,
    /// ESMTP arguments of MAIL FROM.
    pub from_arguments: String,
    /// Recipients without angle brackets, in order.
    pub to: Vec<String>,
    /// The message; lines end with CRLF.
    pub message: Vec<u8>,
}

impl Sink {
    /// Starts one on loopback.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sink = Self { address: listener.local_addr().unwrap(), delivered: Arc::default() };
        let accepting = sink.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sink = accepting.clone();
                thread::spawn(move || sink.serve(&stream));
            }
        });
        sink
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the message with this recipient among its recipients, and takes it out.
    #[track_caller]
    #[must_use]
    pub fn take(&self, recipient: &str) -> Delivery {
        wait::until(&format!("mail for {recipient}"), DELIVERY, || self.take_now(recipient))
    }

    /// The message with this recipient, if it is here already.
    #[must_use]
    pub fn take_now(&self, recipient: &str) -> Option<Delivery> {
        let mut delivered = self.delivered.lock().unwrap();
        let index = delivered.iter().position(|delivery| delivery.to.iter().any(|to| to == recipient))?;
        Some(delivered.remove(index))
    }

    /// How many messages are here.
    #[must_use]
    pub fn count(&self) -> usize {
        self.delivered.lock().unwrap().len()
    }

    fn serve(&self, stream: &TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut answer = stream;
        let mut lines = BufReader::new(stream);
        let mut delivery = empty();
        answer.write_all(b"220 sink.example.org ESMTP\r\n").ok()?;
        loop {
            let line = line(&mut lines)?;
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            let reply = match verb.as_str() {
                "EHLO" => {
                    "250-sink.example.org\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 SIZE\r\n"
                }
                "MAIL" => {
                    let (address, arguments) = path(&line);
                    delivery = Delivery { from: address, from_arguments: arguments, ..empty() };
                    "250 2.1.0 Ok\r\n"
                }
                "RCPT" => {
                    delivery.to.push(path(&line).0);
                    "250 2.1.5 Ok\r\n"
                }
                "DATA" => {
                    answer.write_all(b"354 Go on\r\n").ok()?;
                    delivery.message = content(&mut lines)?;
                    self.delivered.lock().unwrap().push(delivery);
                    delivery = empty();
                    "250 2.0.0 Ok\r\n"
                }
                "RSET" => {
                    delivery = empty();
                    "250 2.0.0 Ok\r\n"
                }
                "QUIT" => {
                    answer.write_all(b"221 2.0.0 Bye\r\n").ok()?;
                    return None;
                }
                "HELO" | "NOOP" => "250 2.0.0 Ok\r\n",
                _ => "502 5.5.2 Unknown command\r\n",
            };
            answer.write_all(reply.as_bytes()).ok()?;
        }
    }
}

fn empty() -> Delivery {
    Delivery { from: String::new(), from_arguments: String::new(), to: Vec::new(), message: Vec::new() }
}

fn line(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).ok().filter(|&length| length > 0)?;
    Some(line)
}

/// Reads up to the final dot and takes the dot-stuffing (RFC 5321 §4.5.2) out.
fn content(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    let mut after_crlf = true;
    loop {
        let line = line(stream)?;
        if after_crlf && line == b".\r\n" {
            return Some(message);
        }
        let stuffed = after_crlf && line.starts_with(b".");
        message.extend_from_slice(if stuffed { &line[1..] } else { &line });
        after_crlf = line.ends_with(b"\r\n");
    }
}

/// Address and arguments of `MAIL FROM:<a@b> X=1` or `RCPT TO:<a@b>`.
fn path(line: &str) -> (String, String) {
    let (_, rest) = line.split_once('<').unwrap_or_default();
    let (address, arguments) = rest.rsplit_once('>').unwrap_or_default();
    (address.to_owned(), arguments.trim().to_owned())
}
