//! From (Resource, record) to the flat message of the wire.
//!
//! Pure: knows neither clock nor network nor configuration, so the engine, a preview and a bridge
//! in another process and time zone make the same bytes. In: an [`Environment`] and a [`Record`]
//! read by the same contract. Out: a [`Message`], a view that serialises in the contract's order.

use std::borrow::Cow;
use std::fmt::Write as _;

use opentelemetry::{Array, StringValue, Value};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::json;
use crate::schema::{
    CompiledContract, CompiledField, CompiledMessage, Environment, Field, Literal, MessageSpec,
    Record, Slot, Source, Type,
};

/// Flattens `record`; `None` when its kind has no message (the span of the whole run).
///
/// `environment` and `record` must have been read by `contract`.
#[must_use]
pub fn flatten<'a>(
    contract: &'a CompiledContract,
    environment: &'a Environment,
    record: &'a Record,
) -> Option<Message<'a>> {
    let (spec, compiled) = contract.message(record)?;
    Some(Message { spec, compiled, environment, record })
}

/// One flat message, ready to be serialised.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    spec: &'a MessageSpec,
    compiled: &'a CompiledMessage,
    environment: &'a Environment,
    record: &'a Record,
}

/// A value as it stands on the wire.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Json<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// A number with a fraction; always finite.
    Float(f64),
    /// A whole number.
    Int(i64),
    /// Counts under the bounds of a histogram; without a count it is zero.
    Counts {
        /// The bounds, which are the keys.
        bounds: &'a [f64],
        /// A count for each.
        counts: &'a [i64],
    },
    /// A list of whole numbers.
    Ints(&'a [i64]),
    /// `null`.
    Null,
    /// Text.
    Str(Cow<'a, str>),
    /// A list of texts.
    Strs(Cow<'a, [Cow<'a, str>]>),
}

