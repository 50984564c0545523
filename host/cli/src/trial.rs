//! `wasmilter try`

use crate::{
    configuration::{Configuration, block_on, start_quiet_log},
    explain::Explanation,
    json, output,
};
use anyhow::{Context, Result};
use std::{
    fs::File,
    io::{self, Read, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};
use wasmilter_app::{
    App,
    trial::{Outcome, Trial},
};
use wasmilter_message::{
    client::{Authentication, Client},
    decision::Verdict,
    eml,
    envelope::Mailbox,
    message::{ParsedMessage, ReceivedMessage},
};

/// Run one message through the pipeline, without any mail server, and explain every stage.
///
/// The stages are asked as a mail server would have them asked: at connect, HELO, MAIL and RCPT where a plugin wants it,
/// then for the whole message. Services that are granted are really asked; nothing is delivered.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  wasmilter try --config wasmilter.toml message.eml
  wasmilter try --client 203.0.113.7 --helo mx.example.org --from a@example.org --rcpt b@example.com message.eml
  wasmilter try --auth alice --output changed.eml message.eml
  wasmilter try --json - < message.eml | jq -r '.verdict, .stages[].name'

With --json prints one object: `verdict` (accept, reject, tempfail, discard, quarantine), `reply` (what the SMTP client is told), \
`stages` (array of `name`, `plugin`, `condition`, `ran`, `shadow`, `verdict`, `edits`, `facts`, `failure`, `microseconds`; of those in a group \
also `group` and `dropped`), \
`modifications` (what the mail server is asked to change), `hooks`, `failure`, `microseconds`, and `route` where routes are configured.

Exit codes: 0 there is a verdict, whichever; 1 the configuration has mistakes, or a file can not be read or written; 2 the command line \
was wrong.")]
pub(crate) struct Try {
    #[command(flatten)]
    configuration: Configuration,
    #[command(flatten)]
    sender: Sender,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write the message as it would leave: lines ended as in the input, and an untouched message byte for byte. Nothing
    /// is written when it would not leave (reject, tempfail, discard)
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// File with the message; - reads standard input. An mbox line (From …) at the top is left out
    #[arg(value_name = "MESSAGE.eml")]
    message: PathBuf,
}

/// Who sends the message, to whom: the SMTP transaction that a message is tried in.
#[derive(Debug, clap::Args)]
pub(crate) struct Sender {
    /// IP address of the client
    #[arg(long, value_name = "IP", default_value = "192.0.2.1")]
    client: IpAddr,
    /// Host name that the mail server verified for the client [default: none]
    #[arg(long, value_name = "NAME")]
    client_name: Option<String>,
    /// Name that the client gives at HELO [default: the client's name, otherwise its address in brackets]
    #[arg(long, value_name = "NAME")]
    helo: Option<String>,
    /// Envelope sender, empty for bounces [default: from Return-Path, otherwise From]
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Envelope recipient; may be given several times [default: from To, Cc and Bcc, otherwise postmaster]
    #[arg(long, value_name = "ADDRESS")]
    rcpt: Vec<String>,
    /// User name that the client authenticated with (SMTP AUTH)
    #[arg(long, value_name = "USER")]
    auth: Option<String>,
}

impl Try {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let source = self.configuration.source()?;
        start_quiet_log(Some(&source))?;
        let original = read(&self.message)?;
        let trial = self.sender.trial(&original);
        let app = App::build_aside(&source)?;
        let outcome = block_on(app.try_message(trial))?;
        if let Some(file) = &self.output {
            write_message(file, &original, &outcome)?;
        }
        match self.json {
            true => output::print(&format!("{:#}\n", json::outcome(&outcome)))?,
            false => output::print(&Explanation(&outcome).to_string())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Sender {
    /// The message, in the transaction that the options describe.
    pub(crate) fn trial(&self, original: &[u8]) -> Trial {
        let (headers, body) = eml::read(original);
        let parsed = ParsedMessage::new(ReceivedMessage { headers: headers.clone(), ..ReceivedMessage::default() });
        let name = self.client_name.clone().filter(|name| !name.is_empty());
        let helo = self.helo.clone().or_else(|| name.clone()).unwrap_or_else(|| match self.client {
            IpAddr::V4(address) => format!("[{address}]"),
            IpAddr::V6(address) => format!("[IPv6:{address}]"),
        });
        let auth = self.auth.clone().map(|user| Authentication { user, mechanism: "PLAIN".to_owned() });
        let client = Client { address: Some(self.client), hostname: name, helo: Some(helo), auth, ..Client::default() };
        Trial { client, sender: self.sender(&parsed), recipients: self.recipients(&parsed), headers, body }
    }

    fn sender(&self, message: &ParsedMessage) -> Mailbox {
        if let Some(from) = &self.from {
            return in_brackets(from);
        }
        // A Return-Path of <> is the null sender, not a missing one.
        if let Some(path) = message.header_text("Return-Path").first() {
            return in_brackets(path);
        }
        let from = message.header_addresses("From").into_iter().next();
        in_brackets(&from.map_or_else(String::new, |(_, address)| address))
    }

    fn recipients(&self, message: &ParsedMessage) -> Vec<Mailbox> {
        if !self.rcpt.is_empty() {
            return self.rcpt.iter().map(|address| in_brackets(address)).collect();
        }
        let named = ["To", "Cc", "Bcc"].into_iter().flat_map(|name| message.header_addresses(name));
        let mut recipients: Vec<Mailbox> = Vec::new();
        for (_, address) in named {
            let mailbox = in_brackets(&address);
            if !address.is_empty() && !recipients.iter().any(|known| known.same_address(&mailbox)) {
                recipients.push(mailbox);
            }
        }
        if recipients.is_empty() {
            recipients.push(in_brackets("postmaster"));
        }
        recipients
    }
}

/// As a client writes it in an SMTP command.
fn in_brackets(address: &str) -> Mailbox {
    Mailbox::new(format!("<{}>", Mailbox::new(address).address()))
}

/// Reads a message, `-` from standard input.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).context("reading the message from standard input")?;
        return Ok(bytes);
    }
    std::fs::read(path).with_context(|| format!("reading the message {}", path.display()))
}

fn write_message(file: &Path, original: &[u8], outcome: &Outcome) -> Result<()> {
    let leaves = |verdict: &Verdict| matches!(verdict, Verdict::Next | Verdict::Accept | Verdict::Quarantine { .. });
    let Some(judged) = outcome.judged.as_ref().filter(|judged| leaves(&judged.verdict)) else {
        output::complain(&format!("{}: not written, the message does not leave ({})", file.display(), outcome.verdict));
        return Ok(());
    };
    let bytes = match content_changed(&judged.received, &judged.message) {
        false => original.to_vec(),
        true => {
            let mut bytes = Vec::new();
            judged.message.write_to(&mut bytes)?;
            if has_lf_lines(original) { without_cr(&bytes) } else { bytes }
        }
    };
    let mut out = File::create(file).with_context(|| format!("writing {}", file.display()))?;
    out.write_all(&bytes).with_context(|| format!("writing {}", file.display()))
}

fn content_changed(received: &ParsedMessage, message: &ParsedMessage) -> bool {
    received.headers != message.headers || received.body != message.body
}

/// Whether the first line of the file ends by LF alone.
fn has_lf_lines(original: &[u8]) -> bool {
    original.split_inclusive(|byte| *byte == b'\n').next().is_some_and(|line| !line.ends_with(b"\r\n"))
}

fn without_cr(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line {
            [text @ .., b'\r', b'\n'] => {
                out.extend_from_slice(text);
                out.push(b'\n');
            }
            text => out.extend_from_slice(text),
        }
    }
    out
}
