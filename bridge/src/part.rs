//! Reads a request where it lies: messages and values of OTLP, in protobuf or in the JSON of protobuf.
//!
//! Nothing is built before it is needed, because a message of two bytes would become a structure of hundreds.
//! A [`Part`] is a slice of the request; [`Part::each`] visits the fields of a message one after the other.
//! The JSON is read as the protobuf mapping has it: field names in both spellings, `null` for an unset field,
//! numbers as text, and base64 in either alphabet with or without padding.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Longest name, number or id. Unit: bytes.
const SHORT: usize = 256;

/// A message or a value that is not read yet.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part<'a> {
    /// A protobuf message, text or bytes.
    Bytes(&'a [u8]),
    /// A protobuf number or switch.
    Bits(u64),
    /// A JSON value.
    Json(&'a RawValue),
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    tag: u32,
    /// The name in JSON, for example `timeUnixNano`.
    name: &'static str,
    /// Whether the field is a list.
    repeated: bool,
}

/// The reason why reading ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The bytes are not the message that they should be.
    Malformed,
    /// The request holds more records than a request may.
    TooLarge,
    /// The memory for requests is in use.
    Busy,
}

pub(crate) const fn one(tag: u32, name: &'static str) -> Field {
    Field { tag, name, repeated: false }
}

pub(crate) const fn many(tag: u32, name: &'static str) -> Field {
    Field { tag, name, repeated: true }
}

impl<'a> Part<'a> {
    /// Calls `take` for each of these fields that the message has, with the field's place in `fields`. A list
    /// is taken entry by entry.
    pub(crate) fn each(
        self,
        fields: &[Field],
        take: &mut dyn FnMut(usize, Self) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        match self {
            Self::Bytes(bytes) => protobuf(bytes, fields, take),
            Self::Bits(_) => Err(Stop::Malformed),
            Self::Json(raw) if raw.get() == "null" => Ok(()),
            Self::Json(raw) => entries(raw, &mut |key, value| {
                let Some(key) = json_text(key, SHORT) else { return Ok(()) };
                let found = fields.iter().position(|field| is_name(&key, field.name));
                let Some((place, field)) = found.and_then(|i| Some((i, fields.get(i)?))) else {
                    return Ok(());
                };
                if value.get() == "null" {
                    Ok(())
                } else if field.repeated {
                    items(value, &mut |item| take(place, Part::Json(item)))
                } else {
                    take(place, Part::Json(value))
                }
            }),
        }
    }

    /// Returns the text, cut after `longest` bytes.
    pub(crate) fn text(self, longest: usize) -> Option<Cow<'a, str>> {
        match self {
            Self::Bytes(bytes) => {
                std::str::from_utf8(bytes).ok().map(|text| Cow::Borrowed(cut(text, longest)))
            }
            Self::Bits(_) => None,
            Self::Json(raw) => json_text(raw, longest),
        }
    }

    /// Returns the bytes, `None` if they are more than `longest`.
    pub(crate) fn bytes(self, longest: usize) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Bytes(bytes) => (bytes.len() <= longest).then_some(Cow::Borrowed(bytes)),
            Self::Bits(_) => None,
            // Base64 has four letters for three bytes.
            Self::Json(raw) => base64(&json_text(raw, longest.saturating_mul(2))?).map(Cow::Owned),
        }
    }

    /// Returns the bytes of an id, which OTLP writes in hexadecimal where protobuf's JSON has base64.
    pub(crate) fn id(self) -> Option<Cow<'a, [u8]>> {
        let Self::Json(raw) = self else { return self.bytes(SHORT) };
        let text = json_text(raw, SHORT)?;
        let digits = || text.as_bytes().chunks_exact(2).map(hex);
        if matches!(text.len(), 16 | 32)
            && let Some(id) = digits().collect()
        {
            return Some(Cow::Owned(id));
        }
        base64(&text).map(Cow::Owned)
    }

    pub(crate) fn flag(self) -> Option<bool> {
        match self {
            Self::Bits(bits) => Some(bits != 0),
            Self::Bytes(_) => None,
            Self::Json(raw) => raw.get().parse().ok(),
        }
    }

    pub(crate) fn int(self) -> Option<i64> {
        match self {
            Self::Bits(bits) => Some(bits.cast_signed()),
            Self::Bytes(_) => None,
            Self::Json(raw) => whole(&number(raw)?),
        }
    }

    /// Returns a time. Unit: nanoseconds since the Unix epoch; 0 if it is unknown.
    pub(crate) fn nanos(self) -> u64 {
        match self {
            Self::Bits(bits) => bits,
            Self::Bytes(_) => 0,
            Self::Json(raw) => {
                let text = number(raw).unwrap_or_default();
                let signed = || whole(&text).and_then(|nanos| u64::try_from(nanos).ok());
                text.parse().ok().or_else(signed).unwrap_or(0)
            }
        }
    }

    pub(crate) fn double(self) -> Option<f64> {
        match self {
            Self::Bits(bits) => Some(f64::from_bits(bits)),
            Self::Bytes(_) => None,
            // `NaN` and `Infinity` are among the words that this takes.
            Self::Json(raw) => number(raw)?.parse().ok(),
        }
    }
}

