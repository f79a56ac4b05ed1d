//! The notice and the warnings, kept until Python asks for them.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex};

use tracing::Level;

/// Most lines that wait. A run has one notice and a warning for each mistake.
const LINES: usize = 32;

/// Most attempts to take the lock.
const TRIES: u32 = 100;

/// Lines for people with their level. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notices(Arc<Mutex<VecDeque<(Level, String)>>>);

impl Notices {
    /// Keeps a line until Python asks for it. Lines beyond the limit are lost.
    ///
    /// In a forked child a thread that does not exist there may hold the lock for ever, so that a line is lost if the lock
    /// is not free soon. Other threads hold it for a moment only.
    pub(crate) fn tell(&self, level: Level, line: &str) {
        for _ in 0..TRIES {
            if let Ok(mut lines) = self.0.try_lock() {
                if lines.len() < LINES {
                    lines.push_back((level, line.to_owned()));
                }
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Returns what waits: the level as Python's `logging` names it, and the line. Like [`Notices::tell`] it does not wait
    /// for the lock.
    pub(crate) fn take(&self) -> Vec<(&'static str, String)> {
        let Ok(mut lines) = self.0.try_lock() else { return Vec::new() };
        lines.drain(..).map(|(level, line)| (name(level), line)).collect()
    }
}

thread_local! {
    /// The place of the last panic of this thread.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// Keeps panics of ours away from the engine's stderr. No other library of Rust is concerned, because each has a hook of
/// its own.
pub(crate) fn keep_panics() {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let place = panic.location().map(ToString::to_string);
        // At the end of a thread there is nothing left to keep it in.
        let _ = PLACE.try_with(|last| last.set(place));
    }));
}

/// Returns the place of the last panic of this thread.
pub(crate) fn last_panic() -> String {
    PLACE.take().unwrap_or_else(|| "an unknown place".to_owned())
}

const fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}
