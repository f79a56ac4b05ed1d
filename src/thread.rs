//! Starts the threads of the library: their stacks and their signals do not depend on the engine.

use std::io;
use std::thread::{Builder, JoinHandle};

use crate::sys::{NoSignals, QuietSignals};

/// Bytes of the stack of each thread, whatever `RUST_MIN_STACK` says.
///
/// Reading the machine takes between 128 and 256 KiB in a debug build, and is the deepest path of our own.
/// TLS, exporters of the engine and the drivers of accelerators run on these threads too. Only pages that
/// are used take memory.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Starts a thread on which no handler of the engine ever runs, and a write that fails raises no signal.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    // A thread begins with the signals that its maker blocks.
    let _inherited = NoSignals::begin();
    Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(move || {
        let _quiet = QuietSignals::begin();
        run();
    })
}
