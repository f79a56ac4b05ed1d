//! A contract made ready for use, and the two things that are read by it.
//!
//! In: a [`Contract`] table, then OpenTelemetry Resources and spans. Out: an [`Environment`] and
//! [`Record`]s, which hold one place per declared attribute and no room for anything else. This
//! is where the world is closed: an attribute without a place is counted and gone, before any sink.

use std::borrow::Cow;
use std::ops::Range;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::value::{coerce, sanitize};
use super::{
    Attribute, Contract, ENVIRONMENT, Field, MessageSpec, Sanitizer, Source, check, transport,
};
use crate::clock::{Clock, system_time, unix_nanos};
use crate::error::Error;
pub use crate::loss::Loss;

/// A contract whose tables agree with each other, with every name resolved to a place.
#[derive(Debug)]
pub struct CompiledContract {
    contract: Contract,
    resource: Vec<Attribute>,
    messages: Vec<CompiledMessage>,
}

#[derive(Debug)]
pub(crate) struct CompiledMessage {
    attributes: Vec<Attribute>,
    pub(crate) fields: Vec<CompiledField>,
    /// What stands before each value on the wire, one field after the other.
    keys: Vec<u8>,
}

/// Where a field finds its value.
#[derive(Debug)]
pub(crate) struct CompiledField {
    pub(crate) slot: Slot,
    /// Its place in the message's `keys`.
    key: Range<usize>,
}

#[derive(Debug)]
pub(crate) enum Slot {
    Constant,
    Record(usize),
    Resource(usize),
    ResourceOr { place: usize, fallback: usize, unless: usize },
    ResourceJoined(Vec<usize>),
    ResourceMapped(usize),
    Time,
}

/// What is known of the machine and the engine: the declared Resource attributes.
#[derive(Debug, Clone, PartialEq)]
pub struct Environment {
    values: Vec<Option<Value>>,
}

/// One report: the declared attributes of one kind, a time and identities.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    message: Option<usize>,
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
    /// Checks `contract` and resolves its names.
    ///
    /// # Errors
    ///
    /// When the tables contradict each other: a kind, a wire name or an attribute twice, a Resource
    /// attribute that is not declared, a field added to a message that is not there.
    pub fn new(contract: &Contract) -> Result<Self, Error> {
        let wrong = |what: String| Error::contract(&contract.id, what);
        let resource: Vec<Attribute> = ENVIRONMENT
            .iter()
            .chain(contract.attributes.iter())
            .filter(|attribute| !contract.omitted.contains(&attribute.name))
            .cloned()
            .collect();
        check::contract(contract, &resource).map_err(wrong)?;
        let messages = contract
            .messages
            .iter()
            .map(|spec| {
                CompiledMessage::new(spec, &resource)
                    .map_err(|what| wrong(format!("message `{}`: {what}", spec.name)))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { contract: contract.clone(), resource, messages })
    }

    /// The tables this was made from.
    #[must_use]
    pub const fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Whether records of `kind` become a message.
    #[must_use]
    pub fn has_record(&self, kind: &str) -> bool {
        self.message_of(kind).is_some()
    }

    /// Whether the operator leaves this attribute out: then it is no loss.
    pub(crate) fn is_omitted(&self, name: &str) -> bool {
        self.contract.omitted.iter().any(|omitted| omitted == name)
    }

    /// The Resource attributes that may leave, in the order in which they are exported.
    #[must_use]
    pub fn resource_attributes(&self) -> &[Attribute] {
        &self.resource
    }

    /// Whether the contract has this Resource attribute, and the operator has not left it out.
    pub(crate) fn has_resource(&self, name: &str) -> bool {
        self.resource.iter().any(|attribute| attribute.name == name)
    }

    fn message_of(&self, kind: &str) -> Option<usize> {
        self.contract.messages.iter().position(|spec| spec.record == kind)
    }

    /// The message table behind `record`, with its resolved fields. `None` for the run's span.
    pub(crate) fn message(&self, record: &Record) -> Option<(&MessageSpec, &CompiledMessage)> {
        let index = record.message?;
        Some((self.contract.messages.get(index)?, self.messages.get(index)?))
    }

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

impl CompiledMessage {
    fn new(spec: &MessageSpec, resource: &[Attribute]) -> Result<Self, String> {
        check::message(spec)?;
        let mut attributes = Vec::with_capacity(spec.fields.len());
        let mut fields = Vec::with_capacity(spec.fields.len());
        // Most keys are shorter, with their quotes and separators.
        let mut keys = Vec::with_capacity(spec.fields.len().saturating_mul(32));
        for field in spec.fields.iter() {
            let start = keys.len();
            keys.extend_from_slice(if fields.is_empty() { b"" } else { b", " });
            crate::json::append_text(&mut keys, &field.name);
            keys.extend_from_slice(b": ");
            let slot = slot(field, &mut attributes, resource)?;
            fields.push(CompiledField { slot, key: start..keys.len() });
        }
        Ok(Self { attributes, fields, keys })
    }

    /// The bytes between the value before `field` and its own: `, "key": `.
    pub(crate) fn key(&self, field: &CompiledField) -> &[u8] {
        self.keys.get(field.key.clone()).unwrap_or_default()
    }
}

fn slot(
    field: &Field,
    record: &mut Vec<Attribute>,
    resource: &[Attribute],
) -> Result<Slot, String> {
    let place = |name: &str| {
        resource.iter().position(|attribute| attribute.name == name).ok_or_else(|| {
            format!("field `{}` reads the undeclared resource attribute `{name}`", field.name)
        })
    };
    let places = |names: &[Cow<'static, str>]| {
        names.iter().map(|name| place(name)).collect::<Result<_, _>>()
    };
    Ok(match &field.source {
        Source::Constant(_) => Slot::Constant,
        Source::Time => Slot::Time,
        Source::Resource(name) => Slot::Resource(place(name)?),
        Source::ResourceOr { name, fallback, unless } => Slot::ResourceOr {
            place: place(name)?,
            fallback: place(fallback)?,
            unless: place(unless)?,
        },
        Source::ResourceJoined(names) => Slot::ResourceJoined(places(names)?),
        Source::ResourceMapped(name, _) => Slot::ResourceMapped(place(name)?),
        Source::Record(name) => {
            if record.iter().any(|attribute| attribute.name == *name) {
                return Err(format!("two fields read the attribute `{name}`"));
            }
            record.push(Attribute {
                name: name.clone(),
                ty: field.ty.of_attribute(),
                sanitize: field.sanitize.clone(),
                doc: field.doc.clone(),
                privacy: field.privacy,
                example: field.example.clone(),
            });
            Slot::Record(record.len().saturating_sub(1))
        }
    })
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
