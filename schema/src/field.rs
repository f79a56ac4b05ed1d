//! The rows of a contract: a field on the wire, and an OpenTelemetry attribute of the Resource.
//!
//! Four constructors ([`Field::record`], [`Field::resource`], [`Field::constant`], [`Field::new`]) and
//! `const` methods make a row, in the built-in tables and in an engine's own contract alike.

use std::borrow::Cow;
use std::mem;

use serde::{Deserialize, Serialize};

use crate::sanitize::{AS_IS, FREE_TEXT};
use crate::{Buckets, Instrument, Literal, Origin, Privacy, Sanitizer, Source, Type};

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

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
    /// The unit in UCUM (`By`, `s`, `{token}`); empty if the value has none.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub unit: Cow<'static, str>,
    /// The place from which the value comes.
    pub source: Source,
    /// The instrument that fills the attribute, in a message that is sent at intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instrument: Option<Instrument>,
    /// The bounds of a [`Type::Histogram`], ascending; they are its keys on the wire, with `+Inf` behind
    /// them unless [`Self::buckets`] says otherwise.
    #[serde(default, skip_serializing_if = "<[f64]>::is_empty")]
    pub bounds: Cow<'static, [f64]>,
    /// The samples that the buckets of a [`Type::Histogram`] count.
    #[serde(default, skip_serializing_if = "is_default")]
    pub buckets: Buckets,
    /// The value that is sent if the source is absent, of the wrong type, or not a finite number.
    #[serde(default)]
    pub absent: Literal,
    /// Whether the key is left out if the source is absent, instead of sending [`Self::absent`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// The sanitizers that the value goes through when the record is made. They apply to
    /// [`Source::Record`] only; Resource attributes have theirs in [`Attribute::sanitize`].
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub sanitize: Cow<'static, [Sanitizer]>,
    /// The meaning of the field, in one line.
    pub doc: Cow<'static, str>,
    /// The data class.
    pub privacy: Privacy,
    /// An example of a value.
    #[serde(default)]
    pub example: Literal,
    /// The version of the engine that first sent the field; empty if every version did.
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
    /// The type.
    #[serde(rename = "type")]
    pub ty: Type,
    /// The sanitizers that the value goes through before it becomes part of the Resource.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub sanitize: Cow<'static, [Sanitizer]>,
    /// The meaning and the place where it is read, in one line.
    pub doc: Cow<'static, str>,
    /// The data class.
    pub privacy: Privacy,
    /// An example of a value.
    #[serde(default)]
    pub example: Literal,
    /// The place from which the library takes the value.
    #[serde(default, skip_serializing_if = "is_given")]
    pub origin: Origin,
}

fn is_given(origin: &Origin) -> bool {
    *origin == Origin::Given
}

