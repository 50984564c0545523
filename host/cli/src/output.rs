//! Writing to the terminal.

use std::io::{self, ErrorKind, Write};

/// Writes a result to standard output.
///
/// # Errors
/// When it can not be written. That nobody reads it to the end (`| head`) is none.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Writes to standard error why a command did not work. There is nobody left to tell when that does not work either.
pub(crate) fn complain(text: &str) {
    let mut out = io::stderr().lock();
    let _unheard = out.write_all(format!("wasmilter: {}\n", text.trim_end()).as_bytes()).is_err();
}
