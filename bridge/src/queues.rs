//! Posts the messages of one request to their usage servers, with a queue for each engine.
//!
//! Messages of one engine go to its server in order, and engines run side by side. A message that the server refuses for
//! good does not stop the next ones. A message that has to wait stops only the later messages of the same engine.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use otel_usage_schema::Consent;

use crate::catalog::Catalog;
use crate::config::Config;
use crate::message::Flat;
use crate::metrics::Metrics;
use crate::post::Poster;
use crate::posted::Posted;
use crate::verdict::Verdict;
use crate::window::Held;

/// The bit of the `server` exporter in a record's [`Done`](crate::window::Done).
pub(crate) const SERVER: u8 = 1;

/// A message and the state of its delivery.
pub(crate) struct Task {
    pub(crate) flat: Flat,
    pub(crate) held: Held,
}

/// The `server` exporter.
#[derive(Debug)]
pub(crate) struct Queues {
    poster: Poster,
    forward_direct: bool,
    metrics: Arc<Metrics>,
    /// For each contract, whether its server failed the last time. Logs the change only.
    failing: Vec<AtomicBool>,
}

impl Queues {
    /// # Errors
    ///
    /// The file of the certificates to trust cannot be used.
    pub(crate) fn new(
        config: &Config,
        contracts: usize,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let poster = Poster::new(&config.limits, Arc::clone(metrics))?;
        let failing = (0..contracts).map(|_| AtomicBool::new(false)).collect();
        let (forward_direct, metrics) = (config.forward_direct, Arc::clone(metrics));
        Ok(Self { poster, forward_direct, metrics, failing })
    }

    /// Posts the messages that the server does not have yet, with one queue for each engine.
    pub(crate) async fn post(
        &self,
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
            .map(|queue| self.post_queue(catalog, queue, &paused, until))
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
            let posted = self.poster.post(known.id(), url, task.flat.body.clone(), until).await;
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
