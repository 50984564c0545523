//! `wasmilter tap`

use crate::{
    admin::{self, Admin},
    output,
};
use anyhow::{Context, Result, bail};
use std::{process::ExitCode, time::Duration};

/// Show the decisions of a running daemon as they happen, as lines of JSON.
///
/// Each line is one message, or one question at an envelope hook: when, the host's id and the mail server's queue id, the verdict, the
/// size and the time, and of each stage its verdict, why it failed, the limit it hit, the kinds of its edits, and what it cost. Nothing
/// of the message itself is in it: no address, no header field, no content, no reply text, no fact.
///
/// The daemon does nothing for it while nobody listens, and mail never waits for a listener: who reads too slowly loses lines, and a line
/// {"lost": N} says how many.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  wasmilter tap                                        everything
  wasmilter tap --stage virus --verdict reject         what the stage virus rejects
  wasmilter tap --failure any                          whatever fails, and why
  wasmilter tap --queue-id 4bYk3x1Dz9                  one message, when it comes again
  wasmilter tap | jq -c 'select(.microseconds > 1e6)'  slow ones

The filters are all that must hold. With --stage, --verdict and --failure are those of that stage, otherwise of the message (a \
failure: of any stage, or of the host itself).

Exit codes: 0 done, or the daemon ended; 1 the daemon can not be reached, or does not know the filter; 2 the command line was wrong.")]
pub(crate) struct Tap {
    #[command(flatten)]
    daemon: Admin,
    /// Only messages that this stage decided about or failed at
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// Only this verdict: next (of a stage or hook), accept, reject, tempfail, discard, quarantine
    #[arg(long)]
    verdict: Option<String>,
    /// Only failures of this cause (timeout, trap, memory, …), or any
    #[arg(long, value_name = "CAUSE")]
    failure: Option<String>,
    /// Only the message with this queue id
    #[arg(long, value_name = "ID")]
    queue_id: Option<String>,
    /// End after so many lines
    #[arg(long, value_name = "N")]
    count: Option<usize>,
}

/// The daemon sends an empty line when there is nothing to tell for a while.
const SILENCE: Duration = Duration::from_secs(60);

impl Tap {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let address = self.daemon.address()?;
        let answer = admin::ask(address, "GET", &format!("/tap?{}", self.query()), SILENCE)?;
        if answer.status != 200 {
            bail!("{}", answer.text()?.trim_end());
        }
        output::say(&format!("listening to {address}"));
        let lines = answer.lines().filter(|line| !matches!(line, Ok(line) if line.is_empty()));
        for line in lines.take(self.count.unwrap_or(usize::MAX)) {
            let line = line.context("listening to the daemon")?;
            if !output::print_whole(&format!("{line}\n"))? {
                break;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn query(&self) -> String {
        let filters = [
            ("stage", &self.stage),
            ("verdict", &self.verdict),
            ("failure", &self.failure),
            ("queue_id", &self.queue_id),
        ];
        let pairs = filters.iter().filter_map(|(key, value)| Some(format!("{key}={}", encoded(value.as_ref()?))));
        pairs.collect::<Vec<_>>().join("&")
    }
}

/// For the query of a URL (RFC 3986 §2.1).
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_query_is_encoded() {
        assert_eq!(encoded("4bYk3x-1_a.b~"), "4bYk3x-1_a.b~");
        assert_eq!(encoded("a&b=c d%ä\r\n"), "a%26b%3Dc%20d%25%C3%A4%0D%0A");
    }
}
