//! Recognises flat JSON that engines post as it is: without OTLP, and without a contract that is named.
//!
//! It arrives at a usage server's own paths, as the body of a log record from a collector's webhook receiver, or in a
//! file. The tables of the contracts identify the message: by its constants, such as `message_type`, or by its set of
//! keys if it has no constants. A release between two contracts, or after the newest, is read by the contract that knows
//! most of its keys.

use std::cmp::Reverse;

use otel_usage_schema::{Contract, Field, Literal, Source};

use crate::flat::Object;
use crate::keys::{KeySet, Keys};
use crate::value::Any;

/// Fewest fields of a message without constants that is recognised by a part of its keys.
const LONG: usize = 16;

/// The messages of all contracts, as far as recognising needs them.
#[derive(Debug)]
pub(crate) struct Forms {
    list: Vec<Form>,
    /// The keys that hold the constant of any message.
    tags: KeySet,
}

/// The form of one message.
#[derive(Debug)]
struct Form {
    /// The places of the contract, and of the message in it.
    place: (usize, usize),
    keys: KeySet,
    /// The constants by which the message is told from others.
    tags: Vec<(String, Tag)>,
    /// The keys that other messages of the contract have and this one has not.
    foreign: KeySet,
}

/// How well a message fits an object; the greatest fits best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    /// Number of the message's keys that the object has.
    found: usize,
    /// Number of the message's keys that the object does not have.
    missing: Reverse<usize>,
}

impl Forms {
    /// Reads the messages of the contracts. `keys` has all their keys.
    pub(crate) fn new(contracts: &[Contract], keys: &Keys) -> Self {
        let mut list = Vec::new();
        for (contract, table) in contracts.iter().enumerate() {
            for (message, spec) in table.messages.iter().enumerate() {
                let own = |name: &str| spec.fields.iter().any(|field| field.name == name);
                let siblings = table.messages.iter().flat_map(|sibling| sibling.fields.iter());
                let foreign = siblings.map(|field| field.name.as_ref()).filter(|name| !own(name));
                let tags = spec.fields.iter();
                let tags = tags.filter_map(|field| Some((field.name.to_string(), tag(field)?)));
                list.push(Form {
                    place: (contract, message),
                    keys: keys.set(spec.fields.iter().map(|field| field.name.as_ref())),
                    tags: tags.collect(),
                    foreign: keys.set(foreign),
                });
            }
        }
        let tags = list.iter().flat_map(|form| form.tags.iter().map(|(name, _)| name.as_str()));
        let tags = keys.set(tags);
        Self { list, tags }
    }

    /// Returns the places of the object's contract, and of its message in the contract.
    ///
    /// A message with constants (`message_type`, `schema_version`) matches if the object has all of them and
    /// no constant of other messages only, because schema version 2 is not version 1 with more keys. A
    /// message without constants matches if the object has all its keys, or more than half of them if they are
    /// many, and no key of another message of the contract only, because a part of a start message is not a
    /// heartbeat.
    pub(crate) fn recognise(&self, object: &Object) -> Option<(usize, usize)> {
        let tags = self.tags.both(&object.keys);
        // Takes the first of equals, because the newest built-in contract is first.
        let mut best: Option<(Fit, (usize, usize))> = None;
        for form in &self.list {
            if let Some(fit) = form.fit(object, &tags)
                && best.is_none_or(|(known, _)| fit > known)
            {
                best = Some((fit, form.place));
            }
        }
        best.map(|(_, place)| place)
    }
}

impl Form {
    /// Returns how well the message fits the object, which has the keys `tags` of constants. `None` if it does not.
    fn fit(&self, object: &Object, tags: &KeySet) -> Option<Fit> {
        let (found, all) = (self.keys.common(&object.keys), self.keys.len());
        let missing = all.saturating_sub(found);
        let fits = if self.tags.is_empty() && tags.is_empty() {
            let most = all >= LONG && found > missing;
            (missing == 0 || most) && self.foreign.common(&object.keys) == 0
        } else {
            !self.tags.is_empty()
                && tags.common(&self.keys) == tags.len()
                && self
                    .tags
                    .iter()
                    .all(|(name, tag)| object.get(name).is_some_and(|any| tag.is(any)))
        };
        fits.then_some(Fit { found, missing: Reverse(missing) })
    }
}

/// The constant that identifies a message.
#[derive(Debug)]
enum Tag {
    Text(String),
    Number(i64),
}

impl Tag {
    fn is(&self, any: &Any) -> bool {
        match self {
            Self::Text(text) => matches!(any, Any::Text(found) if found == text),
            Self::Number(number) => any.whole() == Ok(*number),
        }
    }
}

/// Returns the constant that identifies a message. Constant booleans and fractions do not, because older
/// engines had settings in their place.
fn tag(field: &Field) -> Option<Tag> {
    match &field.source {
        Source::Constant(Literal::Str(text)) => Some(Tag::Text(text.to_string())),
        Source::Constant(Literal::Int(number)) => Some(Tag::Number(*number)),
        _ => None,
    }
}
