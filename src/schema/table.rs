//! How the built-in tables are written: a row in two or three lines, with its meaning as a doc comment.
//!
//! Everything here expands to the public constructors of [`super::Field`] and [`super::Attribute`], which
//! an engine's own contract uses, by hand or by the derive macro.

use super::Literal;

pub(super) const FALSE: Literal = Literal::Bool(false);
pub(super) const ONE: Literal = Literal::Int(1);
pub(super) const ZERO: Literal = Literal::Int(0);

/// A text constant.
pub(super) const fn text(text: &'static str) -> Literal {
    Literal::text(text)
}

/// `/// meaning` `CONST = constructor(arguments without the meaning).more();`
macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $id:ident = $new:ident($($arg:expr),*) $(.$more:ident($($more_arg:expr),*))*;)*) => {
        $(
            pub(in crate::schema) const $id: $crate::schema::Field = $crate::schema::Field::$new(
                $($arg,)* concat!($($doc),+).trim_ascii(),
            )$(.$more($($more_arg),*))*;
        )*
    };
}

/// The fields of a message, in the order of the wire.
macro_rules! list {
    ($($id:ident)*) => { &[$($id),*] };
}

/// `/// meaning` `CONST = ("name", Type).more();`
macro_rules! attributes {
    ($($(#[doc = $doc:literal])+ $id:ident = ($name:expr, $ty:expr) $(.$more:ident($($more_arg:expr),*))*;)*) => {
        $(
            const $id: $crate::schema::Attribute = $crate::schema::Attribute::new(
                $name, $ty, concat!($($doc),+).trim_ascii(),
            )$(.$more($($more_arg),*))*;
        )*
    };
}

/// The struct of a record and the field behind each of its own:
/// `/// meaning` `name: Type = CONST("wire name", "attribute").more();`
macro_rules! typed_record {
    (
        $(#[$about:meta])*
        pub struct $name:ident = $kind:ident {
            $($(#[doc = $doc:literal])+ $field:ident: $ty:ty = $id:ident($wire:literal, $attribute:literal)
                $(.$more:ident($($more_arg:expr),*))*;)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $ty,)*
        }

        $(
            pub(in crate::schema) const $id: $crate::schema::Field = $crate::schema::Field::record(
                $wire,
                <$ty as $crate::schema::TypedAttribute>::TYPE,
                $attribute,
                concat!($($doc),+).trim_ascii(),
            )$(.$more($($more_arg),*))*;
        )*

        impl $crate::schema::DescribedRecord for $name {
            const KIND: &'static str = $kind;
            const FIELDS: &'static [$crate::schema::Field] = &[$($id),*];
        }

        impl $crate::schema::UsageRecord for $name {
            fn kind(&self) -> &str {
                $kind
            }

            fn attributes(self) -> Vec<opentelemetry::KeyValue> {
                // Taken apart whole: a field without a row does not compile.
                let Self { $($field),* } = self;
                $crate::schema::Attributes::of($kind)$(.with($attribute, $field))*.attributes()
            }
        }
    };
}

pub(super) use {attributes, fields, list, typed_record};
