//! One row of a contract: a field on the wire and the OpenTelemetry attribute behind it.

use std::borrow::Cow;

use super::Sanitizer;

/// The type of an attribute, and of the JSON value made from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Type {
    /// `true` or `false`.
    Bool,
    /// A number with a fraction; finite.
    Float,
    /// A whole number that fits 64 bits with sign.
    Int,
    /// A list of whole numbers.
    Ints,
    /// Text.
    Str,
    /// A list of texts.
    Strs,
}

/// A constant value: what a field says when its attribute is absent, or always.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Literal {
    /// `true` or `false`.
    Bool(bool),
    /// A number with a fraction.
    Float(f64),
    /// A whole number.
    Int(i64),
    /// JSON `null`.
    Null,
    /// Text.
    Str(Cow<'static, str>),
    /// A list of texts.
    Strs(Cow<'static, [Cow<'static, str>]>),
}

/// Where a field's value comes from.
#[derive(Debug, Clone, PartialEq)]
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

/// One field of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The key on the wire.
    pub name: Cow<'static, str>,
    /// The JSON type.
    pub ty: Type,
    /// The unit, in UCUM or the field's own word (`By`, `s`, `tokens`). Empty: none.
    pub unit: Cow<'static, str>,
    /// Where the value comes from.
    pub source: Source,
    /// What is sent when the source is absent, of the wrong type, or not a finite number.
    pub absent: Literal,
    /// What is done to the value when the record is made. Applies to [`Source::Record`] only;
    /// Resource attributes have theirs in [`Attribute::sanitize`].
    pub sanitize: Cow<'static, [Sanitizer]>,
    /// One line that says what the field means.
    pub doc: Cow<'static, str>,
}

/// A Resource attribute that may leave.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// The OpenTelemetry name.
    pub name: Cow<'static, str>,
    /// Its type.
    pub ty: Type,
    /// What is done to the value before it becomes part of the Resource.
    pub sanitize: Cow<'static, [Sanitizer]>,
    /// One line that says what it means and where it is read.
    pub doc: Cow<'static, str>,
}

impl Field {
    /// A field read from a record attribute, as an engine declares one at initialisation.
    ///
    /// Text is capped at [`super::sanitize::TEXT`] characters; absent is `null`.
    #[must_use]
    pub fn from_record(
        name: impl Into<Cow<'static, str>>,
        ty: Type,
        attribute: impl Into<Cow<'static, str>>,
        doc: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            name: name.into(),
            ty,
            unit: Cow::Borrowed(""),
            source: Source::Record(attribute.into()),
            absent: Literal::Null,
            sanitize: Cow::Borrowed(super::sanitize::FREE_TEXT),
            doc: doc.into(),
        }
    }
}

// What the tables of the built-in contracts are written with: a row should fit one or two lines.

/// No sanitizer: numbers, and values that are sanitized where they enter.
pub(super) const AS_IS: &[Sanitizer] = &[];
pub(super) const FALSE: Literal = Literal::Bool(false);
pub(super) const ONE: Literal = Literal::Int(1);
pub(super) const ZERO: Literal = Literal::Int(0);

pub(super) const fn record(attribute: &'static str) -> Source {
    Source::Record(Cow::Borrowed(attribute))
}

pub(super) const fn resource(attribute: &'static str) -> Source {
    Source::Resource(Cow::Borrowed(attribute))
}

/// Without an accelerator its fields hold numbers of the host.
pub(super) const fn accelerator_or(name: &'static str, fallback: &'static str) -> Source {
    Source::ResourceOr {
        name: Cow::Borrowed(name),
        fallback: Cow::Borrowed(fallback),
        unless: Cow::Borrowed(super::environment::PROBE_ACCELERATOR),
    }
}

pub(super) const fn text(text: &'static str) -> Literal {
    Literal::Str(Cow::Borrowed(text))
}

pub(super) const fn field(
    name: &'static str,
    ty: Type,
    unit: &'static str,
    source: Source,
    absent: Literal,
    sanitize: &'static [Sanitizer],
    doc: &'static str,
) -> Field {
    Field {
        name: Cow::Borrowed(name),
        ty,
        unit: Cow::Borrowed(unit),
        source,
        absent,
        sanitize: Cow::Borrowed(sanitize),
        doc: Cow::Borrowed(doc),
    }
}

pub(super) const fn attribute(
    name: &'static str,
    ty: Type,
    sanitize: &'static [Sanitizer],
    doc: &'static str,
) -> Attribute {
    Attribute {
        name: Cow::Borrowed(name),
        ty,
        sanitize: Cow::Borrowed(sanitize),
        doc: Cow::Borrowed(doc),
    }
}

/// `CONST = "wire_name": Type in "unit", source, else absent, sanitizers, "doc";`
macro_rules! fields {
    ($($id:ident = $name:literal: $ty:ident $(in $unit:literal)?, $source:expr, else $absent:expr, $steps:expr, $doc:literal;)*) => {
        $(const $id: $crate::schema::Field = $crate::schema::field::field(
            $name, $crate::schema::Type::$ty, concat!($($unit)?), $source, $absent, $steps, $doc,
        );)*
    };
}

/// The fields of a message, in the order of the wire.
macro_rules! list {
    ($($id:ident)*) => { &[$($id),*] };
}

/// `"name": Type, sanitizers, "doc";`
macro_rules! attributes {
    ($($name:expr, $ty:ident, $steps:expr, $doc:literal;)*) => {
        &[$($crate::schema::field::attribute($name, $crate::schema::Type::$ty, $steps, $doc)),*]
    };
}

pub(super) use {attributes, fields, list};
