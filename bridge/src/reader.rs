//! From a decoded request to flat messages.
//!
//! In: OTLP spans, or log records with flat JSON. Out: [`Flat`]s, each with its destination and
//! identity. The contract and the kind are what the record says, never configuration; what is not
//! in the contract is left out here, and sanitizers run again, whatever the sender has done.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_sdk::trace::SpanData;
use otel_usage::schema::{Environment, transport};
use otel_usage::{Consent, flatten};
use reqwest::Url;

use crate::catalog::{Catalog, Known};
use crate::legacy;
use crate::metrics::{Metrics, Reason, Signal, add};
use crate::otlp;
use crate::unflatten::unflatten;
use crate::window::Key;

/// Who reports, in every contract's Resource.
const INSTANCE: &str = "service.instance.id";

/// One flat message on its way.
#[derive(Debug)]
pub(crate) struct Flat {
    /// The place of its contract in the catalog.
    pub(crate) contract: usize,
    /// `None`: there is no `server` sink.
    pub(crate) url: Option<Url>,
    /// The bytes of the wire.
    pub(crate) body: Bytes,
    pub(crate) key: Option<Key>,
    /// Messages of one engine, which its server expects in order. `None`: nobody's.
    pub(crate) engine: Option<u64>,
    /// The engine has posted it itself.
    pub(crate) direct: bool,
    /// At least local: what is off is not even flattened.
    pub(crate) consent: Consent,
}

#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) catalog: Catalog,
    metrics: Arc<Metrics>,
    hashes: RandomState,
}

/// A Resource, and what each contract that was asked for reads in it.
struct Source {
    resource: Vec<KeyValue>,
    engine: Option<u64>,
    environments: Vec<(usize, Environment)>,
}

impl Reader {
    pub(crate) fn new(catalog: Catalog, metrics: Arc<Metrics>) -> Self {
        Self { catalog, metrics, hashes: RandomState::new() }
    }

    /// The flat messages of a request with spans.
    pub(crate) fn spans(&self, request: ExportTraceServiceRequest, now: Instant) -> Vec<Flat> {
        let mut flats = Vec::new();
        for group in request.resource_spans {
            let mut attributes = Some(group.resource.unwrap_or_default().attributes);
            let mut source = None;
            for scope in group.scope_spans {
                add(&self.metrics.received, Signal { signal: "traces" }, scope.spans.len());
                if scope.scope.is_none_or(|scope| scope.name != otel_usage::SCOPE) {
                    self.metrics.skip("foreign_scope", scope.spans.len());
                    continue;
                }
                for span in scope.spans {
                    // Read for the first span of ours only: others may come in any number.
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
        // A collector may have blanked the span's name.
        let kind = otlp::text(&span.attributes, transport::RECORD).unwrap_or(&span.name).to_owned();
        if !known.compiled.has_record(&kind) {
            self.metrics.skip(if kind == transport::RUN { "run" } else { "unknown_record" }, 1);
            return None;
        }
        let direct = otlp::text(&span.attributes, transport::DELIVERY) == Some("direct");
        let key = Key::of_span(&span.trace_id, &span.span_id);
        let consent = self.consent(known, now)?;
        let span = otlp::span(kind, span);
        let body = self.flat(source, contract, known, &span)?;
        Some(Flat { key, direct, consent, ..address(contract, source, body) })
    }

    /// The flat messages of a request with log records.
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
        let received = otlp::time(if times.0 == 0 { times.1 } else { times.0 });
        let (resource, span) = unflatten(message, &object, received);
        let mut source = self.source(resource);
        let body = self.flat(&mut source, contract, known, &span)?;
        // Log records mostly have no ids. A collector stamps each when it arrives, and a repeated
        // request carries the same stamps.
        let key = Key::of_span(&record.trace_id, &record.span_id).or_else(|| {
            let hash = |n: u8| self.hashes.hash_one((n, times, &body.0));
            (times != (0, 0)).then(|| Key::of_hashes([hash(0), hash(1), hash(2)]))
        });
        Some(Flat { key, consent, ..address(contract, &source, body) })
    }

    /// What the operator of this machine allows; `None`, and counted, when that is nothing.
    fn consent(&self, known: &Known, now: Instant) -> Option<Consent> {
        let consent = known.consent(now);
        if consent == Consent::Off {
            self.metrics.skip("consent", 1);
            return None;
        }
        Some(consent)
    }

    fn source(&self, resource: Vec<KeyValue>) -> Source {
        let id = resource.iter().rfind(|attribute| attribute.key.as_str() == INSTANCE);
        let engine = id.map(|id| self.hashes.hash_one(id.value.as_str()));
        Source { resource, engine, environments: Vec::with_capacity(1) }
    }

    /// The bytes of the wire, and where they are posted to.
    fn flat(
        &self,
        source: &mut Source,
        contract: usize,
        known: &Known,
        span: &SpanData,
    ) -> Option<(Bytes, Option<Url>)> {
        let compiled = &known.compiled;
        let mut lost = |loss: otel_usage::Loss, _: &str| {
            add(&self.metrics.attributes, Reason { reason: loss.as_str() }, 1);
        };
        let Some(mut record) = compiled.read_span(span, &mut lost) else {
            self.metrics.skip("foreign_contract", 1);
            return None;
        };
        let place = source.environments.iter().position(|(known, _)| *known == contract);
        let place = place.unwrap_or_else(|| {
            source.environments.push((contract, compiled.read_environment(&source.resource)));
            source.environments.len().saturating_sub(1)
        });
        let (_, environment) = source.environments.get_mut(place)?;
        compiled.sanitize(environment, &mut record);
        let message = flatten(compiled, environment, &record)?;
        let mut body = Vec::with_capacity(2048);
        message.append_json(&mut body);
        Some((Bytes::from(body), known.url(message.endpoint()).cloned()))
    }
}

/// A flat message of this source, as far as that is known.
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
