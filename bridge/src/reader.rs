//! Turns a decoded request into flat messages.
//!
//! Each record names its own contract and kind; the bridge's configuration does not affect it. Attributes
//! outside the contract are left out, and sanitizers run again, because the sender may not have run them.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use otel_usage_schema::resource::INSTANCE_ID;
use otel_usage_schema::{Consent, Loss, Record, ResourceValues, flatten, transport};
use reqwest::Url;

use crate::catalog::{Catalog, Known};
use crate::legacy;
use crate::metrics::{Metrics, Reason, Signal, add};
use crate::otlp;
use crate::unflatten::{Unflattened, unflatten};
use crate::window::Key;

/// One flat message on its way.
#[derive(Debug)]
pub(crate) struct Flat {
    /// The place of the message's contract in the catalog.
    pub(crate) contract: usize,
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
    metrics: Arc<Metrics>,
    hashes: RandomState,
}

/// A Resource, and the values that each contract reads in it.
struct Source {
    resource: Vec<KeyValue>,
    engine: Option<u64>,
    values: Vec<(usize, ResourceValues)>,
}

impl Reader {
    pub(crate) fn new(catalog: Catalog, metrics: Arc<Metrics>) -> Self {
        Self { catalog, metrics, hashes: RandomState::new() }
    }

    /// Returns the flat messages of a request with spans.
    pub(crate) fn spans(&self, request: ExportTraceServiceRequest, now: Instant) -> Vec<Flat> {
        let mut flats = Vec::new();
        for group in request.resource_spans {
            let mut attributes = Some(group.resource.unwrap_or_default().attributes);
            let mut source = None;
            for scope in group.scope_spans {
                add(&self.metrics.received, Signal { signal: "traces" }, scope.spans.len());
                if scope.scope.is_none_or(|scope| scope.name != transport::SCOPE) {
                    self.metrics.skip("foreign_scope", scope.spans.len());
                    continue;
                }
                for span in scope.spans {
                    // The Resource is read only if a span is ours.
                    let source = source.get_or_insert_with(|| {
                        self.source(otlp::attributes(attributes.take().unwrap_or_default()))
                    });
                    flats.extend(self.span(source, span, now));
                }
            }
        }
        flats
    }

    fn span(&self, source: &mut Source, span: Span, now: Instant) -> Option<Flat> {
        let contract = otlp::text(&span.attributes, transport::CONTRACT)
            .and_then(|id| self.catalog.position(id));
        let Some((contract, known)) = contract.and_then(|i| Some((i, self.catalog.known.get(i)?)))
        else {
            self.metrics.skip("unknown_contract", 1);
            return None;
        };
        // A collector may have removed the span's name.
        let kind =
            otlp::text(&span.attributes, transport::RECORD_KIND).unwrap_or(&span.name).to_owned();
        if !known.compiled.has_record(&kind) {
            self.metrics.skip(if kind == transport::RUN { "run" } else { "unknown_record" }, 1);
            return None;
        }
        let direct = otlp::text(&span.attributes, transport::DELIVERY) == Some("direct");
        let key = Key::of_span(&span.trace_id, &span.span_id);
        let consent = self.consent(known, now)?;
        let attributes = otlp::attributes(span.attributes);
        let record =
            self.record(known, &kind, &attributes, otlp::nanos(span.end_time_unix_nano))?;
        let body = self.flat(source, contract, known, record)?;
        Some(Flat { key, direct, consent, ..address(contract, source, body) })
    }

    /// Returns the flat messages of a request with log records.
    pub(crate) fn logs(&self, request: ExportLogsServiceRequest, now: Instant) -> Vec<Flat> {
        let scopes = request.resource_logs.into_iter().flat_map(|group| group.scope_logs);
        let records = scopes.flat_map(|scope| scope.log_records);
        records.filter_map(|record| self.log(record, now)).collect()
    }

    fn log(&self, record: LogRecord, now: Instant) -> Option<Flat> {
        add(&self.metrics.received, Signal { signal: "logs" }, 1);
        let times = (record.time_unix_nano, record.observed_time_unix_nano);
        let Some(object) = record.body.and_then(legacy::object) else {
            self.metrics.lose("not_flat_json", 1);
            return None;
        };
        let Some((contract, message)) = legacy::recognise(&self.catalog, &object) else {
            self.metrics.lose("not_recognised", 1);
            return None;
        };
        let known = self.catalog.known.get(contract)?;
        let consent = self.consent(known, now)?;
        let received = otlp::nanos(if times.0 == 0 { times.1 } else { times.0 });
        let Unflattened { resource, record: attributes, time_nanos } =
            unflatten(message, &object, received);
        let mut source = self.source(resource);
        let read = self.record(known, &message.record, &attributes, time_nanos)?;
        let body = self.flat(&mut source, contract, known, read)?;
        // Most log records have no ids. A collector sets their times when they arrive, and a repeated
        // request has the same times.
        let key = Key::of_span(&record.trace_id, &record.span_id).or_else(|| {
            let hash = |n: u8| self.hashes.hash_one((n, times, &body.0));
            (times != (0, 0)).then(|| Key::of_hashes([hash(0), hash(1), hash(2)]))
        });
        Some(Flat { key, consent, ..address(contract, &source, body) })
    }

    /// Reads a record, and counts what is lost.
    fn record(
        &self,
        known: &Known,
        kind: &str,
        attributes: &[KeyValue],
        time_nanos: i64,
    ) -> Option<Record> {
        let mut lost = |loss: Loss, _: &str| {
            add(&self.metrics.attributes, Reason { reason: loss.as_str() }, 1);
        };
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

    /// Returns the JSON text of the message, and its URL.
    fn flat(
        &self,
        source: &mut Source,
        contract: usize,
        known: &Known,
        mut record: Record,
    ) -> Option<(Bytes, Option<Url>)> {
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
        let message = flatten(compiled, values, &record)?;
        let mut body = Vec::with_capacity(2048);
        message.append_json(&mut body);
        Some((Bytes::from(body), known.url(message.endpoint()).cloned()))
    }
}

/// Returns a flat message with the parts that this source knows.
fn address(contract: usize, source: &Source, (body, url): (Bytes, Option<Url>)) -> Flat {
    Flat {
        contract,
        url,
        body,
        key: None,
        engine: source.engine,
        direct: false,
        consent: Consent::Local,
    }
}
