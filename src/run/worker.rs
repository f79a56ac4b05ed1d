//! The one long-lived thread of a `Usage`: it takes spans from the queue and runs the pipeline.
//!
//! Between two records it sleeps until the nearest heartbeat, interval or retry.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use otel_usage_schema::Loss;

use super::life::Life;
use super::queue::Work;
use super::{Pipeline, PipelineParts, Queue};
use crate::export::{Need, Sent, Wake};
use crate::thread;

#[derive(Debug)]
struct Worker {
    queue: Arc<Queue>,
    pipeline: Pipeline,
    /// Wakes the worker when the answer to a request comes.
    wake: Wake,
    life: Life,
    next_retry: Option<Instant>,
    finished: bool,
}

/// Starts the thread. Returns `false` if the system has none to give.
pub(super) fn start(queue: Arc<Queue>, parts: PipelineParts) -> bool {
    let run = move || {
        let counters = Arc::clone(&parts.counters);
        let work = AssertUnwindSafe(|| {
            let pipeline = Pipeline::new(parts);
            let answered = Arc::clone(&queue);
            let wake = Wake::new(move || answered.wake_worker());
            let queue = Arc::clone(&queue);
            let life = Life::begin(&pipeline.context().clock);
            Worker { queue, pipeline, wake, life, next_retry: None, finished: false }.run();
        });
        if catch_unwind(work).is_err() {
            counters.lost.add(Loss::Panicked, 1);
        }
        queue.end();
    };
    thread::spawn("otel-usage", run).is_ok()
}

impl Worker {
    fn run(&mut self) {
        loop {
            let due = [self.next_retry, self.pipeline.next_due()].into_iter().flatten().min();
            let clock = &self.pipeline.context().clock;
            let work = self.queue.wait(due, self.finished, clock);
            if self.life.is_another(clock) {
                self.guarded(|worker| worker.pipeline.begin_again());
            }
            self.record(&work);
            // Local exporters are done. Waiting threads learn it before the network has its turn.
            self.queue.publish(self.pipeline.waiting(), false, true);
            let mut sent = Sent::default();
            let need = Need { urgent: work.urgent, save: work.save, within: None };
            self.guarded(|worker| sent = worker.pipeline.send_queued(need, &worker.wake));
            self.next_retry = sent.next;
            if self.finished && self.next_retry.is_none() && !sent.in_flight {
                self.pipeline.abandon();
            }
            self.queue.publish(self.pipeline.waiting(), sent.in_flight, false);
            if self.finished && self.pipeline.waiting() == (0, 0) {
                return;
            }
        }
    }

    /// Makes the records of `work`, and those that are due.
    fn record(&mut self, work: &Work) {
        for kind in &work.unknown {
            self.queue.counters.name(Loss::UnknownRecord, kind);
        }
        self.guarded(|worker| {
            for span in &work.spans {
                worker.pipeline.accept(span);
            }
        });
        if work.finish && !self.finished {
            self.finished = true;
            self.guarded(|worker| worker.pipeline.finish());
        }
        self.guarded(|worker| worker.pipeline.export_due(&work.heartbeat));
    }

    /// Runs a part of the work. A panic costs that part and not the thread.
    fn guarded(&mut self, part: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| part(self))).is_err() {
            self.queue.counters.lost.add(Loss::Panicked, 1);
        }
    }
}
