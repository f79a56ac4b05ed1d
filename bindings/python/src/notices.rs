//! The notice and the warnings, kept until Python asks for them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Level;

/// Most lines that wait. A run has one notice and a warning for each mistake.
const LINES: usize = 32;

/// Lines for people with their level. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notices(Arc<Mutex<VecDeque<(Level, String)>>>);

impl Notices {
    /// Keeps a line until Python asks for it. Lines beyond the limit are lost.
    pub(crate) fn tell(&self, level: Level, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < LINES {
            lines.push_back((level, line.to_owned()));
        }
    }

    /// Returns what waits: the level as Python's `logging` names it, and the line. In a forked child a thread
    /// that does not exist there may hold the lock, so this call does not wait for it.
    pub(crate) fn take(&self) -> Vec<(&'static str, String)> {
        let Ok(mut lines) = self.0.try_lock() else { return Vec::new() };
        lines.drain(..).map(|(level, line)| (name(level), line)).collect()
    }
}

const fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}
