//! What the command says. In: finished text. Out: bytes on standard output or standard error.
//!
//! A reader that has seen enough (`otel-usage preview | head`) is no failure.

use std::io::{self, ErrorKind, Write as _};

use anyhow::anyhow;

/// Writes `text` to standard output.
///
/// All output of a command comes in one piece, so its exit code is known before the first byte and
/// does not depend on the reader.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow!("standard output: {error}: send it elsewhere, or make room"))
        }
        _ => Ok(()),
    }
}

/// Says one line on standard error.
pub(crate) fn note(text: &str) {
    // With a closed standard error there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "otel-usage: {text}");
}

/// Says what went wrong, in one line.
pub(crate) fn error(error: &anyhow::Error) {
    note(&format!("{error:#}"));
}
