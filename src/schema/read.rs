//! What is read by a contract: the only form in which anything goes on to a sink.
//!
//! In: OpenTelemetry Resources and spans. Out: an [`Environment`] and [`Record`]s, which hold one place per
//! declared attribute and no room for anything else; and from them Resource and span again. This is where
//! the world is closed: an attribute without a place is counted and gone, before any sink.

use std::borrow::Cow;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::value::{coerce, sanitize};
use super::{Attribute, CompiledContract, Sanitizer, transport};
use crate::clock::{Clock, system_time, unix_nanos};
pub use crate::loss::Loss;

/// What is known of the machine and the engine: the declared Resource attributes.
#[derive(Debug, Clone, PartialEq)]
pub struct Environment {
    values: Vec<Option<Value>>,
}

/// One report: the declared attributes of one kind, a time and identities.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub(super) message: Option<usize>,
    values: Vec<Option<Value>>,
    id: String,
    start_nanos: i64,
    time_nanos: i64,
    ids: TraceIds,
    link: Option<TraceIds>,
}

/// A span's place in OpenTelemetry's world. Never part of flat JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceIds {
    /// The trace; every report is the root of its own.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
}

impl CompiledContract {
    /// An environment in which nothing is known yet.
    #[must_use]
    pub fn environment(&self) -> Environment {
        Environment { values: vec![None; self.resource.len()] }
    }

    /// Sets one Resource attribute, coerced to its declared type and sanitized.
    ///
    /// Undeclared attributes and values of the wrong type are counted by `lost` and left out.
    pub(crate) fn set(
        &self,
        environment: &mut Environment,
        name: &str,
        value: Value,
        lost: &mut dyn FnMut(Loss, &str),
    ) {
        let Some(index) = self.resource.iter().position(|attribute| attribute.name == name) else {
            if !self.is_omitted(name) {
                lost(Loss::UndeclaredAttribute, name);
            }
            return;
        };
        let (Some(attribute), Some(place)) =
            (self.resource.get(index), environment.values.get_mut(index))
        else {
            return;
        };
        match coerce(value, attribute.ty) {
            Ok(value) => *place = Some(sanitize(value, &attribute.sanitize)),
            Err(loss) => lost(loss, name),
        }
    }

    /// Reads the declared attributes of a Resource, as it is: nothing is sanitized.
    #[must_use]
    pub fn read_resource(&self, resource: &Resource) -> Environment {
        let values = self
            .resource
            .iter()
            .map(|attribute| {
                let value =
                    resource.get_ref(&opentelemetry::Key::new(attribute.name.to_string()))?;
                coerce(value.clone(), attribute.ty).ok()
            })
            .collect();
        Environment { values }
    }

    /// Reads a Resource's declared attributes from a list, as they are: nothing is sanitized.
    ///
    /// For a receiver, to whom the Resource comes as a list: the same as [`Self::read_resource`]
    /// without building a [`Resource`] first. A key that occurs twice keeps its last value.
    #[must_use]
    pub fn read_environment(&self, attributes: &[KeyValue]) -> Environment {
        let mut environment = self.environment();
        // They mostly come in the contract's order, or in no order at all.
        let mut expected = 0_usize;
        for KeyValue { key, value, .. } in attributes {
            let index = match self.resource.get(expected) {
                Some(attribute) if attribute.name == key.as_str() => Some(expected),
                _ => self.resource.iter().position(|attribute| attribute.name == key.as_str()),
            };
            let Some(index) = index else { continue };
            expected = index.saturating_add(1);
            if let (Some(attribute), Some(place)) =
                (self.resource.get(index), environment.values.get_mut(index))
            {
                *place = coerce(value.clone(), attribute.ty).ok();
            }
        }
        environment
    }

    /// The OpenTelemetry Resource of `environment`. Holds declared attributes only.
    #[must_use]
    pub fn resource(&self, environment: &Environment) -> Resource {
        let attributes =
            self.resource.iter().zip(&environment.values).filter_map(|(attribute, value)| {
                Some(KeyValue::new(attribute.name.clone(), value.clone()?))
            });
        Resource::builder_empty().with_attributes(attributes).build()
    }

    /// Reads the declared attributes of a span, as they are: nothing is sanitized.
    ///
    /// The span's name is the record's kind. `None`, with a word to `lost`, when the contract has no
    /// such kind or the span names another contract. A key that occurs twice keeps its last value.
    pub fn read_span(&self, span: &SpanData, lost: &mut dyn FnMut(Loss, &str)) -> Option<Record> {
        let ids =
            TraceIds { trace: span.span_context.trace_id(), span: span.span_context.span_id() };
        let mut record =
            self.read(&span.name, &span.attributes, unix_nanos(span.end_time), ids, lost)?;
        record.start_nanos = unix_nanos(span.start_time);
        record.link = span.links.first().map(|link| TraceIds {
            trace: link.span_context.trace_id(),
            span: link.span_context.span_id(),
        });
        Some(record)
    }

