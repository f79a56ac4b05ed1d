//! An OpenTelemetry `SpanExporter`, for people who assemble their own pipeline.
//!
//! It runs the same pipeline as [`crate::Usage`], on the thread of the caller's span processor. A stock
//! provider has no timer for it, so heartbeats and the end of the run are the caller's to record.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use opentelemetry::Key;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use otel_usage_schema::Loss;

use super::Need;
use crate::clock::Clock;
use crate::run::Pipeline;
use crate::stats::{Counters, Stats};
use crate::sys::{Process, QuietSignals};

/// Exports usage records through a stock `SpanProcessor`.
///
/// [`Builder::span_exporter`](crate::Builder::span_exporter) makes one. It does nothing if collection
/// is off. It reads the machine at its first export. Spans that are not records of the contract are
/// counted and dropped, so it may share a provider with other exporters.
pub struct UsageSpanExporter {
    /// `None` if collection is off.
    pipeline: Option<Mutex<Pipeline>>,
    /// The counters, which a forked child reads without the lock.
    counters: Arc<Counters>,
    clock: Clock,
    process: Process,
    shut_down: AtomicBool,
    /// Whether the time of the shutdown passed while another thread exported. Records that wait are then lost.
    given_up: AtomicBool,
}

/// Pause between two looks at whether another thread still exports.
const LOOK: Duration = Duration::from_millis(1);

/// Prints only whether the exporter is enabled, because its settings may hold secrets.
impl fmt::Debug for UsageSpanExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageSpanExporter")
            .field("enabled", &self.is_enabled())
            .finish_non_exhaustive()
    }
}

impl UsageSpanExporter {
    pub(crate) fn new(pipeline: Option<Pipeline>) -> Self {
        let counters = pipeline.as_ref().map(Pipeline::counters).unwrap_or_default();
        let clock = pipeline.as_ref().map(|pipeline| pipeline.context().clock.clone());
        Self {
            pipeline: pipeline.map(Mutex::new),
            counters,
            clock: clock.unwrap_or_default(),
            process: Process::current(),
            shut_down: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
        }
    }

    /// Returns whether collection is on. It is off in a forked child.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.pipeline.is_some() && !self.process.is_forked()
    }

    /// Returns the counts so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.snapshot()
    }

    /// Runs `part` with the pipeline. Returns `None` if collection is off, in a forked child, or after a
    /// panic, which would otherwise end the worker of a stock processor for good.
    fn with<T>(&self, part: impl FnOnce(&mut Pipeline) -> T) -> Option<T> {
        if self.process.is_forked() {
            return None;
        }
        let pipeline = self.pipeline.as_ref()?;
        let result = run(pipeline.lock().unwrap_or_else(PoisonError::into_inner), part);
        self.abandon(pipeline);
        result
    }

    /// Counts what waits as lost, if the shutdown gave up and no other thread exports. A thread that does
    /// comes here after that.
    fn abandon(&self, pipeline: &Mutex<Pipeline>) {
        // Of a thread that gives up and one that ends its export at that moment, one sees the other.
        fence(Ordering::SeqCst);
        if self.given_up.load(Ordering::Relaxed)
            && let Some(locked) = lock(pipeline, || Duration::ZERO, || {})
        {
            run(locked, Pipeline::abandon);
        }
    }

    fn send(&self, urgent: bool) -> OTelSdkResult {
        let queued = self.with(|pipeline| {
            pipeline.send_and_wait(Need { urgent, ..Need::default() });
            pipeline.waiting().0
        });
        match queued {
            None | Some(0) => Ok(()),
            Some(queued) => Err(OTelSdkError::InternalFailure(format!(
                "{queued} usage messages wait for their server"
            ))),
        }
    }
}

