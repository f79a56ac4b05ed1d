//! Answers the `otel-usage` command for the network exporters: which of them would send a message that waits. Sends
//! the message now if the command asks for it.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use otel_usage_schema::{Contract, Destination};

#[cfg(feature = "otlp")]
use super::otlp;
use super::{Encoding, server};
use crate::export::{self, ActiveExporter, ExporterName, Need, Wake};
use crate::notifier::Notifier;
use crate::settings::{Inspection, Settings, SpoolMessage};
use crate::spool::Address;
use crate::stats::ExporterStats;

/// The outcome of [`Inspection::deliver`].
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Delivered {
    /// The account of each network exporter.
    pub exporters: Vec<ExporterStats>,
    /// The mistakes because of which an exporter did not run, or a certificate was refused.
    pub warnings: Vec<String>,
}

impl Inspection {
    /// Returns the destination to which an engine with these settings would send a message that waits, consent
    /// and age aside. `None` if it would not, because the message is of another contract or for another
    /// destination.
    ///
    /// It is the origin of the URL, without user, password, path and query.
    #[must_use]
    pub fn destination_of(&self, message: &SpoolMessage) -> Option<String> {
        let contract = self.context.contract.contract();
        if message.contract != contract.id {
            return None;
        }
        let known = destinations(&self.settings, contract).into_iter();
        let mut mine = known.filter(|(address, _)| *address == message.address);
        mine.next().map(|(_, destination)| destination.origin())
    }

    /// Returns whether a message is newer than the last `otel-usage off`. `None` if that is unknown, because its
    /// file cannot be read or names a time in the future; the message is then not sent, and stays.
    #[must_use]
    pub fn is_newer_than_off(&self, message: &SpoolMessage) -> Option<bool> {
        let now = super::seconds(self.context.clock.unix_nanos());
        self.settings.cutoff.allows(message.time, now)
    }

    /// Sends the messages that wait on disk and that an engine with these settings would send, each once, within
    /// a time limit. Messages of a running engine are left to it. Sends nothing if consent does not allow it.
    #[must_use]
    pub fn deliver(&self, within: Duration) -> Delivered {
        let mut settings = self.settings.clone();
        settings.exporters.retain(|name| name.is_network());
        let told = settings.warnings.len();
        let said = Arc::new(Mutex::new(Vec::new()));
        let hear = Arc::clone(&said);
        let notifier = Notifier::new(Some(Arc::new(move |_, text: &str| {
            hear.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        })));
        let contract = self.context.contract.contract();
        // Asked again, because the settings may have been read some time ago.
        let consent = self.switches.decide().consent;
        let mut exporters = export::active(&mut settings, contract, consent, Vec::new(), &notifier);
        let clock = &self.context.clock;
        let end = clock.monotonic().checked_add(within);
        for exporter in &mut exporters {
            self.send_all(exporter, || {
                end.map_or(Duration::ZERO, |end| end.saturating_duration_since(clock.monotonic()))
            });
        }
        let accounts = exporters.iter().map(|exporter| exporter.counters().snapshot()).collect();
        let mut warnings: Vec<String> = settings.warnings.drain(told..).collect();
        warnings.append(&mut said.lock().unwrap_or_else(PoisonError::into_inner));
        Delivered { exporters: accounts, warnings }
    }

    /// Lets an exporter send until nothing is left, its server does not take a message, or no time is left.
    fn send_all(&self, exporter: &mut ActiveExporter, left: impl Fn() -> Duration) {
        let (answered, answers) = mpsc::channel();
        let wake = Wake::new(move || {
            // The last answer may come after the end.
            let _ = answered.send(());
        });
        let clock = &self.context.clock;
        let mut urgent = true;
        while !left().is_zero() {
            let need = Need { urgent, within: Some(left()), ..Need::default() };
            urgent = false;
            let mut consent = || self.switches.decide().consent;
            let sent = exporter.send_queued(clock, need, &wake, &mut consent);
            if sent.in_flight {
                if answers.recv_timeout(left()).is_err() {
                    return;
                }
            } else if sent.next.is_none_or(|next| next > clock.monotonic()) {
                // A time in the future means that the server did not take the message.
                return;
            }
        }
    }
}

/// Returns every full destination of the contract's messages, with its digest.
fn destinations(settings: &Settings, contract: &Contract) -> Vec<(Address, Destination)> {
    let mut all = Vec::new();
    if settings.exporters.contains(&ExporterName::Server) {
        let base = settings.server.as_deref().and_then(Destination::parse);
        all.extend(base.map(|base| addressed(&server::Flat { base }, contract)));
    }
    #[cfg(feature = "otlp")]
    if settings.exporters.contains(&ExporterName::Otlp) {
        let otlp = settings.otlp.as_ref().and_then(|settings| otlp::encoding(settings).ok());
        all.extend(otlp.map(|otlp| addressed(&otlp, contract)));
    }
    all.into_iter().flatten().collect()
}

/// Returns the destinations of one exporter with their digests.
pub(super) fn addressed<E: Encoding>(
    encoding: &E,
    contract: &Contract,
) -> Vec<(Address, Destination)> {
    let all = encoding.destinations(contract).into_iter();
    all.map(|to| (Address::new(E::NAME, &contract.id, &to), to)).collect()
}
