//! What an engine hands over: a kind and its attributes.
//!
//! In: typed records of the built-in contracts, or [`Attributes`] put together by hand. Out: the
//! attributes of a span. Closing the world, types and sanitizers are the contract's business, later.

use opentelemetry::{KeyValue, Value};

/// Something an engine records: a kind and its attributes.
///
/// Implemented by the typed records of the built-in contracts and by [`Attributes`].
pub trait UsageRecord {
    /// The kind, as the contract names it, for example `lmcache.engine`.
    fn kind(&self) -> &str;

    /// The attributes. Undeclared ones are counted and do not leave.
    fn attributes(self) -> Vec<KeyValue>;
}

/// A value that can become an attribute. `None` and numbers beyond 64 bits with sign become none.
pub trait IntoAttribute {
    /// The attribute's value.
    fn into_attribute(self) -> Option<Value>;
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

    /// The record with one more attribute.
    #[must_use]
    pub fn with(mut self, name: impl Into<opentelemetry::Key>, value: impl IntoAttribute) -> Self {
        push(&mut self.attributes, name, value);
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

pub(in crate::schema) fn push(
    attributes: &mut Vec<KeyValue>,
    name: impl Into<opentelemetry::Key>,
    value: impl IntoAttribute,
) {
    if let Some(value) = value.into_attribute() {
        attributes.push(KeyValue::new(name, value));
    }
}

macro_rules! into_attribute {
    (from: $($from:ty),*; number: $($number:ty),*) => {
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
    };
}

into_attribute! {
    from: bool, f64, &'static str, String, Value;
    number: i8, i16, i32, i64, isize, u8, u16, u32, u64, usize
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

/// Declares the struct of a record and the attribute behind each of its fields.
macro_rules! typed_record {
    (
        $(#[$about:meta])*
        pub struct $name:ident = $kind:ident {
            $($(#[$doc:meta])* $field:ident: $ty:ty = $attribute:literal,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name {
            $($(#[$doc])* pub $field: $ty,)*
        }

        impl $crate::schema::record::UsageRecord for $name {
            fn kind(&self) -> &str {
                $kind
            }

            fn attributes(self) -> Vec<opentelemetry::KeyValue> {
                let mut attributes = Vec::new();
                $($crate::schema::record::push(&mut attributes, $attribute, self.$field);)*
                attributes
            }
        }
    };
}
pub(super) use typed_record;
