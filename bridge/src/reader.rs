//! Turns a request into flat messages.
//!
//! Each record names its own contract and kind; the bridge's configuration does not affect it. Attributes
//! outside the contract are left out, and sanitizers run again, because the sender may not have run them.
//! A record that cannot be read costs itself; a request whose groups cannot be read is refused as a whole.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use opentelemetry::KeyValue;
use otel_usage_schema::resource::INSTANCE_ID;
use otel_usage_schema::{Consent, Loss, Message, Record, ResourceValues, flatten, transport};
use reqwest::Url;

use crate::answer::Answer;
use crate::catalog::{Catalog, Known};
use crate::config::Config;
use crate::flat::{self, Object};
use crate::memory::Share;
use crate::metrics::{self, Metrics, Reason, add};
use crate::otlp::{self, Attributes, GROUPS, RECORDS, SCOPES};
use crate::part::{Part, Stop};
use crate::store::Store;
use crate::unflatten::{Unflattened, unflatten};
use crate::window::Key;

/// Most records of one request. A collector's batch has 8,192 by default.
const RECORDS_IN_ONE: usize = 65_536;

/// The memory that a record takes beside its text while it is delivered. Unit: bytes.
const PER_RECORD: usize = 512;

/// The piece in which memory for messages is taken. Unit: bytes.
const STEP: usize = 64 * 1024;

/// A signal of OpenTelemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Logs,
}

/// One flat message on its way.
#[derive(Debug)]
pub(crate) struct Flat {
    /// The place of the message's contract in the catalog.
    pub(crate) contract: usize,
    /// The receiver's name of the message.
    pub(crate) message: String,
    /// The time of the record; 0 if it is unknown. Unit: nanoseconds since the Unix epoch.
    pub(crate) time_nanos: i64,
    /// The URL of the usage server. `None` if there is no `server` exporter.
    pub(crate) url: Option<Url>,
    /// The JSON text of the message.
    pub(crate) body: Bytes,
    pub(crate) key: Option<Key>,
    /// A hash of the engine's instance id. The usage server expects the messages of one engine in
    /// order.
    pub(crate) engine: Option<u64>,
    /// Whether the engine posts the message itself.
    pub(crate) direct: bool,
    /// The consent; never [`Consent::Off`].
    pub(crate) consent: Consent,
}

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

/// A flat message as text.
struct Text {
    message: String,
    time_nanos: i64,
    body: Bytes,
    url: Option<Url>,
}

/// The messages of one request, and what they cost.
#[derive(Debug)]
struct Batch<'s> {
    flats: Vec<Flat>,
    share: &'s mut Share,
    records: usize,
    bytes: usize,
    /// The bytes that are taken from the share; some more than are in use.
    taken: usize,
    /// A buffer for the text of one message.
    text: Vec<u8>,
}

/// A Resource, and the values that each contract reads in it.
struct Source {
    resource: Vec<KeyValue>,
    engine: Option<u64>,
    values: Vec<(usize, ResourceValues)>,
}

impl<'s> Batch<'s> {
    const fn new(share: &'s mut Share) -> Self {
        Self { flats: Vec::new(), share, records: 0, bytes: 0, taken: 0, text: Vec::new() }
    }
}

