//! Tells the host about the notice and about mistakes in the operator's settings.
//!
//! The notice is given before the first byte leaves, and each mistake is one warning. Both go to the
//! host's callback, else to `tracing` if a subscriber listens, else to stderr. Stdout belongs to the
//! engine.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use otel_usage_schema::Contract;
use tracing::Level;

use crate::sys::QuietSignals;
use crate::thread::lock_unless_forked;

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

    #[cfg(feature = "http")]
    pub(crate) fn info(&self, text: &str) {
        self.tell(Level::INFO, text);
    }

    /// Gives the notice of a contract once per process: what is sent where, how to see it, how to
    /// stop it.
    pub(crate) fn notice(&self, contract: &Contract, destinations: &[String]) {
        // In a child that was forked at the wrong moment a second notice is better than none.
        let noticed = lock_unless_forked(&NOTICED);
        let first = noticed.is_none_or(|mut noticed| noticed.insert(contract.id.to_string()));
        if first {
            self.tell(Level::INFO, &notice(contract, destinations));
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

/// Returns the text of the notice. Each command in it works as it stands.
fn notice(contract: &Contract, destinations: &[String]) -> String {
    let Contract { id, system, .. } = contract;
    let own = contract.switches.first().map(|switch| format!("{}, ", switch.setting()));
    let classes: Vec<&str> = contract.data_classes().iter().map(|class| class.as_str()).collect();
    let classes = classes.join(", ");
    let page = contract.notice_url.as_ref().map(|url| format!("\nRead on: {url}"));
    format!(
        "{system} reports usage data (hardware, settings; no names or addresses) to {}: CPU, \
         memory, accelerators, system, cloud provider, version, settings, counts of use (data classes: {classes}).\n\
         See it: otel-usage preview --contract {id}, otel-usage status\n\
         Stop it: {}DO_NOT_TRACK=1, or otel-usage off{}",
        destinations.join(" and "),
        own.unwrap_or_default(),
        page.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use otel_usage_schema::{OffWhen, lmcache, vllm};

    use super::*;

    #[test]
    fn the_notice_names_the_engines_own_switch_and_page() {
        let own = Contract::new("mine/1", "mine")
            .with_switch("MINE_NO_USAGE", OffWhen::Present)
            .with_notice_url("https://mine.example/usage");
        for (contract, words) in [
            (&vllm::CURRENT, ["VLLM_NO_USAGE_STATS=1", "https://docs.vllm.ai/en/latest/usage/"]),
            (&lmcache::V1, ["LMCACHE_TRACK_USAGE=false", "https://docs.lmcache.ai/"]),
            (&own, ["MINE_NO_USAGE=1", "https://mine.example/usage"]),
        ] {
            let text = notice(contract, &[]);
            for word in words {
                assert!(text.contains(word), "{word}: {text}");
            }
            assert!(text.contains(&format!("preview --contract {}", contract.id)), "{text}");
        }
        let bare = notice(&Contract::new("mine/2", "mine"), &[]);
        assert!(bare.ends_with("Stop it: DO_NOT_TRACK=1, or otel-usage off"), "{bare}");
    }

    #[test]
    fn the_notice_lists_every_data_class_that_the_contract_sends() {
        let text = notice(&lmcache::V1, &[]);
        let list = "(data classes: configuration, identity, machine, workload).";
        assert!(text.contains(list), "{text}");
        let list = "(data classes: configuration, identity, machine).";
        for contract in [&vllm::CURRENT, &Contract::new("mine/1", "mine")] {
            let text = notice(contract, &[]);
            assert!(text.contains(list), "{text}");
        }
    }

    #[test]
    fn the_notice_says_what_is_sent_and_does_not_call_it_anonymous() {
        let said = Arc::new(Mutex::new(String::new()));
        let hear = Arc::clone(&said);
        let notifier = Notifier::new(Some(Arc::new(move |_, text| {
            text.clone_into(&mut hear.lock().unwrap());
        })));
        notifier
            .notice(&Contract::new("test/words", "vllm"), &["https://stats.example".to_owned()]);
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
