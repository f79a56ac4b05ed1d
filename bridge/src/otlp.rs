//! The messages of OTLP, as far as a contract reads them.

use std::borrow::Cow;

use opentelemetry::KeyValue;
use otel_usage_schema::Loss;

use crate::part::{Field, Part, Stop, many, one};
use crate::value::{Any, Room, pair};
use crate::window::Key;

/// Most attributes of a Resource or a span that are read. The longest contract has 60.
const ATTRIBUTES: usize = 1024;

/// Longest name of a scope or a span that is read. Unit: bytes.
const NAME: usize = 256;

/// The fields of a request with spans or with log records.
pub(crate) const GROUPS: [&[Field]; 2] = [&[many(1, "resourceSpans")], &[many(1, "resourceLogs")]];
/// The scopes of a group.
pub(crate) const SCOPES: [&[Field]; 2] = [&[many(2, "scopeSpans")], &[many(2, "scopeLogs")]];
/// The records of a scope.
pub(crate) const RECORDS: [&[Field]; 2] = [&[many(2, "spans")], &[many(2, "logRecords")]];

const RESOURCE: &[Field] = &[one(1, "resource")];
const RESOURCE_FIELDS: &[Field] = &[many(1, "attributes")];
const SCOPE: &[Field] = &[one(1, "scope")];
const SCOPE_FIELDS: &[Field] = &[one(1, "name")];
const SPAN: &[Field] = &[
    one(1, "traceId"),
    one(2, "spanId"),
    one(5, "name"),
    one(8, "endTimeUnixNano"),
    many(9, "attributes"),
];
const LOG: &[Field] = &[
    one(1, "timeUnixNano"),
    one(11, "observedTimeUnixNano"),
    one(5, "body"),
    one(9, "traceId"),
    one(10, "spanId"),
];

/// A span.
#[derive(Debug, Default)]
pub(crate) struct Span {
    pub(crate) key: Option<Key>,
    pub(crate) name: String,
    /// The end. Unit: nanoseconds since the Unix epoch.
    pub(crate) end: u64,
    pub(crate) attributes: Attributes,
}

/// A log record, with a body that is not read yet.
#[derive(Debug, Default)]
pub(crate) struct Log<'a> {
    pub(crate) key: Option<Key>,
    /// The time of the event, and the time at which the collector received it; 0 if it is unknown. Unit:
    /// nanoseconds since the Unix epoch.
    pub(crate) times: (u64, u64),
    pub(crate) body: Option<Part<'a>>,
}

/// The attributes of a Resource or a span, and those that no contract can read.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) list: Vec<KeyValue>,
    pub(crate) lost: Vec<Loss>,
    seen: usize,
}

/// Returns the name of a group's scope.
pub(crate) fn scope_name<'a>(scope: Part<'a>) -> Result<Cow<'a, str>, Stop> {
    let mut name = Cow::Borrowed("");
    scope.each(SCOPE, &mut |_, about| {
        about.each(SCOPE_FIELDS, &mut |_, text| {
            name = text.text(NAME).unwrap_or_default();
            Ok(())
        })
    })?;
    Ok(name)
}

/// Returns the attributes of a group's Resource, which may stand before or behind the records.
pub(crate) fn resource(group: Part<'_>) -> Result<Attributes, Stop> {
    let (mut attributes, mut room) = (Attributes::default(), Room::new());
    group.each(RESOURCE, &mut |_, resource| {
        resource.each(RESOURCE_FIELDS, &mut |_, entry| attributes.add(entry, &mut room))
    })?;
    Ok(attributes)
}

/// Reads a span.
pub(crate) fn span(part: Part<'_>) -> Result<Span, Stop> {
    let (mut span, mut room) = (Span::default(), Room::new());
    let (mut trace, mut id) = (None, None);
    part.each(SPAN, &mut |place, value| {
        match place {
            0 => trace = value.id(),
            1 => id = value.id(),
            2 => span.name = value.text(NAME).unwrap_or_default().into_owned(),
            3 => span.end = value.nanos(),
            _ => span.attributes.add(value, &mut room)?,
        }
        Ok(())
    })?;
    span.key = Key::of_span(&trace.unwrap_or_default(), &id.unwrap_or_default());
    Ok(span)
}

/// Reads a log record.
pub(crate) fn log(part: Part<'_>) -> Result<Log<'_>, Stop> {
    let mut log = Log::default();
    let (mut trace, mut id) = (None, None);
    part.each(LOG, &mut |place, value| {
        match place {
            0 => log.times.0 = value.nanos(),
            1 => log.times.1 = value.nanos(),
            2 => log.body = Some(value),
            3 => trace = value.id(),
            _ => id = value.id(),
        }
        Ok(())
    })?;
    log.key = Key::of_span(&trace.unwrap_or_default(), &id.unwrap_or_default());
    Ok(log)
}

/// Returns OTLP's time as the contract has it. Unit: nanoseconds since the Unix epoch.
pub(crate) fn nanos(time_unix_nano: u64) -> i64 {
    i64::try_from(time_unix_nano).unwrap_or(i64::MAX)
}

impl Attributes {
    fn add(&mut self, entry: Part<'_>, room: &mut Room) -> Result<(), Stop> {
        self.seen = self.seen.saturating_add(1);
        if self.seen > ATTRIBUTES {
            // The reasons are counted, and a thousand of them are enough.
            return Ok(());
        }
        let (key, value) = match pair(entry) {
            Ok(Some((key, Some(value)))) => (key, value),
            Ok(_) => return Ok(()),
            Err(_) => {
                self.lost.push(Loss::WrongType);
                return Ok(());
            }
        };
        match Any::of_otlp(value, room) {
            Any::Null => {}
            any => match any.into_attribute() {
                Some(value) => self.list.push(KeyValue::new(key.into_owned(), value)),
                None => self.lost.push(Loss::WrongType),
            },
        }
        Ok(())
    }

    /// Returns the number of attributes that were not read, because there are too many.
    pub(crate) const fn unread(&self) -> usize {
        self.seen.saturating_sub(ATTRIBUTES)
    }

    /// Returns the last value under `name`, if it is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let found = self.list.iter().rfind(|attribute| attribute.key.as_str() == name)?;
        match &found.value {
            opentelemetry::Value::String(text) => Some(text.as_str()),
            _ => None,
        }
    }
}
