//! What an engine hands over: a kind and its attributes.
//!
//! In: typed records of the built-in contracts, an engine's own by the derive macro, or [`Attributes`] put
//! together by hand. Out: the attributes of a span. Closing the world, types and sanitizers are the contract's business, later.

use opentelemetry::{KeyValue, Value};

use super::{Field, Type};

/// Something an engine records: a kind and its attributes.
///
/// Implemented by the typed records of the built-in contracts, by `#[derive(UsageRecord)]` for an engine's
/// own, and by [`Attributes`].
pub trait UsageRecord {
    /// The kind, as the contract names it, for example `lmcache.engine`.
    fn kind(&self) -> &str;

    /// The attributes. Undeclared ones are counted and do not leave.
    fn attributes(self) -> Vec<KeyValue>;
}

/// A record whose kind and fields are known when the engine is compiled.
///
/// Implemented by the typed records of the built-in contracts and by `#[derive(UsageRecord)]`; by hand, take
/// the struct apart whole in [`UsageRecord::attributes`] (`let Self { a, b } = self;`), so that a new member
/// without a row here does not compile.
pub trait DescribedRecord: UsageRecord {
    /// The kind, as in [`UsageRecord::kind`].
    const KIND: &'static str;
    /// A row of the contract for each member that is sent, in the order of the wire.
    const FIELDS: &'static [Field];
}

/// A value that can become an attribute. `None` and numbers beyond 64 bits with sign become none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no value of an attribute",
    note = "values are switches, numbers, texts, `Vec<i64>`, `Vec<String>`, and an `Option` of each",
    note = "for a type of your own implement `IntoAttribute` and `TypedAttribute`"
)]
pub trait IntoAttribute {
    /// The attribute's value.
    fn into_attribute(self) -> Option<Value>;
}

/// A value whose attribute has a type that is known when the engine is compiled.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no value of an attribute",
    note = "values are switches, numbers, texts, `Vec<i64>`, `Vec<String>`, and an `Option` of each",
    note = "for a type of your own implement `IntoAttribute` and `TypedAttribute`"
)]
pub trait TypedAttribute: IntoAttribute {
    /// The attribute's type.
    const TYPE: Type;
}

/// A record put together by hand, for kinds without a type of their own.
///
/// ```
/// use otel_usage::Attributes;
/// let record = Attributes::of("my_engine.report").with("my_engine.layers", 32_u64);
/// # let _ = record;
/// ```
#[derive(Debug, Clone)]
pub struct Attributes {
    kind: String,
    attributes: Vec<KeyValue>,
}

impl Attributes {
    /// A record of `kind` without attributes.
    #[must_use]
    pub fn of(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), attributes: Vec::new() }
    }

    /// What `record` says, to add what an extended contract has beside it.
    #[must_use]
    pub fn from_record(record: impl UsageRecord) -> Self {
        Self { kind: record.kind().to_owned(), attributes: record.attributes() }
    }

    /// The record with one more attribute.
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
                i64::try_from(self).ok().map(Value::I64)
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
    from: bool => Bool, f64 => Float, &'static str => Str, String => Str;
    number: i8, i16, i32, i64, isize, u8, u16, u32, u64, usize
}

typed_attribute! { f32 => Float, Vec<i64> => Ints, Vec<String> => Strs, }

impl<T: TypedAttribute> TypedAttribute for Option<T> {
    const TYPE: Type = T::TYPE;
}

impl IntoAttribute for Value {
    fn into_attribute(self) -> Option<Value> {
        Some(self)
    }
}

impl IntoAttribute for f32 {
    /// The shortest decimal that reads back as the same `f32`: 0.9, not 0.8999999761581421.
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
