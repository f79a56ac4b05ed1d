//! Delivers the flat messages of one request and gives one verdict on the whole request.
//!
//! The verdict covers the whole request because a sender can repeat only that. The local exporters come
//! first. Messages of one engine go to its server in order, and engines run side by side. A message that
//! the server refuses for good does not stop the next ones. A message that has to wait stops only the
//! later messages of the same engine.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use otel_usage_schema::Consent;

use crate::catalog::Catalog;
use crate::config::{Config, Limits};
use crate::lines::Lines;
use crate::metrics::Metrics;
use crate::post::{Posted, Poster};
use crate::reader::Flat;
use crate::store::{Received, Refusal, Store};
use crate::window::{Done, Held, Window};

/// The bit of the `server` exporter in a record's [`Done`].
const SERVER: u8 = 1;
/// The bit of the store.
const STORE: u8 = SERVER << 3;

/// The result of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Number of records of the request.
    pub(crate) records: usize,
    /// Set if a message has to be sent again, with the longest pause that a server asked for.
    pub(crate) later: Option<Option<Duration>>,
    /// Whether the sender sends too much.
    pub(crate) too_many: bool,
    /// Number of records that their server refuses for good.
    pub(crate) refused: usize,
}

/// Delivers messages to the exporters, and remembers what it has delivered.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The local exporters, each with its bit in [`Done`].
    local: Vec<(u8, Arc<Lines>)>,
    poster: Option<Poster>,
    store: Option<Arc<dyn Store>>,
    window: Window,
    forward_direct: bool,
    limits: Limits,
    metrics: Arc<Metrics>,
    /// For each contract, whether its server failed the last time. Logs the change only.
    failing: Vec<AtomicBool>,
}

/// A message and the state of its delivery.
struct Task {
    flat: Flat,
    held: Held,
}

impl Verdict {
    fn postpone(&mut self, asked: Option<Duration>) {
        self.later = Some(self.later.flatten().max(asked));
    }
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
        let poster = config
            .exporters
            .server
            .then(|| Poster::new(&limits, Arc::clone(&metrics)))
            .transpose()?;
        let window = Window::new(limits.window, limits.window_age);
        let failing = (0..contracts).map(|_| AtomicBool::new(false)).collect();
        Ok(Self {
            local,
            poster,
            store: config.exporters.store.clone(),
            window,
            forward_direct: config.forward_direct,
            limits,
            metrics,
            failing,
        })
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
            self.keep(store, catalog, sender, &mut tasks, &mut verdict, until).await;
        }
        if let Some(poster) = &self.poster {
            self.post(poster, catalog, &mut tasks, &mut verdict, until).await;
        }
        verdict
    }

    /// Returns whether every exporter has the record or will never have it.
    fn is_finished(&self, done: Done) -> bool {
        let posted = self.poster.is_none() || done.refused || done.exporters & SERVER != 0;
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
    async fn keep(
        &self,
        store: &Arc<dyn Store>,
        catalog: &Catalog,
        sender: IpAddr,
        tasks: &mut [Task],
        verdict: &mut Verdict,
        until: tokio::time::Instant,
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
        match tokio::time::timeout_at(until, store.keep(sender, messages)).await {
            Ok(Ok(())) => {
                self.metrics.deliver("store", wanted.len());
                wanted.iter_mut().for_each(|task| task.held.done.exporters |= STORE);
            }
            Ok(Err(Refusal::TooMany(pause))) => {
                self.metrics.postpone("too_many", wanted.len());
                verdict.too_many = true;
                verdict.postpone(Some(pause));
            }
            Ok(Err(Refusal::Later(pause))) => {
                self.metrics.postpone("store", wanted.len());
                verdict.postpone(Some(pause));
            }
            Err(_) => {
                self.metrics.postpone("store", wanted.len());
                verdict.postpone(None);
            }
        }
    }

    /// Posts the messages that the server does not have yet, with one queue for each engine.
    async fn post(
        &self,
        poster: &Poster,
        catalog: &Catalog,
        tasks: &mut [Task],
        verdict: &mut Verdict,
        until: tokio::time::Instant,
    ) {
        let mut engines: HashMap<u64, usize> = HashMap::new();
        let mut queues: Vec<Vec<&mut Task>> = Vec::new();
        for task in tasks {
            if task.held.done.refused {
                // The server would refuse it again, so it is not posted a second time.
                verdict.refused = verdict.refused.saturating_add(1);
            } else if task.held.done.exporters & SERVER != 0 {
            } else if task.flat.direct && !self.forward_direct {
                self.metrics.skip("direct", 1);
                task.held.done.exporters |= SERVER;
            } else if task.flat.consent != Consent::Granted {
                self.metrics.skip("consent", 1);
            } else {
                let next = queues.len();
                let place =
                    task.flat.engine.map_or(next, |engine| *engines.entry(engine).or_insert(next));
                match queues.get_mut(place) {
                    Some(queue) => queue.push(task),
                    None => queues.push(vec![task]),
                }
            }
        }
        // For each contract, whether this request has found its server unavailable.
        let paused: Vec<AtomicBool> = self.failing.iter().map(|_| AtomicBool::new(false)).collect();
        let mut running: FuturesUnordered<_> = queues
            .into_iter()
            .map(|queue| self.post_queue(poster, catalog, queue, &paused, until))
            .collect();
        while let Some(part) = running.next().await {
            verdict.refused = verdict.refused.saturating_add(part.refused);
            if let Some(asked) = part.later {
                verdict.postpone(asked);
            }
        }
    }

    /// Posts the messages of one engine, one after another.
    async fn post_queue(
        &self,
        poster: &Poster,
        catalog: &Catalog,
        queue: Vec<&mut Task>,
        paused: &[AtomicBool],
        until: tokio::time::Instant,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        for task in queue {
            let place = task.flat.contract;
            let (Some(known), Some(pause), Some(failing)) =
                (catalog.known.get(place), paused.get(place), self.failing.get(place))
            else {
                continue;
            };
            if verdict.later.is_some() || pause.load(Ordering::Relaxed) {
                self.metrics.postpone("after_another", 1);
                verdict.postpone(None);
                continue;
            }
            let Some(url) = task.flat.url.clone() else { continue };
            let posted = poster.post(known.id(), url, task.flat.body.clone(), until).await;
            let fails = !matches!(posted, Posted::Delivered | Posted::Refused);
            if failing.swap(fails, Ordering::Relaxed) != fails {
                let contract = known.id();
                if fails {
                    tracing::warn!(
                        contract,
                        "the usage server takes nothing; senders have to wait"
                    );
                } else {
                    tracing::info!(contract, "the usage server answers again");
                }
            }
            match posted {
                Posted::Delivered => {
                    self.metrics.deliver("server", 1);
                    task.held.done.exporters |= SERVER;
                }
                Posted::Refused => {
                    self.metrics.lose("refused", 1);
                    task.held.done.refused = true;
                    verdict.refused = verdict.refused.saturating_add(1);
                }
                Posted::Later(asked) | Posted::Pause(asked) => {
                    if matches!(posted, Posted::Pause(_)) {
                        pause.store(true, Ordering::Relaxed);
                    }
                    self.metrics.postpone("server", 1);
                    verdict.postpone(asked);
                }
            }
        }
        verdict
    }
}