    /// Reads a record of `kind` from attributes; see [`Self::read_span`].
    pub(crate) fn read(
        &self,
        kind: &str,
        attributes: &[KeyValue],
        time_nanos: i64,
        ids: TraceIds,
        lost: &mut dyn FnMut(Loss, &str),
    ) -> Option<Record> {
        let message = self.message_of(kind);
        if message.is_none() && kind != transport::RUN {
            lost(Loss::UnknownRecord, kind);
            return None;
        }
        let declared = message
            .and_then(|index| self.messages.get(index))
            .map_or(&[][..], |message| &message.attributes);
        let mut record = Record {
            message,
            values: vec![None; declared.len()],
            id: String::new(),
            start_nanos: time_nanos,
            time_nanos,
            ids,
            link: None,
        };
        // Attributes mostly come in the contract's order: look at the expected place first.
        let mut expected = 0_usize;
        for KeyValue { key, value, .. } in attributes {
            match key.as_str() {
                transport::CONTRACT if value.as_str() != self.contract.id => {
                    lost(Loss::ForeignContract, &value.as_str());
                    return None;
                }
                transport::RECORD_ID => record.id = value.as_str().into_owned(),
                transport::CONTRACT | transport::RECORD | transport::DELIVERY => {}
                name => {
                    let index = match declared.get(expected) {
                        Some(attribute) if attribute.name == name => Some(expected),
                        _ => declared.iter().position(|attribute| attribute.name == name),
                    };
                    let Some((index, attribute)) = index.and_then(|i| Some((i, declared.get(i)?)))
                    else {
                        if !self.is_omitted(name) {
                            lost(Loss::UndeclaredAttribute, name);
                        }
                        continue;
                    };
                    expected = index.saturating_add(1);
                    match coerce(value.clone(), attribute.ty) {
                        Ok(value) => {
                            if let Some(place) = record.values.get_mut(index) {
                                *place = Some(value);
                            }
                        }
                        Err(loss) => lost(loss, name),
                    }
                }
            }
        }
        Some(record)
    }

    /// Runs the contract's sanitizers over what was read from a Resource and a span.
    ///
    /// For records that come from elsewhere: those made here have been through them, and a second
    /// pass changes nothing.
    pub fn sanitize(&self, environment: &mut Environment, record: &mut Record) {
        clean(&mut environment.values, &self.resource);
        if let Some(message) = record.message.and_then(|index| self.messages.get(index)) {
            clean(&mut record.values, &message.attributes);
        }
        record.id = Sanitizer::Uuid.text(&record.id).into_owned();
    }

    /// Runs the contract's sanitizers over `record`, and gives it an identity if it has none.
    pub(crate) fn make_fit(&self, record: &mut Record, clock: &Clock) {
        if let Some(message) = record.message.and_then(|index| self.messages.get(index)) {
            clean(&mut record.values, &message.attributes);
        }
        record.id = Sanitizer::Uuid.text(&record.id).into_owned();
        if record.id.is_empty() {
            record.id = clock.uuid().to_string();
        }
    }

    /// `record` as the span that is exported: declared and transport attributes, nothing else.
    ///
    /// `direct`: this process posts to the usage server too.
    #[must_use]
    pub fn span(&self, record: &Record, direct: bool) -> SpanData {
        let kind = record.kind(self).to_owned();
        let mut attributes = vec![
            KeyValue::new(transport::CONTRACT, self.contract.id.clone()),
            KeyValue::new(transport::RECORD, kind.clone()),
            KeyValue::new(transport::RECORD_ID, record.id.clone()),
        ];
        if direct {
            attributes.push(KeyValue::new(transport::DELIVERY, "direct"));
        }
        if let Some(message) = record.message.and_then(|index| self.messages.get(index)) {
            attributes.extend(message.attributes.iter().zip(&record.values).filter_map(
                |(attribute, value)| Some(KeyValue::new(attribute.name.clone(), value.clone()?)),
            ));
        }
        let mut links = SpanLinks::default();
        if let Some(run) = record.link {
            links.links.push(opentelemetry::trace::Link::with_context(run.context()));
        }
        SpanData {
            span_context: record.ids.context(),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: Cow::Owned(kind),
            start_time: system_time(record.start_nanos),
            end_time: system_time(record.time_nanos),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: opentelemetry::trace::Status::Unset,
            instrumentation_scope: InstrumentationScope::builder(crate::SCOPE)
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }
}

impl Environment {
    pub(crate) fn value(&self, index: usize) -> Option<&Value> {
        self.values.get(index)?.as_ref()
    }
}

impl Record {
    pub(crate) fn value(&self, index: usize) -> Option<&Value> {
        self.values.get(index)?.as_ref()
    }

    /// The record's kind: the name of its span.
    #[must_use]
    pub fn kind<'a>(&self, contract: &'a CompiledContract) -> &'a str {
        self.message
            .and_then(|index| contract.contract.messages.get(index))
            .map_or(transport::RUN, |spec| spec.record.as_ref())
    }

    /// The record's time, in nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn time_nanos(&self) -> i64 {
        self.time_nanos
    }

    /// The record's identity: UUID v4. Empty until the record is made fit to leave.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) const fn set_start(&mut self, nanos: i64) {
        self.start_nanos = nanos;
    }

    pub(crate) const fn link_to(&mut self, run: TraceIds) {
        self.link = Some(run);
    }
}

impl TraceIds {
    pub(crate) fn context(self) -> SpanContext {
        SpanContext::new(self.trace, self.span, TraceFlags::SAMPLED, false, TraceState::default())
    }
}

/// Each value after its attribute's sanitizers.
fn clean(values: &mut [Option<Value>], attributes: &[Attribute]) {
    for (value, attribute) in values.iter_mut().zip(attributes) {
        *value = value.take().map(|value| sanitize(value, &attribute.sanitize));
    }
}
