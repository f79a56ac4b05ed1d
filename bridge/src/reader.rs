//! Turns a request into flat messages.
//!
//! Each record names its own contract and kind; the bridge's configuration does not affect it. Attributes outside the
//! contract are left out. A record that cannot be read costs itself; a request whose groups cannot be read is refused as a
//! whole.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Instant;

use opentelemetry::KeyValue;
use otel_usage_schema::{Consent, Loss, Record, transport};

use crate::answer::Answer;
use crate::batch::Batch;
use crate::catalog::{Catalog, Known};
use crate::config::Config;
use crate::flat::{self, Object};
use crate::memory::Share;
use crate::message::{Flat, Source};
use crate::metrics::{self, Metrics, Reason, add};
use crate::otlp::{self, Attributes, GROUPS, RECORDS, SCOPES};
use crate::part::{Part, Stop};
use crate::signal::Signal;
use crate::store::Store;
use crate::unflatten::{Unflattened, unflatten};
use crate::window::Key;

#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) catalog: Catalog,
    /// Most bytes of the flat messages of one request.
    largest: usize,
    metrics: Arc<Metrics>,
    /// Takes note of what is received and not read.
    store: Option<Arc<dyn Store>>,
    hashes: RandomState,
}

impl Reader {
    pub(crate) fn new(catalog: Catalog, config: &Config, metrics: Arc<Metrics>) -> Self {
        let (largest, store) = (config.limits.decoded_bytes, config.exporters.store.clone());
        Self { catalog, largest, metrics, store, hashes: RandomState::new() }
    }

    /// Returns the flat messages of a request.
    ///
    /// # Errors
    ///
    /// The request is no OTLP, it holds too much, or the memory for requests is in use.
    pub(crate) fn read(
        &self,
        signal: Signal,
        request: Part<'_>,
        share: &mut Share,
        now: Instant,
    ) -> Result<Vec<Flat>, Stop> {
        let mut batch = Batch::new(share, self.largest);
        request.each(signal.of(GROUPS), &mut |_, group| {
            let mut source = None;
            group.each(signal.of(SCOPES), &mut |_, scope| {
                // Everything that a collector received may be a flat message, whatever its scope is.
                let ours = signal == Signal::Logs || otlp::scope_name(scope)? == transport::SCOPE;
                let mut received = 0_usize;
                let read = scope.each(signal.of(RECORDS), &mut |_, record| {
                    received = received.saturating_add(1);
                    if !ours {
                        return Ok(());
                    }
                    batch.begin_record()?;
                    let flat = match signal {
                        Signal::Traces => {
                            self.span(group, &mut source, record, now, &mut batch.text)
                        }
                        Signal::Logs => self.log(record, now, &mut batch.text),
                    };
                    match flat {
                        Ok(flat) => batch.push(flat),
                        Err(Stop::Malformed) => {
                            self.metrics.lose("malformed", 1);
                            Ok(())
                        }
                        Err(stop) => Err(stop),
                    }
                });
                add(&self.metrics.received, metrics::Signal { signal: signal.word() }, received);
                self.metrics.skip("foreign_scope", if ours { 0 } else { received });
                read
            })
        })?;
        Ok(batch.flats)
    }

    /// Returns the flat message that an unmodified engine posts, or `None` if collection is off.
    ///
    /// # Errors
    ///
    /// The text is no message that a contract knows.
    pub(crate) fn posted(&self, body: &[u8], now: Instant) -> Result<Option<Flat>, Answer> {
        if body.len() > flat::BODY_BYTES {
            return Err(Answer::long_message(flat::BODY_BYTES));
        }
        let object =
            std::str::from_utf8(body).ok().and_then(|t| flat::of_text(t, &self.catalog.keys));
        let Some(object) = object else {
            self.lose("not_flat_json");
            return Err(Answer::Undecodable("not a flat JSON object".to_owned()));
        };
        match self.recognised(&object, 0, None, now, &mut Vec::new()) {
            Ok(flat) => Ok(flat),
            Err(why) => Err(Answer::Undecodable(why.to_owned())),
        }
    }

    fn span(
        &self,
        group: Part<'_>,
        source: &mut Option<Source>,
        part: Part<'_>,
        now: Instant,
        text: &mut Vec<u8>,
    ) -> Result<Option<Flat>, Stop> {
        let span = otlp::span(part)?;
        let named = span.attributes.text(transport::CONTRACT);
        let contract = named.and_then(|id| self.catalog.position(id));
        let Some((contract, known)) = contract.and_then(|i| Some((i, self.catalog.known.get(i)?)))
        else {
            self.metrics.skip("unknown_contract", 1);
            self.note("unknown_contract", 1);
            self.catalog.strangers.meet("a contract", named.unwrap_or_default());
            return Ok(None);
        };
        // A collector may have removed the span's name.
        let kind = span.attributes.text(transport::RECORD_KIND).unwrap_or(&span.name).to_owned();
        if !known.compiled.has_record(&kind) {
            self.metrics.skip(if kind == transport::RUN { "run" } else { "unknown_record" }, 1);
            return Ok(None);
        }
        let Some(consent) = self.consent(known, now) else { return Ok(None) };
        // The Resource is read only if a span is ours.
        let source = match source {
            Some(source) => source,
            None => source.insert(Source::new(self.known(otlp::resource(group)?), &self.hashes)),
        };
        let direct = span.attributes.text(transport::DELIVERY) == Some("direct");
        let attributes = self.known(span.attributes);
        let record = self.record(known, &kind, &attributes, otlp::nanos(span.end));
        let flat =
            record.and_then(|record| source.flat((contract, known), record, None, consent, text));
        let key = span.key;
        Ok(flat.map(|flat| Flat { key, direct, ..flat }))
    }

