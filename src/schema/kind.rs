//! The words of a contract's tables: types, constants, sources, instruments, kinds of data.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The type of an attribute, and of the JSON value made from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Type {
    /// `true` or `false`.
    Bool,
    /// A number with a fraction; finite.
    Float,
    /// Counts, one for each of [`super::Field::bounds`]: a list in OpenTelemetry, and on the wire an
    /// object with the bounds as keys.
    Histogram,
    /// A whole number that fits 64 bits with sign.
    Int,
    /// A list of whole numbers.
    Ints,
    /// Text.
    Str,
    /// A list of texts.
    Strs,
}

impl Type {
    /// Whether it holds text, which has to be sanitized.
    #[must_use]
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Str | Self::Strs)
    }

    /// Whether it holds numbers.
    #[must_use]
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Float | Self::Int)
    }

    /// The type of the OpenTelemetry attribute.
    pub(crate) const fn of_attribute(self) -> Self {
        match self {
            Self::Histogram => Self::Ints,
            other => other,
        }
    }
}

/// A constant value: what a field says when its attribute is absent, or always.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Literal {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Str(Cow<'static, str>),
    /// A list of whole numbers; the empty list.
    Ints(Cow<'static, [i64]>),
    /// A list of texts.
    Strs(Cow<'static, [Cow<'static, str>]>),
    /// JSON `null`.
    #[default]
    Null,
}

impl Literal {
    /// A text.
    #[must_use]
    pub const fn text(text: &'static str) -> Self {
        Self::Str(Cow::Borrowed(text))
    }

    /// A list of whole numbers.
    #[must_use]
    pub const fn ints(numbers: &'static [i64]) -> Self {
        Self::Ints(Cow::Borrowed(numbers))
    }

    /// A list of texts.
    #[must_use]
    pub const fn texts(words: &'static [Cow<'static, str>]) -> Self {
        Self::Strs(Cow::Borrowed(words))
    }
}

/// Where a field's value comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Source {
    /// Always the same value.
    Constant(Literal),
    /// An attribute of the record (the span).
    Record(Cow<'static, str>),
    /// An attribute of the Resource.
    Resource(Cow<'static, str>),
    /// A Resource attribute; without it another, but only where a third is absent as well: what a
    /// machine lacks is something else than what is unknown about it.
    ResourceOr {
        /// The attribute.
        name: Cow<'static, str>,
        /// What stands in for it.
        fallback: Cow<'static, str>,
        /// The attribute that says that nothing may.
        unless: Cow<'static, str>,
    },
    /// These Resource attributes joined by commas; an absent one leaves its place empty.
    ResourceJoined(Cow<'static, [Cow<'static, str>]>),
    /// A Resource attribute, translated word by word; a word without translation counts as absent.
    ResourceMapped(Cow<'static, str>, Cow<'static, [(Cow<'static, str>, Cow<'static, str>)]>),
    /// The record's own time, in nanoseconds since the Unix epoch.
    Time,
}

impl Source {
    /// The attribute of the record behind the field.
    #[must_use]
    pub fn record(&self) -> Option<&str> {
        match self {
            Self::Record(name) => Some(name),
            _ => None,
        }
    }

    /// The attributes of the Resource behind the field; what only decides about it is not among them.
    #[must_use]
    pub fn resources(&self) -> Vec<&str> {
        match self {
            Self::Constant(_) | Self::Record(_) | Self::Time => Vec::new(),
            Self::Resource(name) | Self::ResourceMapped(name, _) => vec![name],
            Self::ResourceOr { name, fallback, .. } => vec![name, fallback],
            Self::ResourceJoined(names) => names.iter().map(AsRef::as_ref).collect(),
        }
    }
}

/// What fills a field between two intervals. The words are those of OpenTelemetry's metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Instrument {
    /// A sum that starts again at zero with every interval. [`crate::Counter`]
    Counter,
    /// The name of a series: a message is sent for each. [`crate::Series`]
    Dimension,
    /// The last value said. [`crate::Gauge`]
    Gauge,
    /// Counts of samples by size, which start again at zero. [`crate::Histogram`]
    Histogram,
}

/// What kind of data a field is, for the person who has to decide about it.
///
/// Whether a field is *free text*, which may hold anything its writer puts there, is no kind: it follows
/// from its type and sanitizers, so that nobody can forget to say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Privacy {
    /// How the engine is set up.
    Configuration,
    /// Which message this is, and when it was made.
    Envelope,
    /// A random identifier that joins messages.
    Identity,
    /// The machine: hardware, system software, where it runs.
    Machine,
    /// What the engine did: counts, sizes, times.
    Workload,
}

impl Privacy {
    /// The kind as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Envelope => "envelope",
            Self::Identity => "identity",
            Self::Machine => "machine",
            Self::Workload => "workload",
        }
    }
}
