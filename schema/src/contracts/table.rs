//! Macros for the built-in tables: a row takes two or three lines, with its meaning as a doc comment.
//!
//! They expand to the public constructors of [`crate::Field`] and [`crate::Attribute`], which an
//! engine's own contract uses too, by hand or by the derive macro.

use crate::Literal;

pub(crate) const FALSE: Literal = Literal::Bool(false);
pub(crate) const ONE: Literal = Literal::Int(1);
pub(crate) const ZERO: Literal = Literal::Int(0);

/// Returns a text constant.
pub(crate) const fn text(text: &'static str) -> Literal {
    Literal::text(text)
}

/// Declares fields: `/// meaning` `CONST = constructor(arguments without the meaning).more();`
macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $id:ident = $new:ident($($arg:expr),*) $(.$more:ident($($more_arg:expr),*))*;)*) => {
        $(
            pub(crate) const $id: $crate::Field = $crate::Field::$new(
                $($arg,)* concat!($($doc),+).trim_ascii(),
            )$(.$more($($more_arg),*))*;
        )*
    };
}

/// Lists the fields of a message, in the order of the wire.
macro_rules! list {
    ($($id:ident)*) => { &[$($id),*] };
}

/// Declares a list of Resource attributes: `/// meaning` `("name", Type).more();`
macro_rules! attributes {
    ($(#[$about:meta])* $vis:vis $list:ident:
     $($(#[doc = $doc:literal])+ ($name:expr, $ty:expr) $(.$more:ident($($more_arg:expr),*))*;)*) => {
        $(#[$about])*
        $vis static $list: &[$crate::Attribute] = &[$(
            $crate::Attribute::new($name, $ty, concat!($($doc),+).trim_ascii())
                $(.$more($($more_arg),*))*
        ),*];
    };
}

/// Declares the struct of a record, and the contract's field for each member:
/// `/// meaning` `member: Type = CONST("wire name", "attribute").more();`
macro_rules! typed_record {
    (
        $(#[$about:meta])*
        pub struct $name:ident = $kind:ident {
            $($(#[doc = $doc:literal])+ $field:ident: $ty:ty = $id:ident($wire:literal, $attribute:literal)
                $(.$more:ident($($more_arg:expr),*))*;)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $ty,)*
        }

        /// Every member as the original client sends it when its engine says nothing.
        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $crate::record::FromAbsent::from_absent(&$id.absent),)* }
            }
        }

        $(
            pub(crate) const $id: $crate::Field = $crate::Field::record(
                $wire,
                <$ty as $crate::TypedAttribute>::TYPE,
                $attribute,
                concat!($($doc),+).trim_ascii(),
            )$(.$more($($more_arg),*))*;
        )*

        impl $crate::DescribedRecord for $name {
            const KIND: &'static str = $kind;
            const FIELDS: &'static [$crate::Field] = &[$($id),*];
        }

        impl $crate::UsageRecord for $name {
            fn kind(&self) -> &str {
                $kind
            }

            fn attributes(self) -> Vec<opentelemetry::KeyValue> {
                // The struct is taken apart whole, so that a member without a row does not compile.
                let Self { $($field),* } = self;
                $crate::Attributes::new($kind)$(.with($attribute, $field))*.attributes()
            }
        }
    };
}

pub(crate) use {attributes, fields, list, typed_record};