/// Returns the whole number that a decimal text stands for, such as `5`, `5.0` and `5e3`.
pub(crate) fn whole(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| text.parse().ok().and_then(whole_of))
}

/// Returns the number if it is whole and fits.
pub(crate) fn whole_of(number: f64) -> Option<i64> {
    /// 2⁶³; every smaller double fits 64 bits with sign.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    (number.fract() == 0.0 && (-BEYOND..BEYOND).contains(&number)).then_some(number as i64)
}

/// Returns the contents of a JSON text, cut after `longest` bytes. Half of a surrogate pair makes it
/// unreadable.
pub(crate) fn json_text(raw: &RawValue, longest: usize) -> Option<Cow<'_, str>> {
    let text = raw.get();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(cut(inner, longest)));
    }
    // An escaped byte has six letters.
    if inner.len() > longest.saturating_mul(6) {
        return None;
    }
    let text: String = serde_json::from_str(text).ok()?;
    Some(Cow::Owned(cut(&text, longest).to_owned()))
}

/// Returns the begin of a text, in whole characters.
fn cut(text: &str, longest: usize) -> &str {
    text.get(..text.floor_char_boundary(longest)).unwrap_or_default()
}

/// Calls `take` with each key and value of a JSON object. A key that occurs twice is taken twice.
pub(crate) fn entries<'a>(
    raw: &'a RawValue,
    take: &mut dyn FnMut(&'a RawValue, &'a RawValue) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut stop = Stop::Malformed;
    let visitor = Visit { take, stop: &mut stop };
    serde_json::Deserializer::from_str(raw.get()).deserialize_map(visitor).map_err(|_| stop)
}

/// Calls `take` with each entry of a JSON list.
pub(crate) fn items<'a>(
    raw: &'a RawValue,
    take: &mut dyn FnMut(&'a RawValue) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut stop = Stop::Malformed;
    let visitor = Visit { take, stop: &mut stop };
    serde_json::Deserializer::from_str(raw.get()).deserialize_seq(visitor).map_err(|_| stop)
}

/// Visits without building. The reason of an early end goes through `stop`, past the parser.
struct Visit<'f, F: ?Sized> {
    take: &'f mut F,
    stop: &'f mut Stop,
}

type TakeEntry<'f, 'a> = dyn FnMut(&'a RawValue, &'a RawValue) -> Result<(), Stop> + 'f;
type TakeItem<'f, 'a> = dyn FnMut(&'a RawValue) -> Result<(), Stop> + 'f;

impl<'de> Visitor<'de> for Visit<'_, TakeEntry<'_, 'de>> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry()? {
            if let Err(stop) = (self.take)(key, value) {
                *self.stop = stop;
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Visit<'_, TakeItem<'_, 'de>> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element()? {
            if let Err(stop) = (self.take)(item) {
                *self.stop = stop;
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

fn protobuf<'a>(
    mut rest: &'a [u8],
    fields: &[Field],
    take: &mut dyn FnMut(usize, Part<'a>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let malformed = |_| Stop::Malformed;
    while !rest.is_empty() {
        let (tag, wire) = decode_key(&mut rest).map_err(malformed)?;
        let place = fields.iter().position(|field| field.tag == tag);
        let part = match (place, wire) {
            (Some(_), WireType::LengthDelimited) => {
                let length = decode_varint(&mut rest).map_err(malformed)?;
                let length = usize::try_from(length).map_err(|_| Stop::Malformed)?;
                let (bytes, after) = rest.split_at_checked(length).ok_or(Stop::Malformed)?;
                rest = after;
                Part::Bytes(bytes)
            }
            (Some(_), WireType::Varint) => Part::Bits(decode_varint(&mut rest).map_err(malformed)?),
            (Some(_), WireType::SixtyFourBit) => {
                let (bytes, after) = rest.split_first_chunk().ok_or(Stop::Malformed)?;
                rest = after;
                Part::Bits(u64::from_le_bytes(*bytes))
            }
            _ => {
                skip_field(wire, tag, &mut rest, DecodeContext::default()).map_err(malformed)?;
                continue;
            }
        };
        if let Some(place) = place {
            take(place, part)?;
        }
    }
    Ok(())
}

/// Compares a key with a name, in the spelling of JSON (`timeUnixNano`) or of the protocol
/// (`time_unix_nano`).
fn is_name(key: &str, name: &str) -> bool {
    let spelt =
        |c: char| c.is_ascii_uppercase().then_some('_').into_iter().chain([c.to_ascii_lowercase()]);
    key == name || (key.contains('_') && key.chars().eq(name.chars().flat_map(spelt)))
}

/// Returns the text of a number, which may stand in quotes.
fn number(raw: &RawValue) -> Option<Cow<'_, str>> {
    if raw.get().starts_with('"') { json_text(raw, SHORT) } else { Some(Cow::Borrowed(raw.get())) }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    const EITHER: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    EITHER.decode(text.replace('-', "+").replace('_', "/")).ok()
}

fn hex(pair: &[u8]) -> Option<u8> {
    // A sign would be read as part of the number.
    let digits = pair.iter().all(u8::is_ascii_hexdigit);
    u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|_| digits)?, 16).ok()
}
