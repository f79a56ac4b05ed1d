//! Recognises flat JSON that unmodified engines post to a collector's webhook receiver.
//!
//! The collector sends such JSON as the body of a log record. The tables of the contracts identify the
//! message: by its constants, such as `message_type`, or by its set of keys if it has no constants. A release
//! between two contracts, or after the newest, is read by the contract that knows most of its keys.

use otel_usage_schema::{Field, Literal, MessageSpec, Source};

use crate::catalog::Catalog;
use crate::flat::Object;
use crate::value::Any;

/// Fewest fields of a message without constants that is recognised by a part of its keys.
const LONG: usize = 16;

/// How well a message fits an object; the greatest fits best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    /// Number of the message's keys that the object has.
    found: usize,
    /// Number of the message's keys that the object does not have, below zero.
    missing: isize,
}

/// Returns the position of the object's contract and the table of its message.
///
/// A message with constants (`message_type`, `schema_version`) matches if the object has all of them and
/// no constant of other messages only, because schema version 2 is not version 1 with more keys. A
/// message without constants matches if the object has all its keys, or more than half of them if they are
/// many, and no key of another message of the contract only, because a part of a start message is not a
/// heartbeat.
pub(crate) fn recognise<'c>(
    catalog: &'c Catalog,
    object: &Object,
) -> Option<(usize, &'c MessageSpec)> {
    let messages = || {
        catalog.known.iter().enumerate().flat_map(|(place, known)| {
            known.compiled.contract().messages.iter().map(move |message| (place, message))
        })
    };
    let tags: Vec<&str> = messages()
        .flat_map(|(_, message)| message.fields.iter().filter(|field| tag(field).is_some()))
        .map(|field| field.name.as_ref())
        .filter(|name| object.get(name).is_some())
        .collect();
    let fit = |place: usize, message: &MessageSpec| {
        let mut own =
            message.fields.iter().filter_map(|field| Some((field.name.as_ref(), tag(field)?)));
        let tagged = own.clone().next().is_some();
        let found = message.fields.iter().filter(|field| object.get(&field.name).is_some()).count();
        let missing = message.fields.len().saturating_sub(found);
        let fits = if tagged || !tags.is_empty() {
            tagged
                && own.all(|(name, value)| object.get(name).is_some_and(|any| value.is(any)))
                && tags.iter().all(|tag| message.fields.iter().any(|field| field.name == *tag))
        } else {
            let known = catalog.known.get(place);
            let siblings = known.map_or(&[][..], |known| &known.compiled.contract().messages);
            let most = message.fields.len() >= LONG && found > missing;
            (missing == 0 || most)
                && siblings.iter().flat_map(|sibling| sibling.fields.iter()).all(|field| {
                    object.get(&field.name).is_none()
                        || message.fields.iter().any(|own| own.name == field.name)
                })
        };
        let missing = isize::try_from(missing).unwrap_or(isize::MAX);
        fits.then_some(Fit { found, missing: missing.saturating_neg() })
    };
    // Takes the first of equals, because the newest built-in contract is first.
    let mut best: Option<(Fit, usize, &MessageSpec)> = None;
    for (place, message) in messages() {
        if let Some(fit) = fit(place, message)
            && best.is_none_or(|(known, ..)| fit > known)
        {
            best = Some((fit, place, message));
        }
    }
    best.map(|(_, place, message)| (place, message))
}

/// The constant that identifies a message.
enum Tag<'a> {
    Text(&'a str),
    Number(i64),
}

impl Tag<'_> {
    fn is(&self, any: &Any) -> bool {
        match self {
            Self::Text(text) => matches!(any, Any::Text(found) if found == text),
            Self::Number(number) => any.whole() == Ok(*number),
        }
    }
}

/// Returns the constant that identifies a message. Constant booleans and fractions do not, because older
/// engines had settings in their place.
fn tag(field: &Field) -> Option<Tag<'_>> {
    match &field.source {
        Source::Constant(Literal::Str(text)) => Some(Tag::Text(text)),
        Source::Constant(Literal::Int(number)) => Some(Tag::Number(*number)),
        _ => None,
    }
}
