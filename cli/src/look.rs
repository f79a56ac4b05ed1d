//! Looks at what an engine would do here, within a time limit.
//!
//! The files of the switches may be below a network mount whose server is gone, and a read there cannot be
//! cancelled. The command then says so instead of waiting for ever.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use otel_usage::Builder;
use otel_usage::settings::Inspection;

/// Longer than the library waits for the files that variables name.
const WAIT: Duration = Duration::from_secs(8);

/// Returns what an engine with the settings of `builder` would do here.
pub(crate) fn look(builder: Builder) -> anyhow::Result<Inspection> {
    let what = "the files that may switch collection off";
    let found = within(what, move || builder.inspect())
        .map_err(|error| anyhow!("{error}; engines that start now wait for the same files"))?;
    Ok(found?)
}

/// Returns the result of `read`, which reads files. `what` names them in the error.
pub(crate) fn within<T: Send + 'static>(
    what: &str,
    read: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, receiver) = mpsc::channel();
    // A thread that hangs ends with the process.
    thread::Builder::new().name("look".to_owned()).spawn(move || {
        // After the time limit the result is not read.
        let _ = sender.send(read());
    })?;
    receiver.recv_timeout(WAIT).map_err(|_| {
        let seconds = WAIT.as_secs();
        anyhow!("{what} did not answer within {seconds} s: check the mounts of the home directory")
    })
}
