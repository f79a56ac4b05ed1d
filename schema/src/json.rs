//! Encodes JSON as Python's `json.dumps` does, for every exporter, for previews and for the bridge.
//!
//! Parts are separated by `", "` and `": "`, non-ASCII characters are `\uXXXX`, and floats are spelt as
//! Python's `repr` spells them, so that a line in `usage_stats.json` equals that of the Python client
//! byte for byte.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// Appends `value` to `out`, spelt as Python's `json.dumps` does.
///
/// Non-finite floats are written as `null`. Records hold none, because the contract refuses them.
pub(crate) fn append(out: &mut Vec<u8>, value: &impl Serialize) {
    let mut serializer = Serializer::with_formatter(out, PythonFormatter);
    // Writing to a `Vec` cannot fail, and our types have string keys only.
    let _ = value.serialize(&mut serializer);
}

/// Appends `text` as a JSON string.
pub(crate) fn append_text(out: &mut Vec<u8>, text: &str) {
    // Without an early exit the compiler checks many bytes at once.
    let plain = text.bytes().fold(true, |plain, byte| {
        plain & matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\')
    });
    if plain {
        out.reserve(text.len().saturating_add(2));
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        append(out, &text);
    }
}

/// Returns `value` as text, spelt as Python's `json.dumps` does.
pub(crate) fn to_string(value: &impl Serialize) -> String {
    let mut out = Vec::with_capacity(256);
    append(&mut out, value);
    String::from_utf8(out).unwrap_or_default()
}

/// A [`Formatter`] with the separators, escapes and float spelling of `json.dumps`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PythonFormatter;

impl Formatter for PythonFormatter {
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
        if is_decimal(value) {
            CompactFormatter.write_f64(w, value)
        } else {
            w.write_all(float(value).as_bytes())
        }
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // Without an early exit the compiler checks many bytes at once.
        if fragment.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~')) {
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

/// Returns whether Python spells a float without an exponent; serde_json then spells it alike.
fn is_decimal(value: f64) -> bool {
    value == 0.0 || (1e-4..1e16).contains(&value.abs())
}

/// Returns Python's `repr` of a finite float: the shortest digits that read back.
///
/// The digits are serde_json's, because Rust's `{:?}` picks others if two spellings are equally near:
/// `813979665447375.3` instead of Python's `.2`.
pub(crate) fn float(value: f64) -> String {
    let mut text = Vec::with_capacity(24);
    // Writing to a `Vec` cannot fail.
    let _ = CompactFormatter.write_f64(&mut text, value.abs());
    let text = String::from_utf8(text).unwrap_or_default();
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if is_decimal(value) {
        return format!("{sign}{text}");
    }
    // `1e16`, `1.5e-7`; or `0.000015`, which serde_json still writes without an exponent.
    let (digits, exponent) = match text.split_once('e') {
        Some((digits, exponent)) => (digits.to_owned(), exponent),
        None => {
            let digits = text.trim_start_matches(['0', '.']);
            let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, ""));
            let point = if rest.is_empty() { "" } else { "." };
            (format!("{first}{point}{rest}"), "-5")
        }
    };
    let (direction, magnitude) = match exponent.strip_prefix('-') {
        Some(magnitude) => ('-', magnitude),
        None => ('+', exponent.trim_start_matches('+')),
    };
    let digits = digits.strip_suffix(".0").unwrap_or(&digits);
    format!("{sign}{digits}e{direction}{magnitude:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_and_escapes_equal_python() {
        let value = serde_json::json!({"a": [1, "é\u{7f}😀\n\"\\"], "b": null});
        assert_eq!(to_string(&value), r#"{"a": [1, "\u00e9\u007f\ud83d\ude00\n\"\\"], "b": null}"#);
    }

    #[test]
    fn floats_equal_python() {
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
            (-2.5e-5, "-2.5e-05"),
            (9.999_999_999_999_999e-5, "9.999999999999999e-05"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            // Two shortest spellings are equally near; the even one is Python's.
            (3_255_918_661_789_501.0 / 4.0, "813979665447375.2"),
            (3_255_918_661_789_503.0 / 4.0, "813979665447375.8"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            assert_eq!(to_string(&value), python);
        }
    }

    #[test]
    fn floats_round_trip_and_are_short() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
            let value = f64::from_bits(bits);
            if value.is_finite() {
                let text = to_string(&value);
                assert_eq!(text.parse(), Ok(value), "{text}");
                assert_eq!(text, float(value));
                assert!(text.len() <= 24, "{text}");
            }
        }
    }
}
