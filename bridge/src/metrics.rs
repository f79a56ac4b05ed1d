//! The metrics of the bridge, as Prometheus text.
//!
//! `docs/receiver/bridge.md` lists every name. Label values come from closed sets: words of this program,
//! contract ids and HTTP status classes, never text from a request.

use std::fmt::Debug;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Media type of the text.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of the histograms, from a quick answer on the loopback to the longest POST. Unit: seconds.
const SECONDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 25.0];

type Counters<L> = Family<L, Counter<u64, AtomicU64>>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Signal {
    pub(crate) signal: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Delivered {
    /// Name of the exporter. The label keeps its older name for dashboards.
    pub(crate) sink: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    pub(crate) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Class {
    pub(crate) contract: String,
    pub(crate) class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Answered {
    pub(crate) protocol: &'static str,
    pub(crate) answer: &'static str,
}

/// All metrics of the bridge.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Requests by protocol and answer.
    pub(crate) requests: Counters<Answered>,
    /// Records that were decoded.
    pub(crate) received: Counters<Signal>,
    /// Records that reached an exporter.
    pub(crate) delivered: Counters<Delivered>,
    /// Records that are not for delivery by this bridge.
    pub(crate) skipped: Counters<Reason>,
    /// Records that are lost for good.
    pub(crate) dropped: Counters<Reason>,
    /// Records that the sender keeps and sends again.
    pub(crate) postponed: Counters<Reason>,
    /// Attributes that were left out of a record.
    pub(crate) attributes: Counters<Reason>,
    /// Answers of usage servers.
    pub(crate) upstream: Counters<Class>,
    /// Time of a POST.
    pub(crate) post_seconds: Histogram,
    /// Time of a request, from its head to the answer.
    pub(crate) request_seconds: Histogram,
    pub(crate) requests_in_flight: Gauge,
    pub(crate) posts_in_flight: Gauge,
    pub(crate) connections: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("otel_usage_bridge");
        macro_rules! register {
            ($name:literal, $help:literal, $metric:expr) => {{
                let metric = $metric;
                registry.register($name, $help, metric.clone());
                metric
            }};
        }
        macro_rules! seconds {
            ($name:literal, $help:literal) => {{
                let metric = Histogram::new(SECONDS);
                registry.register_with_unit($name, $help, Unit::Seconds, metric.clone());
                metric
            }};
        }
        Self {
            requests: register!("requests", "Requests answered", Counters::default()),
            received: register!("records_received", "Records decoded", Counters::default()),
            delivered: register!(
                "records_delivered",
                "Records that reached an exporter",
                Counters::default()
            ),
            skipped: register!(
                "records_skipped",
                "Records not meant for delivery",
                Counters::default()
            ),
            dropped: register!("records_dropped", "Records lost for good", Counters::default()),
            postponed: register!(
                "records_postponed",
                "Records left to the sender to send again",
                Counters::default()
            ),
            attributes: register!(
                "attributes_dropped",
                "Attributes left out of records",
                Counters::default()
            ),
            upstream: register!(
                "upstream_answers",
                "Answers of usage servers",
                Counters::default()
            ),
            post_seconds: seconds!("post", "Time of a POST to a usage server"),
            request_seconds: seconds!("request", "Time of a request"),
            requests_in_flight: register!(
                "requests_in_flight",
                "Requests at work",
                Gauge::default()
            ),
            posts_in_flight: register!(
                "posts_in_flight",
                "POSTs without answer yet",
                Gauge::default()
            ),
            connections: register!("connections", "Open connections", Gauge::default()),
            registry,
        }
    }
}

impl Metrics {
    pub(crate) fn skip(&self, reason: &'static str, records: usize) {
        add(&self.skipped, Reason { reason }, records);
    }

    pub(crate) fn lose(&self, reason: &'static str, records: usize) {
        add(&self.dropped, Reason { reason }, records);
    }

    pub(crate) fn postpone(&self, reason: &'static str, records: usize) {
        add(&self.postponed, Reason { reason }, records);
    }

    pub(crate) fn deliver(&self, exporter: &'static str, records: usize) {
        add(&self.delivered, Delivered { sink: exporter }, records);
    }

    /// Returns all metrics in the text form of Prometheus.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

/// Adds to a counter, which appears with its first event.
pub(crate) fn add<L>(counters: &Counters<L>, labels: L, count: usize)
where
    L: Clone + Debug + Eq + std::hash::Hash,
{
    if count > 0 {
        counters.get_or_create(&labels).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// One more in a gauge until this is dropped, which a panic does too.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
