//! A value as it stands on the wire: made from an attribute or a constant, written as JSON.

use std::borrow::Cow;

use opentelemetry::{Array, StringValue, Value};
use serde::ser::{Serialize, Serializer};

use crate::{Field, Literal, Type};

/// A value as it stands on the wire.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum WireValue<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// A number with a fraction; always finite.
    Float(f64),
    /// A whole number.
    Int(i64),
    /// Counts in the buckets of a histogram. A bucket without a count has zero.
    Counts {
        /// The field, which has a key for each bucket.
        field: &'a Field,
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

impl Serialize for WireValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Counts { field, counts } => serializer.collect_map(counts_by_key(field, counts)),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Ints(values) => serializer.collect_seq(values.iter()),
            Self::Null => serializer.serialize_unit(),
            Self::Str(value) => serializer.serialize_str(value),
            Self::Strs(values) => serializer.collect_seq(values.iter()),
        }
    }
}

/// Returns each count with its key.
pub(crate) fn counts_by_key<'a>(
    field: &'a Field,
    counts: &'a [i64],
) -> impl Iterator<Item = (String, i64)> + use<'a> {
    let counts = counts.iter().copied().chain(std::iter::repeat(0));
    field.bucket_keys().zip(counts)
}

/// Returns an attribute's value, or `None` if it has another type than the field declares.
#[inline]
pub(crate) fn of_attribute<'a>(value: &'a Value, field: &'a Field) -> Option<WireValue<'a>> {
    Some(match (field.ty, value) {
        (Type::Bool, Value::Bool(value)) => WireValue::Bool(*value),
        (Type::Float, Value::F64(value)) => WireValue::Float(*value),
        (Type::Histogram, Value::Array(Array::I64(counts))) => WireValue::Counts { field, counts },
        (Type::Int, Value::I64(value)) => WireValue::Int(*value),
        (Type::Str, Value::String(value)) => WireValue::Str(Cow::Borrowed(value.as_str())),
        (Type::Ints, Value::Array(Array::I64(values))) => WireValue::Ints(values),
        (Type::Strs, Value::Array(Array::String(values))) => {
            WireValue::Strs(values.iter().map(StringValue::as_str).map(Cow::Borrowed).collect())
        }
        _ => return None,
    })
}

/// Returns the constant of a field.
#[inline]
pub(crate) fn of_literal<'a>(literal: &'a Literal, field: &'a Field) -> WireValue<'a> {
    match literal {
        Literal::Ints(counts) if field.ty == Type::Histogram => WireValue::Counts { field, counts },
        _ if field.ty == Type::Histogram => WireValue::Counts { field, counts: &[] },
        Literal::Bool(value) => WireValue::Bool(*value),
        Literal::Float(value) => WireValue::Float(*value),
        Literal::Int(value) => WireValue::Int(*value),
        Literal::Ints(values) => WireValue::Ints(values),
        Literal::Null => WireValue::Null,
        Literal::Str(value) => WireValue::Str(Cow::Borrowed(value)),
        Literal::Strs(values) => WireValue::Strs(Cow::Borrowed(values)),
    }
}