    fn log(&self, part: Part<'_>, now: Instant, text: &mut Vec<u8>) -> Result<Option<Flat>, Stop> {
        let log = otlp::log(part)?;
        let keys = &self.catalog.keys;
        let Some(object) = log.body.and_then(|body| flat::object(body, keys)) else {
            self.lose("not_flat_json");
            return Ok(None);
        };
        let (time, observed) = log.times;
        let received = otlp::nanos(if time == 0 { observed } else { time });
        // Most log records have no ids. A collector sets their times when they arrive, and a repeated
        // request has the same times.
        let times = (log.times != (0, 0)).then_some(log.times);
        let flat = self.recognised(&object, received, times, now, text).ok().flatten();
        Ok(flat.map(|flat| Flat { key: log.key.or(flat.key), ..flat }))
    }

    /// Reads a flat object by the contract that knows it. `received` is the time of a message without one, `times` what
    /// distinguishes it from an equal one.
    ///
    /// # Errors
    ///
    /// Says why it cannot be read.
    fn recognised(
        &self,
        object: &Object,
        received: i64,
        times: Option<(u64, u64)>,
        now: Instant,
        text: &mut Vec<u8>,
    ) -> Result<Option<Flat>, &'static str> {
        let Some((contract, message)) = self.catalog.forms.recognise(object) else {
            self.lose("not_recognised");
            return Err("no contract knows this message");
        };
        let Some(known) = self.catalog.known.get(contract) else { return Ok(None) };
        let Some(message) = known.compiled.contract().messages.get(message) else {
            return Ok(None);
        };
        let Some(consent) = self.consent(known, now) else { return Ok(None) };
        let lost = &mut |loss| self.count(loss, 1);
        let Some(read) = unflatten(message, object, received, lost) else {
            self.lose("no_histogram");
            return Err("its histogram cannot be read");
        };
        self.strange(message, object);
        let Unflattened { resource, record, time_nanos } = read;
        let mut source = Source::new(resource, &self.hashes);
        let read = self.record(known, &message.record, &record, time_nanos);
        let flat =
            read.and_then(|read| source.flat((contract, known), read, Some(object), consent, text));
        let Some(flat) = flat else { return Ok(None) };
        let key = times.map(|times| {
            let hash = |n: u8| self.hashes.hash_one((n, times, &flat.body));
            Key::of_hashes([hash(0), hash(1), hash(2)])
        });
        Ok(Some(Flat { key, ..flat }))
    }

    /// Counts the keys of a flat object that its message does not have, and names each once.
    fn strange(&self, message: &otel_usage_schema::MessageSpec, object: &Object) {
        let strange = object.strange(message);
        let count = strange.len().saturating_add(object.unnamed);
        self.count(Loss::UndeclaredAttribute, count);
        self.note("unknown_key", count);
        for key in strange {
            self.catalog.strangers.meet("a key of flat messages", key);
        }
    }

    /// Returns the attributes that a contract can read, and counts the others.
    fn known(&self, attributes: Attributes) -> Vec<KeyValue> {
        for loss in &attributes.lost {
            self.count(*loss, 1);
        }
        self.count(Loss::UndeclaredAttribute, attributes.unread());
        attributes.list
    }

    fn lose(&self, reason: &'static str) {
        self.metrics.lose(reason, 1);
        self.note("not_recognised", 1);
    }

    /// Tells the store, if there is one, what was received and not kept.
    pub(crate) fn note(&self, what: &'static str, count: usize) {
        if count > 0
            && let Some(store) = &self.store
        {
            store.note(what, count);
        }
    }

    fn count(&self, loss: Loss, attributes: usize) {
        add(&self.metrics.attributes, Reason { reason: loss.as_str() }, attributes);
    }

    /// Reads a record, and counts what is lost.
    fn record(
        &self,
        known: &Known,
        kind: &str,
        attributes: &[KeyValue],
        time_nanos: i64,
    ) -> Option<Record> {
        let mut lost = |loss: Loss, _: &str| self.count(loss, 1);
        let record = known.compiled.read_record(kind, attributes, time_nanos, &mut lost);
        if record.is_none() {
            self.metrics.skip("foreign_contract", 1);
        }
        record
    }

    /// Returns the operator's consent. Counts the record and returns `None` if collection is off.
    fn consent(&self, known: &Known, now: Instant) -> Option<Consent> {
        let consent = known.consent(now);
        if consent == Consent::Off {
            self.metrics.skip("consent", 1);
            return None;
        }
        Some(consent)
    }
}
