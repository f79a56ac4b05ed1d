//! Writes the output of the command to standard output and its messages to standard error.

use std::io::{self, ErrorKind, Write as _};

use anyhow::anyhow;

/// Writes `text` to standard output. A closed pipe (`otel-usage preview | head`) is not a failure.
///
/// A command writes all of its output at once, so that its exit code does not depend on the reader.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow!("standard output: {error}: redirect it, or free space"))
        }
        _ => Ok(()),
    }
}

/// Writes one line to standard error.
pub(crate) fn note(text: &str) {
    // A closed standard error leaves no place for this message.
    let _ = writeln!(io::stderr().lock(), "otel-usage: {text}");
}

/// Writes an error with its causes to standard error, as one line.
pub(crate) fn error(error: &anyhow::Error) {
    note(&format!("{error:#}"));
}
