//! Running a language's tools: with a bound, with nothing on standard input, and with what they print kept for the case
//! that they fail. They stay in our process group, so that Ctrl-C ends them together with us.

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

/// How long a tool may run.
#[derive(Debug, Clone, Copy)]
pub struct Limit(pub Duration);

impl Default for Limit {
    /// Long enough for a first build that downloads and compiles everything on a slow machine.
    fn default() -> Self {
        Self(Duration::from_secs(20 * 60))
    }
}

/// A tool did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It could not be started.
    #[error("starting {command}: {source}")]
    Start {
        /// The command line.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// It said that something is wrong.
    #[error("{command} ended with {status}{}", said(output))]
    Status {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines that it printed.
        output: String,
    },
    /// It took too long and was ended.
    #[error("{command} took more than {} seconds and was ended{}", limit.as_secs(), said(output))]
    TimedOut {
        /// The command line.
        command: String,
        /// How long it was given.
        limit: Duration,
        /// The last lines that it printed.
        output: String,
    },
}

fn said(output: &str) -> String {
    if output.trim().is_empty() { String::new() } else { format!(":\n{}", output.trim_end()) }
}

/// Lines kept of what a tool prints. Compilers say the cause first: a screenful of it must be left.
const LINES: usize = 60;
/// Characters kept of one line.
const LINE: usize = 2000;
/// Longer lines are cut into several.
const WHOLE_LINE: u64 = 1 << 20;
/// What a tool may print for us to read.
const CAPTURED: u64 = 64 << 20;
/// How often the bound is looked at while nothing is printed.
const TICK: Duration = Duration::from_millis(50);
/// After a tool has ended, how long its output is waited for: a process that it left behind may hold it open.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// Runs a tool; each line that it prints is shown to `line`, which says whether it is meant for people: those are told when the
/// tool fails.
pub(crate) fn run(mut command: Command, limit: Limit, line: &dyn Fn(&str) -> bool) -> Result<(), Failed> {
    let shown = show(&command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|source| Failed::Start { command: shown.clone(), source })?;
    let (sender, lines) = mpsc::channel();
    forward(child.stdout.take(), sender.clone());
    forward(child.stderr.take(), sender);
    let mut last = VecDeque::new();
    let mut keep = |text: String| {
        if !line(&text) {
            return;
        }
        if last.len() == LINES {
            last.pop_front();
        }
        last.push_back(text.chars().take(LINE).collect());
    };
    let status = wait(&mut child, limit, &lines, &mut keep);
    let output = last.into_iter().collect::<Vec<String>>().join("\n");
    match status.map_err(|source| Failed::Start { command: shown.clone(), source })? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Failed::Status { command: shown, status, output }),
        None => Err(Failed::TimedOut { command: shown, limit: limit.0, output }),
    }
}

/// Runs a tool and gives what it printed on standard output, or on standard error when that was nothing.
pub(crate) fn capture(mut command: Command, limit: Duration) -> Result<String, Failed> {
    let shown = show(&command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = |source| Failed::Start { command: shown.clone(), source };
    let mut child = command.spawn().map_err(start)?;
    let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let nothing = mpsc::channel().1;
    let status = wait(&mut child, Limit(limit), &nothing, &mut |_| {}).map_err(start)?;
    let text = |pipe: Receiver<Vec<u8>>| {
        String::from_utf8_lossy(&pipe.recv_timeout(OUTPUT_GRACE).unwrap_or_default()).into_owned()
    };
    let (out, err) = (text(out), text(err));
    match status {
        Some(status) if status.success() => Ok(if out.trim().is_empty() { err } else { out }),
        Some(status) => Err(Failed::Status { command: shown, status, output: err }),
        None => Err(Failed::TimedOut { command: shown, limit, output: err }),
    }
}

/// Waits for the end and hands on lines; None: the time was over, and the tool was ended.
fn wait(
    child: &mut Child,
    limit: Limit,
    lines: &Receiver<String>,
    keep: &mut dyn FnMut(String),
) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit.0;
    let status = loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => keep(line),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => thread::sleep(TICK),
        }
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            break None;
        }
    };
    let grace = Instant::now() + OUTPUT_GRACE;
    while let Ok(line) = lines.recv_timeout(grace.saturating_duration_since(Instant::now())) {
        keep(line);
    }
    Ok(status)
}

/// Sends what comes out of a pipe line by line, from a thread of its own that ends with the pipe.
fn forward(pipe: Option<impl Read + Send + 'static>, sender: Sender<String>) {
    let Some(pipe) = pipe else { return };
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        loop {
            let mut line = Vec::new();
            match reader.by_ref().take(WHOLE_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                    if sender.send(text).is_err() {
                        return;
                    }
                }
            }
        }
    });
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    if let Some(pipe) = pipe {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // What came before an error is all there is; a receiver that is gone does not want it any more.
            let _broken = pipe.take(CAPTURED).read_to_end(&mut bytes).is_err();
            let _gone = sender.send(bytes).is_err();
        });
    }
    receiver
}

/// The command line as a person would type it: without the environment, and not longer than a few lines.
fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    line.chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_tool_that_fails_is_quoted() {
        let error = run(shell("echo one; echo two >&2; exit 3"), Limit::default(), &|_| true).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Failed::Status { .. }));
        assert!(text.contains("one") && text.contains("two") && text.contains('3'), "{text}");
    }

    #[test]
    fn a_tool_that_hangs_is_ended() {
        let before = Instant::now();
        let error = run(shell("echo begun; exec sleep 600"), Limit(Duration::from_millis(300)), &|_| true).unwrap_err();
        assert!(matches!(&error, Failed::TimedOut { output, .. } if output == "begun"), "{error}");
        assert!(before.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn lines_are_shown_as_they_come_and_the_last_are_kept() {
        let seen = RefCell::new(0);
        run(shell("seq 1 500"), Limit::default(), &|_| {
            *seen.borrow_mut() += 1;
            true
        })
        .unwrap();
        assert_eq!(*seen.borrow(), 500);
        let error = run(shell("seq 1 500; exit 1"), Limit::default(), &|_| true).unwrap_err().to_string();
        assert!(error.ends_with("\n500") && !error.contains("\n1\n"), "{error}");
    }

    #[test]
    fn what_is_captured_is_standard_output() {
        assert_eq!(capture(shell("echo out; echo err >&2"), Duration::from_secs(60)).unwrap(), "out\n");
        assert_eq!(capture(shell("echo err >&2"), Duration::from_secs(60)).unwrap(), "err\n");
    }
}