impl Signal {
    /// Returns the name of the number of refused records in OTLP's answer.
    pub(crate) const fn rejected(self) -> &'static str {
        match self {
            Self::Traces => "rejectedSpans",
            Self::Logs => "rejectedLogRecords",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
        }
    }

    /// Takes the fields of this signal from a table with both.
    fn of<T: ?Sized>(self, tables: [&'static T; 2]) -> &'static T {
        let [traces, logs] = tables;
        match self {
            Self::Traces => traces,
            Self::Logs => logs,
        }
    }
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
        let mut batch = Batch::new(share);
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
                    batch.records = batch.records.saturating_add(1);
                    if batch.records > RECORDS_IN_ONE {
                        return Err(Stop::TooLarge);
                    }
                    let flat = match signal {
                        Signal::Traces => {
                            self.span(group, &mut source, record, now, &mut batch.text)
                        }
                        Signal::Logs => self.log(record, now, &mut batch.text),
                    };
                    match flat {
                        Ok(flat) => self.push(&mut batch, flat),
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

    /// Returns the flat message that an unmodified engine posts, or `None` if no contract knows it or collection is
    /// off.
    ///
    /// # Errors
    ///
    /// The text is no message that a contract knows.
    pub(crate) fn posted(&self, body: &[u8], now: Instant) -> Result<Option<Flat>, Answer> {
        if body.len() > flat::BODY_BYTES {
            return Err(Answer::TooLarge);
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

    /// Adds a message, if there is room for it.
    fn push(&self, batch: &mut Batch<'_>, flat: Option<Flat>) -> Result<(), Stop> {
        let Some(flat) = flat else { return Ok(()) };
        let bytes = flat.body.len().saturating_add(PER_RECORD);
        batch.bytes = batch.bytes.saturating_add(bytes);
        if batch.bytes > self.largest {
            return Err(Stop::TooLarge);
        }
        if batch.bytes > batch.taken {
            let more = bytes.max(STEP);
            if !batch.share.grow(more) {
                return Err(Stop::Busy);
            }
            batch.taken = batch.taken.saturating_add(more);
        }
        batch.flats.push(flat);
        Ok(())
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
            None => source.insert(self.source(self.known(otlp::resource(group)?))),
        };
        let direct = span.attributes.text(transport::DELIVERY) == Some("direct");
        let attributes = self.known(span.attributes);
        let record = self.record(known, &kind, &attributes, otlp::nanos(span.end));
        let body = record.and_then(|record| self.flat(source, contract, known, record, None, text));
        let key = span.key;
        Ok(body.map(|body| Flat { key, direct, consent, ..address(contract, source, body) }))
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
        let mut source = self.source(resource);
        let read = self.record(known, &message.record, &record, time_nanos);
        let body =
            read.and_then(|read| self.flat(&mut source, contract, known, read, Some(object), text));
        let Some(body) = body else { return Ok(None) };
        let key = times.map(|times| {
            let hash = |n: u8| self.hashes.hash_one((n, times, &body.body));
            Key::of_hashes([hash(0), hash(1), hash(2)])
        });
        Ok(Some(Flat { key, consent, ..address(contract, &source, body) }))
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

    fn source(&self, resource: Vec<KeyValue>) -> Source {
        let id = resource.iter().rfind(|attribute| attribute.key.as_str() == INSTANCE_ID);
        let engine = id.map(|id| self.hashes.hash_one(id.value.as_str()));
        Source { resource, engine, values: Vec::with_capacity(1) }
    }

    /// Returns the JSON text of the message, and its URL. A message that was flat before keeps to the keys
    /// that it had, because a key that its engine did not send has no value.
    fn flat(
        &self,
        source: &mut Source,
        contract: usize,
        known: &Known,
        mut record: Record,
        before: Option<&Object>,
        text: &mut Vec<u8>,
    ) -> Option<Text> {
        let compiled = &known.compiled;
        let place = source.values.iter().position(|(known, _)| *known == contract);
        let place = place.unwrap_or_else(|| {
            let mut values = compiled.read_resource(&source.resource);
            compiled.sanitize_resource(&mut values);
            source.values.push((contract, values));
            source.values.len().saturating_sub(1)
        });
        let (_, values) = source.values.get(place)?;
        compiled.sanitize_record(&mut record);
        let message: Message<'_> = flatten(compiled, values, &record)?;
        text.clear();
        message.append_some_json(text, |field| {
            before.is_none_or(|object| object.get(&field.name).is_some())
        });
        Some(Text {
            message: message.name().to_owned(),
            time_nanos: record.time_nanos(),
            body: Bytes::copy_from_slice(text),
            url: known.url(message.endpoint()).cloned(),
        })
    }
}

/// Returns a flat message with the parts that this source knows.
fn address(contract: usize, source: &Source, text: Text) -> Flat {
    let Text { message, time_nanos, body, url } = text;
    Flat {
        contract,
        message,
        time_nanos,
        url,
        body,
        key: None,
        engine: source.engine,
        direct: false,
        consent: Consent::Local,
    }
}
