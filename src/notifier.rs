//! Tells the host about the notice and about mistakes in the operator's settings.
//!
//! The notice is given before the first byte leaves, and each mistake is one warning. Both go to the
//! host's callback, else to `tracing` if a subscriber listens, else to stderr. Stdout belongs to the
//! engine.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use tracing::Level;

use crate::sys::QuietSignals;

/// The host's function for notices and warnings.
pub(crate) type Callback = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// Gives the notice and the warnings of one `Usage`.
#[derive(Clone, Default)]
pub(crate) struct Notifier {
    callback: Option<Callback>,
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("callback", &self.callback.is_some()).finish()
    }
}

/// The contracts whose notice was given in this process.
static NOTICED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl Notifier {
    pub(crate) const fn new(callback: Option<Callback>) -> Self {
        Self { callback }
    }

    pub(crate) fn warn(&self, text: &str) {
        self.tell(Level::WARN, text);
    }

    /// Gives the notice of a contract once per process: what is sent where, how to see it, how to
    /// stop it.
    pub(crate) fn notice(&self, contract: &str, system: &str, destinations: &[String]) {
        let first = NOTICED.lock().is_ok_and(|mut noticed| noticed.insert(contract.to_owned()));
        if first {
            self.tell(
                Level::INFO,
                &format!(
                    "{system} reports usage data (hardware, settings; no names or addresses) to {}: CPU, \
                     memory, accelerators, system, cloud provider, version, settings, counts of use.\n\
                     See it: otel-usage preview, otel-usage status\n\
                     Stop it: DO_NOT_TRACK=1, or otel-usage off",
                    destinations.join(" and "),
                ),
            );
        }
    }

    fn tell(&self, level: Level, text: &str) {
        // The target is not `otel_usage`, because the layer would take the event for a record.
        if let Some(callback) = &self.callback {
            callback(level, text);
        } else if level == Level::WARN
            && tracing::event_enabled!(target: "otel_usage::notice", Level::WARN)
        {
            tracing::warn!(target: "otel_usage::notice", "{text}");
        } else if level == Level::INFO
            && tracing::event_enabled!(target: "otel_usage::notice", Level::INFO)
        {
            tracing::info!(target: "otel_usage::notice", "{text}");
        } else {
            // A closed stderr must not fail the engine, whose thread this may be.
            let _quiet = QuietSignals::begin();
            let _ = writeln!(std::io::stderr(), "otel-usage: {text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_says_what_is_sent_and_does_not_call_it_anonymous() {
        let said = Arc::new(Mutex::new(String::new()));
        let hear = Arc::clone(&said);
        let notifier = Notifier::new(Some(Arc::new(move |_, text| {
            text.clone_into(&mut hear.lock().unwrap());
        })));
        notifier.notice("test/words", "vllm", &["https://stats.example".to_owned()]);
        let said = said.lock().unwrap().clone();
        assert!(said.contains("usage data (hardware, settings; no names or addresses)"), "{said}");
        for kind in
            ["CPU", "memory", "accelerators", "cloud provider", "settings", "DO_NOT_TRACK=1"]
        {
            assert!(said.contains(kind), "{kind}: {said}");
        }
        assert!(!said.contains("anonymous"), "{said}");
    }
}
