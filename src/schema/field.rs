//! One row of a contract: a field on the wire and the OpenTelemetry attribute behind it.
//!
//! A row is made by one of four constructors ([`Field::record`], [`Field::resource`],
//! [`Field::constant`], [`Field::of`]) and the `const` methods after it, in the built-in tables and in an
//! engine's own alike.

use std::borrow::Cow;
use std::mem;

use serde::{Deserialize, Serialize};

use super::sanitize::{AS_IS, FREE_TEXT};
use super::{Instrument, Literal, Privacy, Sanitizer, Source, Type};

/// One field of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Field {
    /// The key on the wire.
    pub name: Cow<'static, str>,
    /// The JSON type.
    #[serde(rename = "type")]
    pub ty: Type,
    /// The unit, in UCUM (`By`, `s`, `{token}`). Empty: none.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub unit: Cow<'static, str>,
    /// Where the value comes from.
    pub source: Source,
    /// What fills the attribute between two intervals, in a message that is sent at intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instrument: Option<Instrument>,
    /// The bounds of a [`Type::Histogram`], ascending; they are its keys on the wire.
    #[serde(default, skip_serializing_if = "<[f64]>::is_empty")]
    pub bounds: Cow<'static, [f64]>,
    /// What is sent when the source is absent, of the wrong type, or not a finite number.
    #[serde(default)]
    pub absent: Literal,
    /// Whether the key is left out where the source is absent, instead of sending [`Self::absent`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// What is done to the value when the record is made. Applies to [`Source::Record`] only;
    /// Resource attributes have theirs in [`Attribute::sanitize`].
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub sanitize: Cow<'static, [Sanitizer]>,
    /// One line that says what the field means.
    pub doc: Cow<'static, str>,
    /// What kind of data it is.
    pub privacy: Privacy,
    /// A value as it may be sent.
    #[serde(default)]
    pub example: Literal,
    /// The engine's version or the contract that first sent it. Empty: it was always there.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub since: Cow<'static, str>,
}

/// A Resource attribute that may leave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Attribute {
    /// The OpenTelemetry name.
    pub name: Cow<'static, str>,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: Type,
    /// What is done to the value before it becomes part of the Resource.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub sanitize: Cow<'static, [Sanitizer]>,
    /// One line that says what it means and where it is read.
    pub doc: Cow<'static, str>,
    /// What kind of data it is.
    pub privacy: Privacy,
    /// A value as it may be sent.
    #[serde(default)]
    pub example: Literal,
}

impl Field {
    /// A field made of `source`, `null` where that is absent.
    #[must_use]
    pub const fn of(
        name: &'static str,
        ty: Type,
        source: Source,
        privacy: Privacy,
        doc: &'static str,
    ) -> Self {
        Self {
            name: Cow::Borrowed(name),
            ty,
            unit: Cow::Borrowed(""),
            source,
            instrument: None,
            bounds: Cow::Borrowed(&[]),
            absent: Literal::Null,
            optional: false,
            sanitize: Cow::Borrowed(AS_IS),
            doc: Cow::Borrowed(doc),
            privacy,
            example: Literal::Null,
            since: Cow::Borrowed(""),
        }
    }

    /// A setting of the engine, read from an attribute of the record. Text is free text, capped at
    /// [`super::sanitize::TEXT`] characters, unless [`Field::sanitized`] says more.
    #[must_use]
    pub const fn record(
        name: &'static str,
        ty: Type,
        attribute: &'static str,
        doc: &'static str,
    ) -> Self {
        let source = Source::Record(Cow::Borrowed(attribute));
        let field = Self::of(name, ty, source, Privacy::Configuration, doc);
        if ty.is_text() { field.sanitized(FREE_TEXT) } else { field }
    }

    /// A fact about the machine, read from an attribute of the Resource.
    #[must_use]
    pub const fn resource(
        name: &'static str,
        ty: Type,
        attribute: &'static str,
        doc: &'static str,
    ) -> Self {
        Self::of(name, ty, Source::Resource(Cow::Borrowed(attribute)), Privacy::Machine, doc)
    }

