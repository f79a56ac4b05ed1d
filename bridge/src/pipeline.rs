//! Takes a decoded request of either signal, delivers its records, and returns the [`Answer`].
//!
//! [`Pipeline`] holds the parts that all requests share.

use std::sync::Arc;
use std::time::Instant;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::answer::Answer;
use crate::catalog::Catalog;
use crate::config::{Config, Limits};
use crate::deliver::Delivery;
use crate::metrics::Metrics;
use crate::reader::{Flat, Reader};

/// A request that carries records.
pub(crate) trait Records:
    prost::Message + Default + serde::de::DeserializeOwned + 'static
{
    fn flats(self, reader: &Reader, now: Instant) -> Vec<Flat>;
}

impl Records for ExportTraceServiceRequest {
    fn flats(self, reader: &Reader, now: Instant) -> Vec<Flat> {
        reader.spans(self, now)
    }
}

impl Records for ExportLogsServiceRequest {
    fn flats(self, reader: &Reader, now: Instant) -> Vec<Flat> {
        reader.logs(self, now)
    }
}

/// The parts that all requests share.
#[derive(Debug)]
pub(crate) struct Pipeline {
    reader: Reader,
    delivery: Delivery,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    /// A permit for each request in progress.
    pub(crate) places: Semaphore,
    /// Deliveries in progress. They go on if their sender hangs up.
    pub(crate) deliveries: TaskTracker,
}

impl Pipeline {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::default());
        let catalog = Catalog::new(config)?;
        let delivery = Delivery::new(config, catalog.known.len(), Arc::clone(&metrics))?;
        Ok(Self {
            reader: Reader::new(catalog, Arc::clone(&metrics)),
            delivery,
            metrics,
            limits: config.limits.clone(),
            places: Semaphore::new(config.limits.requests),
            deliveries: TaskTracker::new(),
        })
    }

    /// Flattens and delivers a request.
    pub(crate) async fn take(self: &Arc<Self>, request: impl Records) -> Answer {
        #[expect(clippy::disallowed_methods, reason = "consent is asked anew after a while")]
        let flats = request.flats(&self.reader, Instant::now());
        if flats.is_empty() {
            return Answer::Done;
        }
        let shared = Arc::clone(self);
        let delivery = self
            .deliveries
            .spawn(async move { shared.delivery.deliver(&shared.reader.catalog, flats).await });
        delivery.await.map_or(Answer::busy("a delivery failed"), Answer::from)
    }
}
