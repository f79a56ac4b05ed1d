//! A value as a sender wrote it, with a bound on what is built of it.
//!
//! It comes from OTLP's `AnyValue` or from flat JSON. A value that cannot be used costs its field and nothing
//! else.

use std::borrow::Cow;

use opentelemetry::{StringValue, Value};
use otel_usage_schema::Loss;
use serde_json::value::RawValue;

use crate::part::{Field, Part, Stop, entries, items, json_text, many, one, whole, whole_of};

/// Most entries of lists and maps in one record. The longest record known has 60 fields and 15 counts.
pub(crate) const ENTRIES: usize = 4096;

/// Longest text that is read of a value; the rest is cut. Contracts cut texts to 1,024 characters. Unit:
/// bytes.
const TEXT: usize = 64 * 1024;

/// Deepest list in a list. Messages are flat, and only a histogram is a map in a message.
const DEPTH: usize = 4;

/// A value of any type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Any {
    Null,
    Bool(bool),
    Int(i64),
    /// A number with a fraction, or one that is not finite.
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
    /// Bytes, a text that is no Unicode, or more than the record has room for.
    Unusable,
}

/// A key and its value, which may be unset.
type Pair<'a> = (Cow<'a, str>, Option<Part<'a>>);

/// The entries that a record may still have.
#[derive(Debug)]
pub(crate) struct Room(usize);

const ANY: &[Field] = &[
    one(1, "stringValue"),
    one(2, "boolValue"),
    one(3, "intValue"),
    one(4, "doubleValue"),
    one(5, "arrayValue"),
    one(6, "kvlistValue"),
    one(7, "bytesValue"),
];
const VALUES: &[Field] = &[many(1, "values")];
const ENTRY: &[Field] = &[one(1, "key"), one(2, "value")];

impl Room {
    pub(crate) const fn new() -> Self {
        Self(ENTRIES)
    }

    fn take(&mut self) -> Result<(), Stop> {
        self.0 = self.0.checked_sub(1).ok_or(Stop::TooLarge)?;
        Ok(())
    }
}

impl Any {
    /// Reads OTLP's `AnyValue`.
    pub(crate) fn of_otlp(part: Part<'_>, room: &mut Room) -> Self {
        Self::otlp(part, room, DEPTH)
    }

    fn otlp(part: Part<'_>, room: &mut Room, depth: usize) -> Self {
        let Some(depth) = depth.checked_sub(1) else { return Self::Unusable };
        let mut found = Self::Null;
        let read = part.each(ANY, &mut |place, value| {
            let read = match place {
                0 => value.text(TEXT).map(|text| Self::Text(text.into_owned())),
                1 => value.flag().map(Self::Bool),
                2 => value.int().map(Self::Int),
                3 => value.double().map(Self::Float),
                4 => Self::list(value, room, depth),
                5 => Self::map(value, room, depth),
                _ => None,
            };
            found = read.unwrap_or(Self::Unusable);
            Ok(())
        });
        if read.is_ok() { found } else { Self::Unusable }
    }

    fn list(part: Part<'_>, room: &mut Room, depth: usize) -> Option<Self> {
        let mut list = Vec::new();
        let read = part.each(VALUES, &mut |_, value| {
            room.take()?;
            list.push(Self::otlp(value, room, depth));
            Ok(())
        });
        read.ok().map(|()| Self::List(list))
    }

    fn map(part: Part<'_>, room: &mut Room, depth: usize) -> Option<Self> {
        let mut map = Vec::new();
        let read = part.each(VALUES, &mut |_, entry| {
            room.take()?;
            if let Some((key, value)) = pair(entry)? {
                let value = value.map_or(Self::Null, |value| Self::otlp(value, room, depth));
                map.push((key.into_owned(), value));
            }
            Ok(())
        });
        read.ok().map(|()| Self::Map(map))
    }

    /// Reads a value of flat JSON.
    pub(crate) fn of_json(raw: &RawValue, room: &mut Room) -> Self {
        Self::json(raw, room, DEPTH)
    }

    fn json(raw: &RawValue, room: &mut Room, depth: usize) -> Self {
        let Some(depth) = depth.checked_sub(1) else { return Self::Unusable };
        let text = raw.get();
        let read = match text.as_bytes().first() {
            Some(b'n') => Some(Self::Null),
            Some(b't' | b'f') => text.parse().ok().map(Self::Bool),
            Some(b'"') => json_text(raw, TEXT).map(|text| Self::Text(text.into_owned())),
            Some(b'[') => {
                let mut list = Vec::new();
                let read = items(raw, &mut |item| {
                    room.take()?;
                    list.push(Self::json(item, room, depth));
                    Ok(())
                });
                read.ok().map(|()| Self::List(list))
            }
            Some(b'{') => {
                let mut map = Vec::new();
                let read = entries(raw, &mut |key, value| {
                    room.take()?;
                    if let Some(key) = json_text(key, TEXT) {
                        map.push((key.into_owned(), Self::json(value, room, depth)));
                    }
                    Ok(())
                });
                read.ok().map(|()| Self::Map(map))
            }
            _ => text.parse().map(Self::Int).or_else(|_| text.parse().map(Self::Float)).ok(),
        };
        read.unwrap_or(Self::Unusable)
    }

    /// Returns the value as an attribute, `None` if no attribute holds it.
    pub(crate) fn into_attribute(self) -> Option<Value> {
        Some(match self {
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::I64(value),
            Self::Float(value) => Value::F64(value),
            Self::Text(text) => Value::String(text.into()),
            Self::List(list) => match list.first() {
                Some(Self::Bool(_)) => all(list, |any| match any {
                    Self::Bool(value) => Some(value),
                    _ => None,
                })?,
                Some(Self::Int(_)) => all(list, |any| match any {
                    Self::Int(value) => Some(value),
                    _ => None,
                })?,
                Some(Self::Float(_)) => all(list, |any| match any {
                    Self::Float(value) => Some(value),
                    _ => None,
                })?,
                // The type of an empty list does not travel.
                _ => all(list, Self::into_text)?,
            },
            Self::Null | Self::Map(_) | Self::Unusable => return None,
        })
    }

    /// Returns the whole number that the value is, also as a double or as text: parsers of collectors make
    /// doubles of all numbers.
    pub(crate) fn whole(&self) -> Result<i64, Loss> {
        let number = match self {
            Self::Int(value) => Some(*value),
            Self::Float(value) if !value.is_finite() => return Err(Loss::NotFinite),
            Self::Float(value) => whole_of(*value),
            Self::Text(text) => whole(text),
            _ => None,
        };
        number.ok_or(Loss::WrongType)
    }

    pub(crate) fn into_text(self) -> Option<StringValue> {
        match self {
            Self::Text(text) => Some(text.into()),
            _ => None,
        }
    }
}

/// Returns the key and the value of a `KeyValue`. `None` if the key is no text.
pub(crate) fn pair(entry: Part<'_>) -> Result<Option<Pair<'_>>, Stop> {
    let (mut key, mut value) = (None, None);
    entry.each(ENTRY, &mut |place, part| {
        if place == 0 {
            key = part.text(TEXT);
        } else {
            value = Some(part);
        }
        Ok(())
    })?;
    Ok(key.map(|key| (key, value)))
}

/// Takes every entry of a list, or returns `None` if one of them has another type.
fn all<T>(list: Vec<Any>, take: impl Fn(Any) -> Option<T>) -> Option<Value>
where
    opentelemetry::Array: From<Vec<T>>,
{
    let all: Option<Vec<T>> = list.into_iter().map(take).collect();
    Some(Value::Array(all?.into()))
}