impl Field {
    /// Returns a field that reads `source` and is `null` if that is absent.
    #[must_use]
    pub const fn new(
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
            buckets: Buckets::UpTo,
            absent: Literal::Null,
            optional: false,
            sanitize: Cow::Borrowed(AS_IS),
            doc: Cow::Borrowed(doc),
            privacy,
            example: Literal::Null,
            since: Cow::Borrowed(""),
        }
    }

    /// Returns a field with a setting of the engine, read from an attribute of the record.
    ///
    /// Text is free text, cut to [`crate::sanitize::TEXT`] characters, unless [`Field::sanitized`]
    /// names other sanitizers.
    #[must_use]
    pub const fn record(
        name: &'static str,
        ty: Type,
        attribute: &'static str,
        doc: &'static str,
    ) -> Self {
        let source = Source::Record(Cow::Borrowed(attribute));
        let field = Self::new(name, ty, source, Privacy::Configuration, doc);
        if ty.is_text() { field.sanitized(FREE_TEXT) } else { field }
    }

    /// Returns a field with a fact about the machine, read from an attribute of the Resource.
    #[must_use]
    pub const fn resource(
        name: &'static str,
        ty: Type,
        attribute: &'static str,
        doc: &'static str,
    ) -> Self {
        Self::new(name, ty, Source::Resource(Cow::Borrowed(attribute)), Privacy::Machine, doc)
    }

    /// Returns a field whose value never changes.
    #[must_use]
    pub const fn constant(name: &'static str, ty: Type, value: Literal, doc: &'static str) -> Self {
        Self::new(name, ty, Source::Constant(value), Privacy::Envelope, doc)
    }

    /// Sets the unit, in UCUM: `By`, `s`, `{token}`.
    #[must_use]
    pub const fn in_unit(mut self, unit: &'static str) -> Self {
        put(&mut self.unit, Cow::Borrowed(unit));
        self
    }

    /// Sets the value that is sent if the source is absent. Default: `null`.
    #[must_use]
    pub const fn when_absent(mut self, absent: Literal) -> Self {
        put(&mut self.absent, absent);
        self
    }

    /// Leaves the key out if the source is absent. A message's first field cannot be left out.
    #[must_use]
    pub const fn left_out_when_absent(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Replaces the sanitizers; they run one after the other.
    #[must_use]
    pub const fn sanitized(mut self, steps: &'static [Sanitizer]) -> Self {
        put(&mut self.sanitize, Cow::Borrowed(steps));
        self
    }

    /// Lets a counter fill the field.
    #[must_use]
    pub const fn counted(self) -> Self {
        self.filled_by(Instrument::Counter)
    }

    /// Lets a gauge fill the field.
    #[must_use]
    pub const fn gauged(self) -> Self {
        self.filled_by(Instrument::Gauge)
    }

    /// Lets a histogram with these bounds fill the field.
    ///
    /// The count under a bound is the number of samples up to it that are above the bound before it.
    /// Samples above the last bound, and those that are no number, count under `+Inf`.
    #[must_use]
    pub const fn distributed(mut self, bounds: &'static [f64]) -> Self {
        self.ty = Type::Histogram;
        put(&mut self.bounds, Cow::Borrowed(bounds));
        self.filled_by(Instrument::Histogram)
    }

    /// Sets which samples the buckets of a histogram count.
    #[must_use]
    pub const fn with_buckets(mut self, buckets: Buckets) -> Self {
        self.buckets = buckets;
        self
    }

    /// Returns the keys of a histogram on the wire: its bounds, without a fraction if they are whole
    /// numbers, and `+Inf`.
    pub fn bucket_keys(&self) -> impl Iterator<Item = String> + use<'_> {
        let above = (self.buckets == Buckets::UpTo).then(|| "+Inf".to_owned());
        self.bounds.iter().map(f64::to_string).chain(above)
    }

    /// Makes the field the name of a series. One message is sent for each series.
    #[must_use]
    pub const fn per_series(self) -> Self {
        self.filled_by(Instrument::Dimension)
    }

    const fn filled_by(mut self, instrument: Instrument) -> Self {
        self.instrument = Some(instrument);
        self.privacy(match instrument {
            Instrument::Dimension => Privacy::Configuration,
            _ => Privacy::Workload,
        })
    }

    /// Sets the data class.
    #[must_use]
    pub const fn privacy(mut self, privacy: Privacy) -> Self {
        self.privacy = privacy;
        self
    }

    /// Sets an example of a value.
    #[must_use]
    pub const fn example(mut self, value: Literal) -> Self {
        put(&mut self.example, value);
        self
    }

    /// Sets the version of the engine that first sent the field.
    #[must_use]
    pub const fn since(mut self, version: &'static str) -> Self {
        put(&mut self.since, Cow::Borrowed(version));
        self
    }
}

impl Attribute {
    /// Returns an attribute with a fact about the machine or the engine.
    ///
    /// Text is free text, cut to [`crate::sanitize::TEXT`] characters, unless
    /// [`Attribute::sanitized`] names other sanitizers.
    #[must_use]
    pub const fn new(name: &'static str, ty: Type, doc: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            ty,
            sanitize: Cow::Borrowed(if ty.is_text() { FREE_TEXT } else { AS_IS }),
            doc: Cow::Borrowed(doc),
            privacy: Privacy::Machine,
            example: Literal::Null,
            origin: Origin::Given,
        }
    }

    /// Sets the place from which the library takes the value. Default: a detector or the engine.
    #[must_use]
    pub const fn from(mut self, origin: Origin) -> Self {
        put(&mut self.origin, origin);
        self
    }

    /// Replaces the sanitizers; they run one after the other.
    #[must_use]
    pub const fn sanitized(mut self, steps: &'static [Sanitizer]) -> Self {
        put(&mut self.sanitize, Cow::Borrowed(steps));
        self
    }

    /// Sets the data class.
    #[must_use]
    pub const fn privacy(mut self, privacy: Privacy) -> Self {
        self.privacy = privacy;
        self
    }

    /// Sets an example of a value.
    #[must_use]
    pub const fn example(mut self, value: Literal) -> Self {
        put(&mut self.example, value);
        self
    }
}

/// Replaces a part of a constant.
///
/// A `const fn` cannot drop the value that was there before. Forgetting it loses nothing, because it is
/// a constant too and owns nothing.
pub(crate) const fn put<T>(place: &mut T, value: T) {
    mem::forget(mem::replace(place, value));
}