    /// A field that always says the same.
    #[must_use]
    pub const fn constant(name: &'static str, ty: Type, value: Literal, doc: &'static str) -> Self {
        Self::of(name, ty, Source::Constant(value), Privacy::Envelope, doc)
    }

    /// The field in this unit, in UCUM: `By`, `s`, `{token}`.
    #[must_use]
    pub const fn in_unit(mut self, unit: &'static str) -> Self {
        put(&mut self.unit, Cow::Borrowed(unit));
        self
    }

    /// The field with what is sent where its source is absent; `null` if this is not said.
    #[must_use]
    pub const fn or(mut self, absent: Literal) -> Self {
        put(&mut self.absent, absent);
        self
    }

    /// The field, whose key is left out where its source is absent. Not for a message's first field.
    #[must_use]
    pub const fn or_left_out(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The field with these sanitizers instead, one after the other.
    #[must_use]
    pub const fn sanitized(mut self, steps: &'static [Sanitizer]) -> Self {
        put(&mut self.sanitize, Cow::Borrowed(steps));
        self
    }

    /// The field as a count of work done, filled by a [`crate::Counter`].
    #[must_use]
    pub const fn counted(self) -> Self {
        self.filled_by(Instrument::Counter)
    }

    /// The field as a level, filled by a [`crate::Gauge`].
    #[must_use]
    pub const fn gauged(self) -> Self {
        self.filled_by(Instrument::Gauge)
    }

    /// The field as a distribution, filled by a [`crate::Histogram`]. The count under a bound is that of
    /// the samples below it and not below the bound before it; the last bound counts as its own.
    #[must_use]
    pub const fn distributed(mut self, bounds: &'static [f64]) -> Self {
        self.ty = Type::Histogram;
        put(&mut self.bounds, Cow::Borrowed(bounds));
        self.filled_by(Instrument::Histogram)
    }

    /// The field as the name of a [`crate::Series`]: the message is sent once for each.
    #[must_use]
    pub const fn per_series(self) -> Self {
        self.filled_by(Instrument::Dimension)
    }

    const fn filled_by(mut self, instrument: Instrument) -> Self {
        self.instrument = Some(instrument);
        self.of_kind(match instrument {
            Instrument::Dimension => Privacy::Configuration,
            _ => Privacy::Workload,
        })
    }

    /// The field as another kind of data.
    #[must_use]
    pub const fn of_kind(mut self, privacy: Privacy) -> Self {
        self.privacy = privacy;
        self
    }

    /// The field with a value as it may be sent.
    #[must_use]
    pub const fn example(mut self, value: Literal) -> Self {
        put(&mut self.example, value);
        self
    }

    /// The field with the version that first sent it.
    #[must_use]
    pub const fn since(mut self, version: &'static str) -> Self {
        put(&mut self.since, Cow::Borrowed(version));
        self
    }
}

impl Attribute {
    /// A fact about the machine or the engine. Text is free text, capped at
    /// [`super::sanitize::TEXT`] characters, unless [`Attribute::sanitized`] says more.
    #[must_use]
    pub const fn new(name: &'static str, ty: Type, doc: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            ty,
            sanitize: Cow::Borrowed(if ty.is_text() { FREE_TEXT } else { AS_IS }),
            doc: Cow::Borrowed(doc),
            privacy: Privacy::Machine,
            example: Literal::Null,
        }
    }

    /// The attribute with these sanitizers instead, one after the other.
    #[must_use]
    pub const fn sanitized(mut self, steps: &'static [Sanitizer]) -> Self {
        put(&mut self.sanitize, Cow::Borrowed(steps));
        self
    }

    /// The attribute as another kind of data.
    #[must_use]
    pub const fn of_kind(mut self, privacy: Privacy) -> Self {
        self.privacy = privacy;
        self
    }

    /// The attribute with a value as it may be sent.
    #[must_use]
    pub const fn example(mut self, value: Literal) -> Self {
        put(&mut self.example, value);
        self
    }
}

/// Replaces a part of a constant. What was there is a constant too and owns nothing, so that forgetting
/// it, which is all that a `const fn` can do, loses nothing.
const fn put<T>(place: &mut T, value: T) {
    mem::forget(mem::replace(place, value));
}
