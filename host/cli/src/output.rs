//! Writing to the terminal.

use std::{
    env,
    io::{self, ErrorKind, IsTerminal, Write},
    path::{Display, Path},
};

/// Writes a result to standard output.
///
/// # Errors
/// When it can not be written. That nobody reads it to the end (`| head`) is none.
pub(crate) fn print(text: &str) -> io::Result<()> {
    print_whole(text).map(|_| ())
}

/// The same; false when nobody reads any more.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_whole(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes to standard error why a command did not work.
pub(crate) fn complain(text: &str) {
    tell(&format!("wasmilter: {}", text.trim_end()));
}

/// Says on standard error what is being done, when somebody watches.
pub(crate) fn say(text: &str) {
    if io::stderr().is_terminal() {
        tell(text);
    }
}

/// Writes a line to standard error. There is nobody left to tell when that does not work.
pub(crate) fn tell(text: &str) {
    let mut out = io::stderr().lock();
    let _unheard = out.write_all(format!("{text}\n").as_bytes()).is_err();
}

/// A path as a person would type it here: relative to the current directory when it is below it.
pub(crate) fn near(path: &Path) -> Display<'_> {
    let here = env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display()
}