impl<'a> Message<'a> {
    /// The receiver's name for this message, for example `EnvMessage`.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.spec.name
    }

    /// Path below the server's base URL; empty for the base URL itself.
    #[must_use]
    pub fn endpoint(&self) -> &'a str {
        &self.spec.endpoint
    }

    /// The table of this message.
    #[must_use]
    pub const fn spec(&self) -> &'a MessageSpec {
        self.spec
    }

    /// The fields with their values, in the order of the wire.
    pub fn fields(&self) -> impl Iterator<Item = (&'a Field, Json<'a>)> + '_ {
        self.places().filter_map(|(field, compiled)| Some((field, self.value(field, compiled)?)))
    }

    fn places(&self) -> impl Iterator<Item = (&'a Field, &'a CompiledField)> + use<'a> {
        self.spec.fields.iter().zip(&self.compiled.fields)
    }

    /// `None`: the key is left out.
    #[inline]
    fn value(&self, field: &'a Field, compiled: &'a CompiledField) -> Option<Json<'a>> {
        let found = match self.found(field, compiled) {
            None if field.optional => return None,
            found => found,
        };
        Some(found.unwrap_or_else(|| literal_json(&field.absent, field)))
    }

    #[inline]
    fn found(&self, field: &'a Field, compiled: &'a CompiledField) -> Option<Json<'a>> {
        let resource = |index: &usize| self.environment.value(*index);
        let value = match &compiled.slot {
            Slot::Constant => match &field.source {
                // A field that the operator leaves out says what it says where it is absent.
                Source::Constant(literal) if !field.optional => {
                    return Some(literal_json(literal, field));
                }
                _ => None,
            },
            Slot::Time => return Some(Json::Int(self.record.time_nanos())),
            Slot::Record(index) => self.record.value(*index),
            Slot::Resource(index) => resource(index),
            Slot::ResourceOr { place, fallback, unless } => match resource(place) {
                None if resource(unless).is_none() => resource(fallback),
                value => value,
            },
            Slot::ResourceJoined(indices) => {
                let parts: Vec<Cow<'_, str>> = indices
                    .iter()
                    .map(|index| resource(index).map_or(Cow::Borrowed(""), Value::as_str))
                    .collect();
                return Some(Json::Str(Cow::Owned(parts.join(","))));
            }
            Slot::ResourceMapped(index) => return self.mapped(field, *index),
        };
        attribute_json(value?, field)
    }

    fn mapped(&self, field: &'a Field, index: usize) -> Option<Json<'a>> {
        let Source::ResourceMapped(_, words) = &field.source else { return None };
        let Value::String(value) = self.environment.value(index)? else { return None };
        let (_, wire) = words.iter().find(|(attribute, _)| attribute == value.as_str())?;
        Some(Json::Str(Cow::Borrowed(wire)))
    }

    /// The exact bytes of the wire: one flat JSON object in the form of Python's `json.dumps`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(2048);
        self.append_json(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// Appends the exact bytes of the wire to `out`.
    ///
    /// Writes what [`Serialize`] with [`crate::PythonFormatter`] would, without asking for each key
    /// how it is spelt.
    pub fn append_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (field, compiled) in self.places() {
            let Some(value) = self.value(field, compiled) else { continue };
            out.extend_from_slice(self.compiled.key(compiled));
            match value {
                Json::Bool(true) => out.extend_from_slice(b"true"),
                Json::Bool(false) => out.extend_from_slice(b"false"),
                Json::Null => out.extend_from_slice(b"null"),
                Json::Str(text) => json::append_text(out, &text),
                value => json::append(out, &value),
            }
        }
        out.push(b'}');
    }

    /// The message for a reader: a field a line, two spaces of indent.
    #[must_use]
    pub fn to_pretty_json(&self) -> String {
        let lines: Vec<String> = self
            .fields()
            .map(|(field, value)| {
                format!("  {}: {}", json::to_string(&field.name), json::to_string(&value))
            })
            .collect();
        format!("{{\n{}\n}}", lines.join(",\n"))
    }

    /// LMCache's text log: `key: value` a line in Python's notation, then an empty line.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::with_capacity(512);
        for (field, value) in self.fields() {
            let _ = writeln!(out, "{}: {}", field.name, PythonStr(&value));
        }
        out.push('\n');
        out
    }
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (field, value) in self.fields() {
            map.serialize_entry(field.name.as_ref(), &value)?;
        }
        map.end()
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Counts { bounds, counts } => serializer.collect_map(under(bounds, counts)),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Ints(values) => serializer.collect_seq(values.iter()),
            Self::Null => serializer.serialize_unit(),
            Self::Str(value) => serializer.serialize_str(value),
            Self::Strs(values) => serializer.collect_seq(values.iter()),
        }
    }
}

/// Each count by its key: the bound, without a fraction where it has none.
fn under<'a>(
    bounds: &'a [f64],
    counts: &'a [i64],
) -> impl Iterator<Item = (String, i64)> + use<'a> {
    let counts = counts.iter().copied().chain(std::iter::repeat(0));
    bounds.iter().map(f64::to_string).zip(counts)
}

#[inline]
fn attribute_json<'a>(value: &'a Value, field: &'a Field) -> Option<Json<'a>> {
    Some(match (field.ty, value) {
        (Type::Bool, Value::Bool(value)) => Json::Bool(*value),
        (Type::Float, Value::F64(value)) => Json::Float(*value),
        (Type::Histogram, Value::Array(Array::I64(counts))) => {
            Json::Counts { bounds: &field.bounds, counts }
        }
        (Type::Int, Value::I64(value)) => Json::Int(*value),
        (Type::Str, Value::String(value)) => Json::Str(Cow::Borrowed(value.as_str())),
        (Type::Ints, Value::Array(Array::I64(values))) => Json::Ints(values),
        (Type::Strs, Value::Array(Array::String(values))) => {
            Json::Strs(values.iter().map(StringValue::as_str).map(Cow::Borrowed).collect())
        }
        _ => return None,
    })
}

