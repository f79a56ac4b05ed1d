//! Shortens what an engine says before it is kept, so that no value of an engine fills the memory.
//!
//! Everything is shortened on the engine's thread and before a lock is taken. Capacity counts and not only
//! length, because a list that is cut keeps its memory.

use std::borrow::Cow;

use opentelemetry::{Array, Key, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::SpanData;
use otel_usage_schema::sanitize::LIST;

/// Most attributes of a record: more than any contract has fields, and enough to count undeclared ones.
pub(super) const ATTRIBUTES: usize = 512;

/// Most events of a span.
pub(super) const EVENTS: usize = 128;

/// Longest text that is kept until it is sanitized. Every field has a shorter limit.
const TEXT_BYTES: usize = 4096;

/// Longest name of a record or an attribute. The names of contracts are shorter.
const NAME_BYTES: usize = 256;

/// Most entries of a list that are kept: one more than are read, so that a list that is cut is counted.
const ENTRIES: usize = LIST + 1;

/// Ends a name that was cut, so that it is not the name of a declared attribute.
const CUT: char = '…';

/// Shortens a span. Returns the bytes that it takes.
pub(super) fn shorten_span(span: &mut SpanData) -> usize {
    name(&mut span.name);
    // No record has links or a status, whose description may be of any length.
    span.links = opentelemetry_sdk::trace::SpanLinks::default();
    span.status = opentelemetry::trace::Status::Unset;
    let mut bytes = shorten(&mut span.attributes).saturating_add(span.name.len());
    bytes = bytes.saturating_add(trim(&mut span.events.events, EVENTS));
    for event in &mut span.events.events {
        name(&mut event.name);
        bytes =
            bytes.saturating_add(event.name.len()).saturating_add(shorten(&mut event.attributes));
    }
    bytes
}

/// Shortens attributes: their number, their names, texts and lists. Returns the bytes that they take.
pub(super) fn shorten(attributes: &mut Vec<KeyValue>) -> usize {
    let mut bytes = trim(attributes, ATTRIBUTES);
    for KeyValue { key, value, .. } in attributes {
        if key.as_str().len() > NAME_BYTES {
            *key = Key::new(cut_name(key.as_str()));
        }
        let size = match value {
            Value::String(word) => shorten_text(word),
            Value::Array(list) => shorten_list(list),
            _ => 0,
        };
        bytes = bytes.saturating_add(key.as_str().len()).saturating_add(size);
    }
    bytes
}

/// Returns the start of a text that is longer than any field allows.
pub(crate) fn text(text: &str) -> &str {
    start(text, TEXT_BYTES)
}

fn start(text: &str, limit: usize) -> &str {
    // A character takes four bytes at most.
    (0..4).find_map(|back| text.get(..limit.saturating_sub(back))).unwrap_or(text)
}

fn name(name: &mut Cow<'static, str>) {
    if name.len() > NAME_BYTES {
        *name = cut_name(name).into();
    }
}

fn cut_name(name: &str) -> String {
    format!("{}{CUT}", start(name, NAME_BYTES))
}

fn shorten_text(word: &mut StringValue) -> usize {
    if word.as_str().len() > TEXT_BYTES {
        *word = text(word.as_str()).to_owned().into();
    }
    word.as_str().len()
}

fn shorten_list(list: &mut Array) -> usize {
    match list {
        Array::Bool(flags) => trim(flags, ENTRIES),
        Array::I64(numbers) => trim(numbers, ENTRIES),
        Array::F64(numbers) => trim(numbers, ENTRIES),
        Array::String(words) => {
            let bytes = trim(words, ENTRIES);
            words.iter_mut().map(shorten_text).fold(bytes, usize::saturating_add)
        }
        _ => 0,
    }
}

/// Cuts a list to `most` items and gives back memory beyond them. Returns the bytes of its memory.
fn trim<T>(list: &mut Vec<T>, most: usize) -> usize {
    list.truncate(most);
    if list.capacity() > most {
        list.shrink_to_fit();
    }
    list.capacity().saturating_mul(size_of::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_shortened_and_counted() {
        let long = || "ä".repeat(100_000);
        let words: Vec<StringValue> = vec![long().into(); 1000];
        let mut spare = Vec::with_capacity(1_000_000);
        spare.push(1);
        let mut attributes = vec![
            KeyValue::new(long(), true),
            KeyValue::new("text", long()),
            KeyValue::new("words", Value::Array(Array::String(words))),
            KeyValue::new("floats", Value::Array(Array::F64(vec![0.5; 100_000]))),
            KeyValue::new("integers", Value::Array(Array::I64(vec![1; 100_000]))),
            KeyValue::new("flags", Value::Array(Array::Bool(vec![true; 100_000]))),
            KeyValue::new("spare", Value::Array(Array::I64(spare))),
        ];
        for attribute in &mut attributes {
            let mut one = vec![attribute.clone()];
            let bytes = shorten(&mut one);
            let most = TEXT_BYTES.saturating_mul(ENTRIES).saturating_add(4096);
            assert!(bytes <= most, "{bytes} {}", attribute.key.as_str().len());
        }
        let bytes = shorten(&mut attributes);
        assert!(bytes > TEXT_BYTES * LIST, "{bytes}");
        assert!(attributes[0].key.as_str().ends_with(CUT));
        assert_eq!(attributes[1].value.as_str().len(), TEXT_BYTES);
        let Value::Array(Array::I64(spare)) = &attributes[6].value else { panic!() };
        assert!(spare.capacity() <= LIST);
        let mut many = vec![KeyValue::new("a", 1); 100_000];
        shorten(&mut many);
        assert!(many.len() == ATTRIBUTES && many.capacity() == ATTRIBUTES);
    }

    #[test]
    fn short_values_stay_as_they_are() {
        let before = vec![KeyValue::new("a", "b"), KeyValue::new("c", 1)];
        let mut after = before.clone();
        shorten(&mut after);
        assert_eq!(after, before);
    }
}
