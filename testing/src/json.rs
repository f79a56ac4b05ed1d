//! The text of flat JSON messages: the order of their keys, and the form that Python gives it.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::{Deserializer, Serializer};

/// Returns the keys of one flat JSON object in the order of the text.
pub fn keys(json: &str) -> Vec<String> {
    rows(json).into_iter().map(|(key, _)| key).collect()
}

/// Returns the keys of one flat JSON object with their values as JSON, in the order of the text.
pub fn rows(json: &str) -> Vec<(String, String)> {
    struct Rows;
    impl<'de> Visitor<'de> for Rows {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut rows = Vec::new();
            while let Some((key, value)) = map.next_entry::<String, serde_json::Value>()? {
                rows.push((key, value.to_string()));
            }
            Ok(rows)
        }
    }
    Deserializer::from_str(json).deserialize_map(Rows).unwrap()
}

/// Writes JSON on one line as Python's `json.dumps` does. Keys, order, types and values stay.
pub fn python_form(json: &str) -> String {
    let mut out = Vec::new();
    serde_transcode::transcode(
        &mut Deserializer::from_str(json),
        &mut Serializer::with_formatter(&mut out, otel_usage::schema::PythonFormatter),
    )
    .unwrap();
    String::from_utf8(out).unwrap()
}
