//! Takes the body of a request, delivers its records, and returns the [`Answer`].
//!
//! [`Pipeline`] holds the parts that all requests share.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Instant;

use axum::http::HeaderMap;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::answer::{Answer, Form};
use crate::catalog::Catalog;
use crate::config::{Config, Limits};
use crate::deliver::Delivery;
use crate::intake::Raw;
use crate::memory::{Share, Shares};
use crate::message::Flat;
use crate::metrics::{Counted, Metrics};
use crate::part::Part;
use crate::proxies::{self, Network};
use crate::reader::Reader;
use crate::signal::Signal;
use crate::to_the_end::ToTheEnd;

/// The purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// To take OTLP.
    Otlp(Signal),
    /// To take a flat message of an unmodified engine.
    Flat,
}

impl Ask {
    /// Returns the signal in whose form the request is answered.
    pub(crate) const fn signal(self) -> Signal {
        match self {
            Self::Otlp(signal) => signal,
            Self::Flat => Signal::Logs,
        }
    }
}

/// The parts that all requests share.
#[derive(Debug)]
pub(crate) struct Pipeline {
    reader: Reader,
    delivery: Delivery,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    /// The peers whose `X-Forwarded-For` is believed.
    trusted: Vec<Network>,
    /// The memory for requests, in bytes.
    memory: Arc<Shares>,
    /// The places of requests in progress.
    places: Arc<Shares>,
    /// Permits to decode large requests, one for each core.
    decoders: Semaphore,
    /// Deliveries that go on although their sender has hung up.
    pub(crate) deliveries: TaskTracker,
}

impl Pipeline {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::default());
        let catalog = Catalog::new(config)?;
        let delivery = Delivery::new(config, catalog.known.len(), Arc::clone(&metrics))?;
        let limits = config.limits.clone();
        Ok(Self {
            reader: Reader::new(catalog, config, Arc::clone(&metrics)),
            delivery,
            metrics,
            memory: Shares::new(limits.memory),
            places: Shares::new(limits.requests),
            decoders: Semaphore::new(available_parallelism().map_or(1, NonZero::get)),
            limits,
            trusted: config.trusted_proxies.clone(),
            deliveries: TaskTracker::new(),
        })
    }

    /// Returns where the messages of each contract go, in words and without credentials.
    pub(crate) fn destinations(&self) -> Vec<String> {
        let mut to: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for known in &self.reader.catalog.known {
            if let Some(server) = &known.server {
                to.entry(server).or_default().push(known.id());
            }
        }
        let servers = to.iter().map(|(to, contracts)| format!("{} to {to}", contracts.join(", ")));
        servers.chain(self.delivery.local().map(|to| format!("every contract to {to}"))).collect()
    }

    /// Returns the sender of a request, which a trusted proxy may name.
    pub(crate) fn sender(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        proxies::client(peer, headers, &self.trusted)
    }

    /// Tells the store of a request that is refused as a whole. The reader tells of what it does not recognise.
    pub(crate) fn note_refusal(&self, ask: Ask, answer: &Answer) {
        let told = matches!((ask, answer), (Ask::Flat, Answer::Undecodable(_)));
        if let Answer::TooLarge(_) | Answer::Undecodable(_) | Answer::Unsupported(_) = answer
            && !told
        {
            self.reader.note(answer.word(), 1);
        }
    }

    /// Returns a share of the memory, with nothing in it yet.
    pub(crate) fn memory(&self, sender: IpAddr) -> Share {
        self.memory.share(sender)
    }

    /// Flattens and delivers a request whose body is complete.
    ///
    /// A sender that hangs up does not stop a delivery half way.
    pub(crate) async fn take(
        self: &Arc<Self>,
        ask: Ask,
        form: Form,
        raw: Raw,
        mut memory: Share,
        sender: IpAddr,
    ) -> Answer {
        let mut place = self.places.share(sender);
        if !place.grow(1) {
            return Answer::busy("too many requests at once");
        }
        let shared = Arc::clone(self);
        let delivery = async move {
            let _place = place;
            let _counted = Counted::new(&shared.metrics.requests_in_flight);
            let decoded = if raw.is_small() {
                (shared.decode(ask, form, raw, &mut memory), memory)
            } else {
                // A large request takes a second, for which the runtime's threads have other work. Each thread
                // that decodes keeps some memory, so there are few.
                let _permit = shared.decoders.acquire().await;
                let (decoder, none) = (Arc::clone(&shared), shared.memory(sender));
                let task = tokio::task::spawn_blocking(move || {
                    let decoded = decoder.decode(ask, form, raw, &mut memory);
                    (decoded, memory)
                });
                task.await.unwrap_or((Err(Answer::busy("decoding failed")), none))
            };
            // The memory is held until every message is delivered.
            let (decoded, _memory) = decoded;
            match decoded {
                Ok(flats) if flats.is_empty() => Answer::Done,
                Ok(flats) => {
                    shared.delivery.deliver(&shared.reader.catalog, sender, flats).await.into()
                }
                Err(answer) => answer,
            }
        };
        let done = ToTheEnd::new(delivery, &self.deliveries).await;
        done.unwrap_or(Answer::busy("a delivery failed"))
    }

    /// Returns the flat messages of a request.
    fn decode(
        &self,
        ask: Ask,
        form: Form,
        raw: Raw,
        memory: &mut Share,
    ) -> Result<Vec<Flat>, Answer> {
        let message = raw.message(&self.limits, memory)?;
        #[expect(clippy::disallowed_methods, reason = "consent is asked anew after a while")]
        let now = Instant::now();
        let Ask::Otlp(signal) = ask else {
            return Ok(self.reader.posted(&message, now)?.into_iter().collect());
        };
        let request = match form {
            // The parser's errors may quote the request, so they stay out of answers and logs.
            Form::Json => {
                Part::Json(serde_json::from_slice::<&RawValue>(&message).map_err(|error| {
                    let (line, column) = (error.line(), error.column());
                    Answer::Undecodable(format!("not JSON, at line {line} column {column}"))
                })?)
            }
            Form::Protobuf | Form::Grpc => Part::Bytes(&message),
        };
        let flats = self.reader.read(signal, request, memory, now)?;
        memory.shrink(message.len());
        Ok(flats)
    }
}
