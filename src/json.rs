//! The one JSON encoder: what Python's `json.dumps` writes, for server, file, preview and bridge.
//!
//! In: anything that serialises with serde. Out: bytes with `", "` and `": "` between the parts,
//! non-ASCII characters as `\uXXXX`, and floats as Python's `repr` spells them, so that our lines
//! in `usage_stats.json` can be compared byte for byte with those of the Python clients.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Appends `value` to `out` in the form of Python's `json.dumps`.
///
/// Non-finite floats are written as `null`; records never hold any (they take the field's own
/// null rule when they are read).
pub(crate) fn append(out: &mut Vec<u8>, value: &impl Serialize) {
    let mut serializer = Serializer::with_formatter(out, Python);
    // Writing to a `Vec` cannot fail, and our types have string keys only.
    let _ = value.serialize(&mut serializer);
}

/// `value` as text in the form of Python's `json.dumps`.
pub(crate) fn to_string(value: &impl Serialize) -> String {
    let mut out = Vec::with_capacity(256);
    append(&mut out, value);
    String::from_utf8(out).unwrap_or_default()
}

/// A [`Formatter`] with the separators, escapes and float spelling of `json.dumps`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        w.write_all(b": ")
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, w: &mut W, value: f64) -> io::Result<()> {
        w.write_all(float(value).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return w.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            if matches!(character, ' '..='~') {
                w.write_all(character.encode_utf8(&mut [0; 4]).as_bytes())?;
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(w, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

/// Python's `repr` of a float: the shortest digits that read back, with its exponent spelling.
///
/// Rust's `{:?}` picks the same digits and switches to an exponent at the same magnitudes; it
/// only spells the exponent `1e-5` where Python writes `1e-05`, and `1e16` where it is `1e+16`.
pub(crate) fn float(value: f64) -> String {
    let text = format!("{value:?}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, magnitude) = match exponent.strip_prefix('-') {
        Some(magnitude) => ('-', magnitude),
        None => ('+', exponent),
    };
    let digits = digits.strip_suffix(".0").unwrap_or(digits);
    format!("{digits}e{sign}{magnitude:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_and_escapes_are_those_of_python() {
        let value = serde_json::json!({"a": [1, "é\u{7f}😀\n\"\\"], "b": null});
        assert_eq!(to_string(&value), r#"{"a": [1, "\u00e9\u007f\ud83d\ude00\n\"\\"], "b": null}"#);
    }

    #[test]
    fn floats_are_spelt_like_python() {
        // Taken from `python3 -c 'import json; print(json.dumps(x))'`.
        for (value, python) in [
            (0.9, "0.9"),
            (0.15, "0.15"),
            (2.0, "2.0"),
            (600.012774, "600.012774"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (-0.0, "-0.0"),
        ] {
            assert_eq!(to_string(&value), python);
        }
    }
}
