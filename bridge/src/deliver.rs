//! Delivers the flat messages of one request and gives one verdict on the whole request.
//!
//! The verdict covers the whole request because a sender can repeat only that. The local exporters come first, then the
//! store, then the usage server. The window remembers which exporter has which record, so that a repeated request sends
//! none twice.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::catalog::Catalog;
use crate::config::{Config, Limits};
use crate::lines::Lines;
use crate::message::Flat;
use crate::metrics::Metrics;
use crate::queues::{Queues, SERVER, Task};
use crate::store::{Received, Refusal, Store};
use crate::verdict::Verdict;
use crate::window::{Done, Window};

/// The bit of the store.
const STORE: u8 = SERVER << 3;

/// Delivers messages to the exporters, and remembers what it has delivered.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The local exporters, each with its bit in [`Done`].
    local: Vec<(u8, Arc<Lines>)>,
    server: Option<Queues>,
    store: Option<Arc<dyn Store>>,
    window: Window,
    limits: Limits,
    metrics: Arc<Metrics>,
}

impl Delivery {
    pub(crate) fn new(
        config: &Config,
        contracts: usize,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let mut local = Vec::new();
        if let Some(file) = &config.exporters.file {
            let path = file.path.display().to_string();
            let lines = Lines::file(file.clone()).map_err(|error| {
                anyhow::anyhow!(
                    "file {path}: {error}; name a file in a directory that this user can write"
                )
            })?;
            local.push((SERVER << 1, Arc::new(lines)));
        }
        if config.exporters.console {
            local.push((SERVER << 2, Arc::new(Lines::console())));
        }
        let limits = config.limits.clone();
        let server = config.exporters.server;
        let server = server.then(|| Queues::new(config, contracts, &metrics)).transpose()?;
        let window = Window::new(limits.window, limits.window_age);
        let store = config.exporters.store.clone();
        Ok(Self { local, server, store, window, limits, metrics })
    }

    /// Returns the places to which the local exporters write, in words.
    pub(crate) fn local(&self) -> impl Iterator<Item = String> {
        self.local.iter().map(|(_, lines)| lines.place())
    }

    /// Delivers the messages of one request.
    pub(crate) async fn deliver(
        &self,
        catalog: &Catalog,
        sender: IpAddr,
        flats: Vec<Flat>,
    ) -> Verdict {
        #[expect(clippy::disallowed_methods, reason = "the window's age")]
        let now = Instant::now();
        let until = tokio::time::Instant::from_std(now).checked_add(self.limits.deliver);
        let until = until.unwrap_or_else(|| tokio::time::Instant::from_std(now));
        let mut verdict = Verdict { records: flats.len(), ..Verdict::default() };
        let mut tasks = Vec::with_capacity(flats.len());
        for flat in flats {
            match self.window.claim(flat.key, now) {
                Some(held) => tasks.push(Task { flat, held }),
                None => {
                    // The sender repeated the record before it had the first answer.
                    self.metrics.postpone("in_flight", 1);
                    verdict.postpone(None);
                }
            }
        }
        let finished = tasks.iter().filter(|task| self.is_finished(task.held.done)).count();
        self.metrics.skip("duplicate", finished);
        for (bit, lines) in &self.local {
            self.write(*bit, lines, &mut tasks, &mut verdict).await;
        }
        if let Some(store) = &self.store {
            self.keep(store, catalog, sender, &mut tasks, &mut verdict).await;
        }
        if let Some(server) = &self.server {
            server.post(catalog, &mut tasks, &mut verdict, until).await;
        }
        verdict
    }

    /// Returns whether every exporter has the record or will never have it.
    fn is_finished(&self, done: Done) -> bool {
        let posted = self.server.is_none() || done.refused || done.exporters & SERVER != 0;
        let kept = self.store.is_none() || done.exporters & STORE != 0;
        posted
            && kept
            && done != Done::default()
            && self.local.iter().all(|(bit, _)| done.exporters & bit != 0)
    }

    /// Writes the messages that `lines` does not have yet, in one piece.
    async fn write(&self, bit: u8, lines: &Arc<Lines>, tasks: &mut [Task], verdict: &mut Verdict) {
        let mut wanted: Vec<&mut Task> =
            tasks.iter_mut().filter(|task| task.held.done.exporters & bit == 0).collect();
        if wanted.is_empty() {
            return;
        }
        let mut text = Vec::with_capacity(
            wanted.iter().map(|task| task.flat.body.len().saturating_add(1)).sum(),
        );
        for task in &wanted {
            text.extend_from_slice(&task.flat.body);
            text.push(b'\n');
        }
        let writer = Arc::clone(lines);
        // A disk may hang, and must not hold up the other requests.
        match tokio::task::spawn_blocking(move || writer.write(&text)).await {
            Ok(Ok(())) => {
                self.metrics.deliver(lines.name(), wanted.len());
                wanted.iter_mut().for_each(|task| task.held.done.exporters |= bit);
            }
            // The exporter says in the log what is wrong.
            Ok(Err(_)) => {
                self.metrics.postpone("write_failed", wanted.len());
                verdict.postpone(None);
            }
            Err(_) => {
                self.metrics.postpone("write_failed", wanted.len());
                verdict.postpone(None);
            }
        }
    }

    /// Gives the store the messages that it does not have yet.
    ///
    /// It waits for the store as long as that takes. A sender that waits for too long is answered by the limit on the
    /// whole request, and its records stay claimed until the store has said whether it has them, so that a repeated
    /// request cannot store them twice.
    async fn keep(
        &self,
        store: &Arc<dyn Store>,
        catalog: &Catalog,
        sender: IpAddr,
        tasks: &mut [Task],
        verdict: &mut Verdict,
    ) {
        let mut wanted: Vec<&mut Task> =
            tasks.iter_mut().filter(|task| task.held.done.exporters & STORE == 0).collect();
        let messages = wanted.iter_mut().filter_map(|task| {
            let flat = &mut task.flat;
            Some(Received {
                contract: catalog.known.get(flat.contract)?.id().to_owned(),
                message: std::mem::take(&mut flat.message),
                body: flat.body.clone(),
                time_nanos: flat.time_nanos,
            })
        });
        let messages: Vec<Received> = messages.collect();
        if messages.is_empty() {
            return;
        }
        match store.keep(sender, messages).await {
            Ok(()) => {
                self.metrics.deliver("store", wanted.len());
                wanted.iter_mut().for_each(|task| task.held.done.exporters |= STORE);
            }
            Err(Refusal::TooMany(pause)) => {
                self.metrics.postpone("too_many", wanted.len());
                verdict.too_many = true;
                verdict.postpone(Some(pause));
            }
            Err(Refusal::Later(pause)) => {
                self.metrics.postpone("store", wanted.len());
                verdict.postpone(Some(pause));
            }
        }
    }
}