/// Takes the lock, unless nothing is `left` of the time before it is free.
fn lock<T>(
    mutex: &Mutex<T>,
    left: impl Fn() -> Duration,
    mut pause: impl FnMut(),
) -> Option<MutexGuard<'_, T>> {
    loop {
        match mutex.try_lock() {
            Ok(locked) => return Some(locked),
            Err(TryLockError::Poisoned(locked)) => return Some(locked.into_inner()),
            Err(TryLockError::WouldBlock) if left().is_zero() => return None,
            Err(TryLockError::WouldBlock) => pause(),
        }
    }
}

/// Runs `part` on the caller's thread. Returns `None` after a panic.
fn run<T>(
    mut locked: MutexGuard<'_, Pipeline>,
    part: impl FnOnce(&mut Pipeline) -> T,
) -> Option<T> {
    let _quiet = QuietSignals::begin();
    catch_unwind(AssertUnwindSafe(|| part(&mut locked))).ok()
}

impl SpanExporter for UsageSpanExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.shut_down.load(Ordering::Acquire) {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        let count = batch.len() as u64;
        let taken = self.with(|pipeline| {
            for span in &batch {
                pipeline.accept(span);
            }
        });
        if taken.is_none() && self.pipeline.is_some() {
            let loss = if self.process.is_forked() { Loss::Forked } else { Loss::Panicked };
            self.counters.lost.add(loss, count);
        }
        self.send(false)
    }

    /// Sends what waits, within `timeout`. Records that then still wait are counted as lost.
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        if self.shut_down.swap(true, Ordering::AcqRel) {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        // A forked child takes no lock, because a thread of its parent may have held it.
        if self.process.is_forked() {
            return Ok(());
        }
        let Some(pipeline) = &self.pipeline else { return Ok(()) };
        let late = || Err(OTelSdkError::Timeout(timeout));
        let start = self.clock.monotonic();
        let left =
            || timeout.saturating_sub(self.clock.monotonic().saturating_duration_since(start));
        #[expect(clippy::disallowed_methods, reason = "the caller waits, and says how long")]
        let pause = || std::thread::sleep(LOOK);
        let Some(locked) = lock(pipeline, left, pause) else {
            self.given_up.store(true, Ordering::Relaxed);
            self.abandon(pipeline);
            return late();
        };
        let sent = run(locked, |pipeline| {
            let within = Some(left());
            pipeline.send_and_wait(Need { urgent: true, within, ..Need::default() });
            let queued = pipeline.waiting().0;
            pipeline.abandon();
            (queued, left().is_zero())
        });
        match sent {
            None | Some((0, _)) => Ok(()),
            Some((_, true)) => late(),
            Some((queued, false)) => Err(OTelSdkError::InternalFailure(format!(
                "{queued} usage messages did not reach their server"
            ))),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.send(true)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.with(|pipeline| {
            let contract = pipeline.context().contract.contract();
            let own = contract.attributes.iter().map(|attribute| attribute.name.to_string());
            // Only what an engine may say about itself is taken: the stock `service.name` is the name
            // of the executable, and the stock instance id may be the name of a pod.
            let attributes = own
                .chain(["service.version".to_owned()])
                .filter_map(|name| {
                    let value = resource.get(&Key::new(name.clone()))?;
                    Some((name, value))
                })
                .collect();
            pipeline.adopt(attributes);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_for_a_busy_lock_is_measured_in_time_and_not_in_pauses() {
        let mutex = Mutex::new(());
        let busy = mutex.lock().unwrap();
        // Each pause of a busy machine takes a second here.
        let (seconds, pauses) = (std::cell::Cell::new(3), std::cell::Cell::new(0));
        let pause = || {
            pauses.set(pauses.get() + 1);
            seconds.set(seconds.get() - 1);
        };
        assert!(lock(&mutex, || Duration::from_secs(seconds.get()), pause).is_none());
        assert_eq!(pauses.get(), 3);
        drop(busy);
        assert!(lock(&mutex, || Duration::ZERO, || {}).is_some());
    }
}