#[inline]
fn literal_json<'a>(literal: &'a Literal, field: &'a Field) -> Json<'a> {
    match literal {
        Literal::Ints(counts) if field.ty == Type::Histogram => {
            Json::Counts { bounds: &field.bounds, counts }
        }
        _ if field.ty == Type::Histogram => Json::Counts { bounds: &field.bounds, counts: &[] },
        Literal::Bool(value) => Json::Bool(*value),
        Literal::Float(value) => Json::Float(*value),
        Literal::Int(value) => Json::Int(*value),
        Literal::Ints(values) => Json::Ints(values),
        Literal::Null => Json::Null,
        Literal::Str(value) => Json::Str(Cow::Borrowed(value)),
        Literal::Strs(values) => Json::Strs(Cow::Borrowed(values)),
    }
}

/// A value as Python's `str` shows it.
struct PythonStr<'a, 'b>(&'b Json<'a>);

impl std::fmt::Display for PythonStr<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Json::Bool(true) => f.write_str("True"),
            Json::Bool(false) => f.write_str("False"),
            Json::Float(value) => f.write_str(&json::float(*value)),
            Json::Int(value) => write!(f, "{value}"),
            Json::Null => f.write_str("None"),
            // One line a field, whatever the text holds.
            Json::Str(value) => f.write_str(&value.replace(['\n', '\r'], " ")),
            Json::Counts { bounds, counts } => {
                let parts: Vec<String> =
                    under(bounds, counts).map(|(key, count)| format!("{key}: {count}")).collect();
                write!(f, "{{{}}}", parts.join(", "))
            }
            Json::Ints(values) => tuple(f, values.iter().map(ToString::to_string)),
            Json::Strs(values) => tuple(f, values.iter().map(|value| python_repr(value))),
        }
    }
}

/// Python's `repr` of a text, for texts as short and plain as those in our lists.
fn python_repr(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'").replace(['\n', '\r'], " ");
    format!("'{escaped}'")
}

fn tuple(
    f: &mut std::fmt::Formatter<'_>,
    values: impl Iterator<Item = String>,
) -> std::fmt::Result {
    let values: Vec<String> = values.collect();
    match values.as_slice() {
        [one] => write!(f, "({one},)"),
        values => write!(f, "({})", values.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Contract, TraceIds, vllm};

    #[test]
    fn appended_bytes_are_those_of_serde() {
        let odd = "é\u{7f}😀\n\"\\ and a plain tail";
        let extended = vllm::CURRENT.clone().with_field(
            "report",
            Field::record(odd, Type::Strs, "bench.words", "A key that needs escapes."),
        );
        for contract in Contract::built_in().into_iter().chain([&extended]) {
            for text in ["", "plain", odd, "\u{0}\u{1f} ~"] {
                check(contract, text);
            }
        }
    }

    /// Every message of `contract`, once with every attribute and once with none.
    fn check(contract: &Contract, text: &str) {
        let compiled = CompiledContract::new(contract).unwrap();
        let value = |ty: Type| match ty {
            Type::Bool => Value::Bool(true),
            Type::Float => Value::F64(1e-7),
            Type::Int => Value::I64(i64::MIN),
            Type::Histogram | Type::Ints => Value::Array(vec![1_i64, -2].into()),
            Type::Str => Value::String(text.to_owned().into()),
            Type::Strs => Value::Array(vec![StringValue::from(text.to_owned())].into()),
        };
        let mut known = compiled.environment();
        for attribute in crate::schema::ENVIRONMENT.iter().chain(contract.attributes.iter()) {
            compiled.set(&mut known, &attribute.name, value(attribute.ty), &mut |_, _| {});
        }
        let ids = TraceIds {
            trace: opentelemetry::TraceId::INVALID,
            span: opentelemetry::SpanId::INVALID,
        };
        for spec in contract.messages.iter() {
            let all = spec.fields.iter().filter_map(|field| match &field.source {
                Source::Record(name) => {
                    Some(opentelemetry::KeyValue::new(name.clone(), value(field.ty)))
                }
                _ => None,
            });
            for (environment, attributes) in
                [(&known, all.collect()), (&compiled.environment(), Vec::new())]
            {
                let record =
                    compiled.read(&spec.record, &attributes, 7, ids, &mut |_, _| {}).unwrap();
                let message = flatten(&compiled, environment, &record).unwrap();
                assert_eq!(message.to_json(), json::to_string(&message));
            }
        }
    }
}
