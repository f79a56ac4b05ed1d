//! The two things this crate ever says by itself: the notice before the first byte leaves, and one
//! warning for each mistake in the operator's settings.
//!
//! In: a level and a text. Out: the host's callback if it gave one, else a `tracing` event if
//! somebody listens, else stderr; never stdout, which belongs to the engine.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use tracing::Level;

/// How the host wants to be told.
pub(crate) type Callback = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// Speaks for one `Usage`.
#[derive(Clone, Default)]
pub(crate) struct Voice {
    callback: Option<Callback>,
}

impl fmt::Debug for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Voice").field("callback", &self.callback.is_some()).finish()
    }
}

/// Contracts whose notice was given in this process.
static NOTICED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl Voice {
    pub(crate) const fn new(callback: Option<Callback>) -> Self {
        Self { callback }
    }

    pub(crate) fn warn(&self, text: &str) {
        self.say(Level::WARN, text);
    }

    /// Says once per process and contract what is sent where, how to see it and how to stop it.
    pub(crate) fn notice(&self, contract: &str, system: &str, destinations: &[String]) {
        let first = NOTICED.lock().is_ok_and(|mut noticed| noticed.insert(contract.to_owned()));
        if first {
            self.say(
                Level::INFO,
                &format!(
                    "{system} reports anonymous usage data (hardware and settings) to {}.\n\
                     See it: otel-usage preview, otel-usage status\n\
                     Stop it: DO_NOT_TRACK=1, or otel-usage off",
                    destinations.join(" and "),
                ),
            );
        }
    }

    fn say(&self, level: Level, text: &str) {
        if let Some(callback) = &self.callback {
            callback(level, text);
            return;
        }
        // Not our own target: the layer would take the event for a report.
        if level == Level::WARN
            && tracing::event_enabled!(target: "otel_usage::notice", Level::WARN)
        {
            tracing::warn!(target: "otel_usage::notice", "{text}");
        } else if level == Level::INFO
            && tracing::event_enabled!(target: "otel_usage::notice", Level::INFO)
        {
            tracing::info!(target: "otel_usage::notice", "{text}");
        } else {
            // A closed stderr is no reason to fail.
            let _ = writeln!(std::io::stderr(), "otel-usage: {text}");
        }
    }
}
