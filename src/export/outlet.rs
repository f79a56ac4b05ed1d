//! One sink in the pipeline, with its account and its panics caught.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::clock::Clock;
use crate::config::Consent;
use crate::loss::Loss;
use crate::sink::{Outcome, Report, Sink};
use crate::stats::SinkCounters;

#[derive(Debug)]
pub(crate) struct Outlet {
    kind: Kind,
    counters: Arc<SinkCounters>,
}

#[derive(Debug)]
enum Kind {
    Direct(Box<dyn Sink>),
    #[cfg(feature = "otlp")]
    Otlp(Box<crate::sink::Otlp>),
    #[cfg(feature = "http")]
    Server(Box<crate::sink::Server>),
}

impl Outlet {
    /// A sink that is done with a report when it returns.
    pub(crate) fn direct(sink: Box<dyn Sink>) -> Self {
        let counters = Arc::new(SinkCounters::new(sink.name()));
        Self { kind: Kind::Direct(sink), counters }
    }

    #[cfg(feature = "http")]
    pub(crate) fn server(sink: crate::sink::Server) -> Self {
        Self { kind: Kind::Server(Box::new(sink)), counters: Arc::new(SinkCounters::new("server")) }
    }

    #[cfg(feature = "otlp")]
    pub(crate) fn otlp(sink: crate::sink::Otlp) -> Self {
        Self { kind: Kind::Otlp(Box::new(sink)), counters: Arc::new(SinkCounters::new("otlp")) }
    }

    pub(crate) fn counters(&self) -> Arc<SinkCounters> {
        Arc::clone(&self.counters)
    }

    /// Whether reports leave the machine here.
    pub(crate) fn is_network(&self) -> bool {
        match &self.kind {
            Kind::Direct(sink) => sink.is_network(),
            #[cfg(feature = "otlp")]
            Kind::Otlp(_) => true,
            #[cfg(feature = "http")]
            Kind::Server(_) => true,
        }
    }

    /// Where it sends, for the notice. `None`: nowhere outside this machine.
    pub(crate) fn destination(&self) -> Option<String> {
        match &self.kind {
            Kind::Direct(sink) => sink.is_network().then(|| sink.name().to_owned()),
            #[cfg(feature = "otlp")]
            Kind::Otlp(sink) => Some(sink.destination()),
            #[cfg(feature = "http")]
            Kind::Server(sink) => Some(sink.destination()),
        }
    }

    /// Gives the sink a report, if `consent` covers it.
    pub(crate) fn take(&mut self, report: &Report, consent: Consent) {
        let allowed = match consent {
            Consent::Granted => true,
            Consent::Local => !self.is_network(),
            Consent::Off => false,
        };
        let outcome = if allowed {
            catch_unwind(AssertUnwindSafe(|| match &mut self.kind {
                Kind::Direct(sink) => sink.take(report),
                #[cfg(feature = "otlp")]
                Kind::Otlp(sink) => sink.take(report),
                #[cfg(feature = "http")]
                Kind::Server(sink) => sink.take(report),
            }))
            .unwrap_or(Outcome::Dropped(Loss::Panicked))
        } else {
            Outcome::Dropped(Loss::Consent)
        };
        match outcome {
            Outcome::Ignored => {}
            Outcome::Queued => self.counters.accepted(),
            Outcome::Delivered => {
                self.counters.accepted();
                self.counters.delivered();
            }
            Outcome::Dropped(loss) => {
                self.counters.accepted();
                self.counters.dropped(loss, 1);
            }
        }
    }

    /// Messages that wait in this sink's queue.
    pub(crate) fn pending(&self) -> usize {
        match &self.kind {
            Kind::Direct(_) => 0,
            #[cfg(feature = "otlp")]
            Kind::Otlp(sink) => sink.outbox.len(),
            #[cfg(feature = "http")]
            Kind::Server(sink) => sink.outbox.len(),
        }
    }

    /// Sends what is due until `until`; `permit` is asked before each send. Returns when to come back.
    #[cfg_attr(not(feature = "http"), expect(unused_variables, reason = "for network sinks"))]
    pub(crate) fn pump(
        &mut self,
        clock: &Clock,
        until: Instant,
        hurry: bool,
        permit: &mut dyn FnMut() -> bool,
    ) -> Option<Instant> {
        #[cfg(feature = "http")]
        {
            let counters = Arc::clone(&self.counters);
            let outbox = match &mut self.kind {
                Kind::Direct(_) => return None,
                #[cfg(feature = "otlp")]
                Kind::Otlp(sink) => &mut sink.outbox,
                Kind::Server(sink) => &mut sink.outbox,
            };
            let sent = catch_unwind(AssertUnwindSafe(|| {
                outbox.pump(clock, until, hurry, permit, &counters)
            }));
            sent.unwrap_or_else(|_| {
                // Whatever it choked on must not come back.
                outbox.clear(Loss::Panicked, &counters);
                None
            })
        }
        #[cfg(not(feature = "http"))]
        None
    }
}
