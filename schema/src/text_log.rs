//! Messages as LMCache's text log shows them, in Python's notation.

use std::fmt::Write as _;

use crate::json;
use crate::wire_value::counts_by_key;
use crate::{Message, WireValue};

impl Message<'_> {
    /// Returns the message for LMCache's text log: `key: value` a line in Python's notation, then an
    /// empty line.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::with_capacity(512);
        for (field, value) in self.fields() {
            let _ = writeln!(out, "{}: {}", field.name, PythonStr(&value));
        }
        out.push('\n');
        out
    }
}

/// Displays a value as Python's `str` shows it.
struct PythonStr<'a, 'b>(&'b WireValue<'a>);

impl std::fmt::Display for PythonStr<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            WireValue::Bool(true) => f.write_str("True"),
            WireValue::Bool(false) => f.write_str("False"),
            WireValue::Float(value) => f.write_str(&json::float(*value)),
            WireValue::Int(value) => write!(f, "{value}"),
            WireValue::Null => f.write_str("None"),
            // A field takes one line, so line breaks in its text become spaces.
            WireValue::Str(value) => f.write_str(&value.replace(['\n', '\r'], " ")),
            WireValue::Counts { field, counts } => {
                let parts: Vec<String> = counts_by_key(field, counts)
                    .map(|(key, count)| format!("{key}: {count}"))
                    .collect();
                write!(f, "{{{}}}", parts.join(", "))
            }
            WireValue::Ints(values) => tuple(f, values.iter().map(ToString::to_string)),
            WireValue::Strs(values) => tuple(f, values.iter().map(|value| python_repr(value))),
        }
    }
}

/// Returns Python's `repr` of a text, for texts as plain as those in the contracts' lists.
fn python_repr(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'").replace(['\n', '\r'], " ");
    format!("'{escaped}'")
}

/// Writes a list as Python shows a tuple.
fn tuple(
    f: &mut std::fmt::Formatter<'_>,
    values: impl Iterator<Item = String>,
) -> std::fmt::Result {
    let values: Vec<String> = values.collect();
    match values.as_slice() {
        [one] => write!(f, "({one},)"),
        values => write!(f, "({})", values.join(", ")),
    }
}
