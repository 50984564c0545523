//! An SMTP client (RFC 5321) that does one command at a time and says exactly what was answered.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// No answer of a test server takes this long, the slowest plugin included.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection to an SMTP server.
#[derive(Debug)]
pub struct SmtpClient {
    stream: BufReader<TcpStream>,
    /// What the server greeted with.
    pub banner: Reply,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Reply code; 0 when the server closed the connection instead of answering.
    pub code: u16,
    /// The lines, without the code and the separator behind it.
    pub lines: Vec<String>,
}

impl Reply {
    /// All text in one line.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// Panics unless the code is this one.
    #[track_caller]
    pub fn expect(self, code: u16) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.code, self.text())
    }
}

impl SmtpClient {
    /// Connects, reads the greeting and says EHLO.
    #[must_use]
    pub fn connect(to: SocketAddr) -> Self {
        let mut client = Self::connect_silent(to);
        client.banner.clone().expect(220);
        client.command("EHLO client.example.net").expect(250);
        client
    }

    /// Connects and reads the greeting.
    #[must_use]
    pub fn connect_silent(to: SocketAddr) -> Self {
        let stream =
            TcpStream::connect_timeout(&to, PATIENCE).unwrap_or_else(|error| panic!("connecting {to}: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self { stream: BufReader::new(stream), banner: Reply { code: 0, lines: Vec::new() } };
        client.banner = client.reply();
        client
    }

    /// Sends a line and reads the answer.
    pub fn command(&mut self, line: &str) -> Reply {
        self.write(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// A transaction up to and including DATA; panics unless all of it is accepted.
    #[track_caller]
    pub fn begin(&mut self, from: &str, to: &[&str]) {
        self.command(&format!("MAIL FROM:<{from}>")).expect(250);
        for recipient in to {
            self.command(&format!("RCPT TO:<{recipient}>")).expect(250);
        }
        self.command("DATA").expect(354);
    }

    /// A whole transaction; gives what was answered at the final dot.
    #[track_caller]
    pub fn send(&mut self, from: &str, to: &[&str], message: &[u8]) -> Reply {
        self.begin(from, to);
        self.content(message);
        self.reply()
    }

    /// Sends the message and the final dot. Every line must end with CRLF.
    pub fn content(&mut self, message: &[u8]) {
        let mut wire = Vec::with_capacity(message.len() + 512);
        for line in message.split_inclusive(|&byte| byte == b'\n') {
            if line.starts_with(b".") {
                wire.push(b'.');
            }
            wire.extend_from_slice(line);
        }
        if !wire.is_empty() && !wire.ends_with(b"\r\n") {
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b".\r\n");
        self.write(&wire);
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        // A server that refused and closed shows in the reply that comes next.
        let _closed = self.stream.get_mut().write_all(bytes);
    }

    /// Reads an answer.
    pub fn reply(&mut self) -> Reply {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            match self.stream.read_until(b'\n', &mut line) {
                Ok(0) => return Reply { code: 0, lines },
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Reply { code: 0, lines },
                Err(error) => panic!("waiting for an answer: {error}"),
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                let code = line.get(..3).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("reply {line:?}"));
                return Reply { code, lines };
            }
        }
    }

    /// Says QUIT.
    pub fn quit(mut self) {
        self.command("QUIT");
    }

    /// Closes the connection at once, whatever is under way.
    pub fn vanish(self) {
        drop(self);
    }
}
