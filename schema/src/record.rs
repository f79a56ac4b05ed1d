//! Records as an engine makes them: a kind and its attributes.
//!
//! A record is a typed struct of a built-in contract, an engine's own struct with the derive macro,
//! or [`Attributes`] put together by hand. Types, sanitizers and undeclared attributes are dealt with
//! later, when the contract reads the record.

use opentelemetry::{KeyValue, Value};

use crate::{Field, Literal, Type};

/// A record of an engine: a kind and its attributes.
///
/// The typed records of the built-in contracts implement it, an engine's own records do by
/// `#[derive(UsageRecord)]`, and so does [`Attributes`].
pub trait UsageRecord {
    /// Returns the kind as the contract names it, for example `lmcache.engine`.
    fn kind(&self) -> &str;

    /// Returns the attributes. Undeclared ones are counted and do not leave.
    fn attributes(self) -> Vec<KeyValue>;
}

/// A record whose kind and fields are known when the engine is compiled.
///
/// The typed records of the built-in contracts and `#[derive(UsageRecord)]` implement it. An
/// implementation by hand takes the struct apart whole in [`UsageRecord::attributes`]
/// (`let Self { a, b } = self;`), so that a new member without a row does not compile.
pub trait DescribedRecord: UsageRecord {
    /// The kind, as in [`UsageRecord::kind`].
    const KIND: &'static str;
    /// One row of the contract for each member that is sent, in the order of the wire.
    const FIELDS: &'static [Field];
}

/// A value that can become an attribute.
///
/// A whole number beyond 64 bits with sign becomes text, which the contract then refuses and counts
/// as [`Loss::WrongType`](crate::Loss::WrongType).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of an attribute",
    note = "values are switches, numbers, texts, `Vec<i64>`, `Vec<String>`, and an `Option` of each",
    note = "for a type of your own implement `IntoAttribute` and `TypedAttribute`"
)]
pub trait IntoAttribute {
    /// Returns the attribute's value, or `None` if the attribute is to be left out.
    fn into_attribute(self) -> Option<Value>;
}

/// A value whose attribute type is known when the engine is compiled.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of an attribute",
    note = "values are switches, numbers, texts, `Vec<i64>`, `Vec<String>`, and an `Option` of each",
    note = "for a type of your own implement `IntoAttribute` and `TypedAttribute`"
)]
pub trait TypedAttribute: IntoAttribute {
    /// The attribute's type.
    const TYPE: Type;
}

/// A record put together by hand, for kinds that have no struct.
///
/// ```
/// use otel_usage_schema::Attributes;
/// let record = Attributes::new("my_engine.report").with("my_engine.layers", 32_u64);
/// # let _ = record;
/// ```
#[derive(Debug, Clone)]
pub struct Attributes {
    kind: String,
    attributes: Vec<KeyValue>,
}

impl Attributes {
    /// Returns a record of `kind` without attributes.
    #[must_use]
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), attributes: Vec::new() }
    }

    /// Returns the attributes of `record`, to add those of an extended contract.
    #[must_use]
    pub fn from_record(record: impl UsageRecord) -> Self {
        Self { kind: record.kind().to_owned(), attributes: record.attributes() }
    }

    /// Returns the record with one more attribute.
    #[must_use]
    pub fn with(mut self, name: impl Into<opentelemetry::Key>, value: impl IntoAttribute) -> Self {
        if let Some(value) = value.into_attribute() {
            self.attributes.push(KeyValue::new(name, value));
        }
        self
    }
}

impl UsageRecord for Attributes {
    fn kind(&self) -> &str {
        &self.kind
    }

    fn attributes(self) -> Vec<KeyValue> {
        self.attributes
    }
}

macro_rules! into_attribute {
    (from: $($from:ty => $ty:ident),*; number: $($number:ty),*) => {
        $(impl IntoAttribute for $from {
            fn into_attribute(self) -> Option<Value> {
                Some(self.into())
            }
        })*
        $(impl IntoAttribute for $number {
            fn into_attribute(self) -> Option<Value> {
                Some(i64::try_from(self).map_or_else(|_| self.to_string().into(), Value::I64))
            }
        })*
        typed_attribute! { $($from => $ty,)* $($number => Int,)* }
    };
}

macro_rules! typed_attribute {
    ($($rust:ty => $ty:ident,)*) => {
        $(impl TypedAttribute for $rust {
            const TYPE: Type = Type::$ty;
        })*
    };
}

into_attribute! {
    from: bool => Bool, f64 => Float, String => Str;
    number: i8, i16, i32, i64, isize, u8, u16, u32, u64, usize
}

typed_attribute! { f32 => Float, &str => Str, Vec<i64> => Ints, Vec<String> => Strs, }

impl IntoAttribute for &str {
    fn into_attribute(self) -> Option<Value> {
        Some(Value::String(self.to_owned().into()))
    }
}

impl<T: TypedAttribute> TypedAttribute for Option<T> {
    const TYPE: Type = T::TYPE;
}

impl IntoAttribute for Value {
    fn into_attribute(self) -> Option<Value> {
        Some(self)
    }
}

impl IntoAttribute for f32 {
    /// Returns the shortest decimal that reads back as the same `f32`: 0.9, not 0.8999999761581421.
    fn into_attribute(self) -> Option<Value> {
        self.to_string().parse().ok().map(Value::F64)
    }
}

impl IntoAttribute for Vec<i64> {
    fn into_attribute(self) -> Option<Value> {
        Some(Value::Array(self.into()))
    }
}

impl IntoAttribute for Vec<String> {
    fn into_attribute(self) -> Option<Value> {
        let words: Vec<opentelemetry::StringValue> = self.into_iter().map(Into::into).collect();
        Some(Value::Array(words.into()))
    }
}

impl<T: IntoAttribute> IntoAttribute for Option<T> {
    fn into_attribute(self) -> Option<Value> {
        self.and_then(IntoAttribute::into_attribute)
    }
}

/// A member of a built-in record, whose default is the contract's value for an absent attribute.
///
/// A record made with `..Default::default()` then sends what the original client sends when its engine
/// says nothing.
pub(crate) trait FromAbsent: Sized {
    fn from_absent(absent: &Literal) -> Self;
}

macro_rules! from_absent {
    ($($ty:ty: $variant:pat => $value:expr;)*) => {
        $(impl FromAbsent for $ty {
            fn from_absent(absent: &Literal) -> Self {
                match absent {
                    $variant => $value,
                    // A field whose absent value is `null` needs an `Option`; a test compares every default with its row.
                    _ => Self::default(),
                }
            }
        })*
    };
}

from_absent! {
    bool: Literal::Bool(value) => *value;
    f64: Literal::Float(value) => *value;
    i64: Literal::Int(value) => *value;
    String: Literal::Str(text) => text.clone().into_owned();
    Vec<i64>: Literal::Ints(values) => values.clone().into_owned();
}

impl<T> FromAbsent for Option<T> {
    fn from_absent(_: &Literal) -> Self {
        None
    }
}
