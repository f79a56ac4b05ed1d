//! The vocabularies of a contract's tables: types, constants, sources, instruments, data classes.

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
    /// Counts, one for each of [`crate::Field::bucket_keys`]: a list in OpenTelemetry, and on the wire an
    /// object with these keys.
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
    /// Returns whether the type holds text, which has to be sanitized.
    #[must_use]
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Str | Self::Strs)
    }

    /// Returns whether the type holds numbers.
    #[must_use]
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Float | Self::Int)
    }

    /// Returns the type of the OpenTelemetry attribute.
    pub(crate) const fn of_attribute(self) -> Self {
        match self {
            Self::Histogram => Self::Ints,
            other => other,
        }
    }
}

/// A constant value of a field, for the case that its attribute is absent or for every case.
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
    /// Returns a text.
    #[must_use]
    pub const fn text(text: &'static str) -> Self {
        Self::Str(Cow::Borrowed(text))
    }

    /// Returns a list of whole numbers.
    #[must_use]
    pub const fn ints(numbers: &'static [i64]) -> Self {
        Self::Ints(Cow::Borrowed(numbers))
    }

    /// Returns a list of texts.
    #[must_use]
    pub const fn texts(words: &'static [Cow<'static, str>]) -> Self {
        Self::Strs(Cow::Borrowed(words))
    }
}

/// The place from which a field's value comes.
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
    /// A Resource attribute, with `fallback` used only if `unless` is absent too. A machine that has
    /// no accelerator then differs from one whose accelerator is unknown.
    ResourceOr {
        /// The attribute.
        name: Cow<'static, str>,
        /// The attribute that is read instead.
        fallback: Cow<'static, str>,
        /// The attribute whose presence forbids the fallback.
        unless: Cow<'static, str>,
    },
    /// Resource attributes joined by commas; an absent one leaves its place empty.
    ResourceJoined(Cow<'static, [Cow<'static, str>]>),
    /// A Resource attribute, translated word by word; a word without translation counts as absent.
    ResourceMapped(Cow<'static, str>, Cow<'static, [(Cow<'static, str>, Cow<'static, str>)]>),
    /// The record's own time, in nanoseconds since the Unix epoch.
    Time,
}

impl Source {
    /// Returns the attribute of the record that the field reads.
    #[must_use]
    pub fn record(&self) -> Option<&str> {
        match self {
            Self::Record(name) => Some(name),
            _ => None,
        }
    }

    /// Returns the Resource attributes whose values the field sends.
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

/// The place from which the library takes a Resource attribute that a contract adds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Origin {
    /// The CUDA version that the engine's framework was built for, which the engine tells with its
    /// accelerators.
    CudaRuntime,
    /// A detector finds it, or the engine gives it to the builder.
    #[default]
    Given,
    /// A UUID in the file `machine_id` of the engine's configuration directory, which is made if it
    /// is missing.
    MachineId,
    /// An environment variable of the operator.
    Variable(Cow<'static, str>),
    /// The XPU runtime version that the engine's framework was built for, which the engine tells
    /// with its accelerators.
    XpuRuntime,
}

/// The samples that the buckets of a histogram count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Buckets {
    /// As in OpenTelemetry: a bucket counts the samples above the bound before it, up to its own bound
    /// (`le`); one more, `+Inf`, counts those above the last bound, and those that are no number. Each
    /// sample is counted once, so the buckets are not cumulative.
    #[default]
    UpTo,
    /// As in LMCache: a bucket counts the samples from the bound before it up to below its own; the last
    /// one includes its own. Other samples are not counted.
    Below,
}

/// The instrument that fills a field between two intervals, in the words of OpenTelemetry's metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Instrument {
    /// A sum that starts again at zero with every interval.
    Counter,
    /// The name of a series. One message is sent for each series.
    Dimension,
    /// The last value set.
    Gauge,
    /// Counts of samples by size, which start again at zero with every interval.
    Histogram,
}

/// The data class of a field, for the person who decides whether it may be sent.
///
/// *Free text*, which may hold anything that its writer puts there, is not a class: it follows from
/// a field's type and sanitizers, so that no table can forget it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Privacy {
    /// Settings of the engine.
    Configuration,
    /// Name, version and time of the message.
    Envelope,
    /// A random identifier that joins messages.
    Identity,
    /// The machine: hardware, system software, where it runs.
    Machine,
    /// Work of the engine: counts, sizes, times.
    Workload,
}

impl Privacy {
    /// Returns the class as one word.
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
