//! Reads a flat JSON object from the body of a log record.
//!
//! Python engines write what the JSON standard does not know: `NaN`, `Infinity`, and halves of surrogate
//! pairs. Each costs the field in which it stands.

use std::borrow::Cow;

use otel_usage_schema::MessageSpec;
use serde_json::value::RawValue;

use crate::keys::{KeySet, Keys};
use crate::part::{Field, Part, Stop, entries, json_text, many, one};
use crate::value::{Any, Room, pair};

/// Most unknown keys of one object that are named.
const STRANGE: usize = 16;

/// Longest text that is read as a flat object; a longer one is cut and can then not be read. The longest
/// message known has 4 KB. Unit: bytes.
pub(crate) const BODY_BYTES: usize = 1 << 20;

/// Longest key. Unit: bytes.
const KEY: usize = 256;

/// A flat object: the values of the keys that a contract knows.
#[derive(Debug, Default)]
pub(crate) struct Object {
    known: Vec<(String, Any)>,
    /// The keys among them.
    pub(crate) keys: KeySet,
    /// The keys that no contract knows, as far as they are named.
    unknown: Vec<String>,
    /// The number of the other keys that no contract knows.
    pub(crate) unnamed: usize,
}

const BODY: &[Field] = &[one(1, "stringValue"), one(6, "kvlistValue"), one(7, "bytesValue")];
const ENTRIES: &[Field] = &[many(1, "values")];

impl Object {
    /// Returns the value of a key; of a key that occurs twice the last.
    pub(crate) fn get(&self, key: &str) -> Option<&Any> {
        self.known.iter().rfind(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Returns the number of keys that a contract knows.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Returns the named keys that `message` does not have.
    pub(crate) fn strange<'a>(&'a self, message: &MessageSpec) -> Vec<&'a str> {
        let known = self.known.iter().map(|(key, _)| key.as_str());
        known
            .filter(|key| message.fields.iter().all(|field| field.name != *key))
            .chain(self.unknown.iter().map(String::as_str))
            .collect()
    }

    fn put(&mut self, key: &str, keys: &Keys, value: impl FnOnce() -> Any) {
        if let Some(number) = keys.number(key) {
            self.keys.insert(number);
            self.known.push((key.to_owned(), value()));
        } else if self.unknown.len() < STRANGE {
            self.unknown.push(key.to_owned());
        } else {
            self.unnamed = self.unnamed.saturating_add(1);
        }
    }
}

/// Returns the flat object in the body of a log record, which is text, bytes, or OTLP's own map. Of its
/// values only those under `keys` are read.
pub(crate) fn object(body: Part<'_>, keys: &Keys) -> Option<Object> {
    let mut object = None;
    let read = body.each(BODY, &mut |place, value| {
        object = match place {
            0 => value.text(BODY_BYTES).and_then(|text| of_text(&text, keys)),
            1 => of_map(value, keys),
            _ => value
                .bytes(BODY_BYTES)
                .and_then(|bytes| of_text(std::str::from_utf8(&bytes).ok()?, keys)),
        };
        Ok(())
    });
    read.ok().and(object)
}

fn of_map(map: Part<'_>, keys: &Keys) -> Option<Object> {
    let (mut object, mut room) = (Object::default(), Room::new());
    let read = map.each(ENTRIES, &mut |_, entry| {
        if let Some((key, value)) = pair(entry)? {
            object
                .put(&key, keys, || value.map_or(Any::Null, |part| Any::of_otlp(part, &mut room)));
        }
        bounded(&object)
    });
    read.ok().map(|()| object)
}

/// Returns the flat object in a text.
pub(crate) fn of_text(text: &str, keys: &Keys) -> Option<Object> {
    let standard = standard(text);
    let raw: &RawValue = serde_json::from_str(&standard).ok()?;
    let (mut object, mut room) = (Object::default(), Room::new());
    let read = entries(raw, &mut |key, value| {
        let key = json_text(key, KEY).unwrap_or_default();
        object.put(&key, keys, || Any::of_json(value, &mut room));
        bounded(&object)
    });
    read.ok().map(|()| object)
}

/// A key may occur any number of times.
fn bounded(object: &Object) -> Result<(), Stop> {
    if object.len() > crate::value::ENTRIES { Err(Stop::TooLarge) } else { Ok(()) }
}

/// Replaces Python's words for numbers that are not finite by numbers that no double can hold.
fn standard(text: &str) -> Cow<'_, str> {
    let mut words = Vec::new();
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            // The last letter of `NaN` begins no word.
            b'N' | b'I'
                if !quoted && !text.get(..at).is_some_and(|before| before.ends_with("Na")) =>
            {
                words.push(at)
            }
            _ => {}
        }
        if words.len() > crate::value::ENTRIES {
            return Cow::Borrowed(text);
        }
    }
    if words.is_empty() {
        return Cow::Borrowed(text);
    }
    let (mut out, mut done) = (String::with_capacity(text.len()), 0_usize);
    for at in words {
        let rest = text.get(at..).unwrap_or_default();
        let Some(word) = ["NaN", "Infinity"].into_iter().find(|word| rest.starts_with(word)) else {
            return Cow::Borrowed(text);
        };
        out.push_str(text.get(done..at).unwrap_or_default());
        out.push_str("1e999");
        done = at.saturating_add(word.len());
    }
    out.push_str(text.get(done..).unwrap_or_default());
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Object> {
        of_text(text, &["a", "b"].into_iter().collect())
    }

    #[test]
    fn what_python_writes_beside_the_standard_costs_its_field() {
        let object =
            read(r#"{"a": NaN, "b": "\ud83d", "NaN": [-Infinity], "a": -Infinity}"#).unwrap();
        assert_eq!(object.get("a"), Some(&Any::Float(f64::NEG_INFINITY)));
        assert_eq!(object.get("b"), Some(&Any::Unusable));
        assert_eq!(object.unknown, ["NaN"]);
        let object =
            read(r#"{"\ud800": 1, "a": "say \"NaN\"", "b": 36893488147419103232}"#).unwrap();
        assert_eq!(object.get("a"), Some(&Any::Text("say \"NaN\"".to_owned())));
        assert_eq!(object.get("b"), Some(&Any::Float(36_893_488_147_419_103_232.0)));
        for text in ["{\"a\": Nan}", "{\"a\": N}", "[NaN]", "NaN", "{\"a\": 1,}"] {
            assert!(read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_built_of_an_object_is_bounded() {
        let many = format!("{{{}\"b\": 1}}", "\"a\": 1,".repeat(10_000));
        assert!(read(&many).is_none());
        let deep = format!("{{\"a\": {}{}, \"b\": 1}}", "[".repeat(100), "]".repeat(100));
        let object = read(&deep).unwrap();
        assert_eq!(object.get("b"), Some(&Any::Int(1)));
        let long = format!("{{\"a\": [{}0], \"b\": 1}}", "0,".repeat(10_000));
        assert_eq!(read(&long).unwrap().get("a"), Some(&Any::Unusable));
        let unknown: String = (0..100).map(|n| format!("\"x{n}\": 1,")).collect();
        let object = read(&format!("{{{unknown}\"b\": 1}}")).unwrap();
        assert_eq!((object.unknown.len(), object.unnamed), (STRANGE, 84));
    }
}
