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
    let (sender, receiver) = mpsc::channel();
    // A thread that hangs ends with the process.
    thread::Builder::new().name("look".to_owned()).spawn(move || {
        // Nobody listens after the time limit.
        let _ = sender.send(builder.inspect());
    })?;
    let found = receiver.recv_timeout(WAIT).map_err(|_| {
        anyhow!(
            "the files that may switch collection off did not answer within {} s: check the mounts of the \
             home directory; engines that start now wait for the same files",
            WAIT.as_secs()
        )
    })?;
    Ok(found?)
}
