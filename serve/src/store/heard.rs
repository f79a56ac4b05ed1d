//! Reads a flat message as far as the projection needs it.
//!
//! Messages are read once on their way in, on the threads of the front door, and again from the batches when the
//! projection catches up. Both use the same function, so both give the same rows.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::identity::identity;
use super::origin::Origin;
use super::shape::{FACETS, Kind, Shape, Shapes};
use super::time;

/// Longest text of a facet. Contracts allow 1,024 characters, and no page shows so many.
const TEXT: usize = 200;

/// A message as the projection needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The place of the shape.
    pub(crate) shape: usize,
    pub(crate) id: Option<[u8; 16]>,
    pub(crate) machine: Option<[u8; 16]>,
    /// Time of receipt. Unit: milliseconds since the Unix epoch.
    pub(crate) received: i64,
    /// The time at which the message counts, in the same unit.
    pub(crate) time: i64,
    /// Whether the engine's clock was not believed.
    pub(crate) skewed: bool,
    /// Where it came from. `None` if it was imported, or received before this process began.
    pub(crate) origin: Option<Origin>,
    pub(crate) tells: Tells,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tells {
    Beat,
    Interval { series: String, sequence: i64, sums: String },
    Start { facets: Vec<(&'static str, String)>, first: bool },
    Other,
}

/// Reads the flat message `body`. Returns `None` if it is no JSON object or its shape is unknown.
pub(crate) fn hear(
    shapes: &Shapes,
    place: usize,
    body: &[u8],
    received: i64,
    time_nanos: i64,
) -> Option<Heard> {
    let shape = shapes.get(place)?;
    let mut found = Found::of(shape);
    let mut reader = serde_json::Deserializer::from_slice(body);
    reader.deserialize_map(&mut found).ok()?;
    let (time, skewed) = time::counted(received, time_nanos);
    let tells = match &shape.kind {
        Kind::Beat => Tells::Beat,
        Kind::Interval { .. } => {
            found.sums.push('}');
            let series = found.series.join(" ");
            Tells::Interval { series, sequence: found.sequence, sums: found.sums }
        }
        Kind::Start { first } => {
            found.facets.sort_unstable();
            Tells::Start { facets: found.facets, first: *first }
        }
        Kind::Other => Tells::Other,
    };
    let (id, machine) = (found.id, found.machine);
    Some(Heard { shape: place, id, machine, received, time, skewed, origin: None, tells })
}

/// The values that are found in one message.
struct Found<'s> {
    shape: &'s Shape,
    id: Option<[u8; 16]>,
    machine: Option<[u8; 16]>,
    sequence: i64,
    series: Vec<String>,
    sums: String,
    facets: Vec<(&'static str, String)>,
}

impl<'s> Found<'s> {
    fn of(shape: &'s Shape) -> Self {
        let (series, facets) = (Vec::new(), Vec::new());
        Self { shape, id: None, machine: None, sequence: 0, series, sums: "{".to_owned(), facets }
    }

    fn take(&mut self, key: &str, value: &RawValue) {
        let is = |known: &Option<String>| known.as_deref() == Some(key);
        if is(&self.shape.id) {
            self.id = text(value).as_deref().and_then(identity);
        } else if is(&self.shape.machine) {
            self.machine = text(value).as_deref().and_then(identity);
        } else {
            match &self.shape.kind {
                Kind::Interval { sequence, .. } if key == sequence => {
                    self.sequence = serde_json::from_str(value.get()).unwrap_or(0);
                }
                Kind::Interval { series, .. } if series.iter().any(|name| name == key) => {
                    self.series.extend(text(value).map(|text| cut(&text)));
                }
                Kind::Interval { .. } => self.sum(key, value),
                Kind::Start { .. } => self.facet(key, value),
                Kind::Beat | Kind::Other => {}
            }
        }
    }

    /// Keeps a number, or an object of numbers, under its key. Keys are those of contracts and need no escape.
    fn sum(&mut self, key: &str, value: &RawValue) {
        if value
            .get()
            .starts_with(|first: char| first == '{' || first == '-' || first.is_ascii_digit())
        {
            let comma = if self.sums.len() > 1 { "," } else { "" };
            // Writing to a `String` cannot fail.
            let _ = write!(self.sums, "{comma}\"{key}\":{}", value.get());
        }
    }

    fn facet(&mut self, key: &str, value: &RawValue) {
        let Some((_, facet)) = FACETS.iter().find(|(known, _)| *known == key) else { return };
        let value = match value.get() {
            "null" | "\"\"" => return,
            quoted if quoted.starts_with('"') => text(value).map(|text| cut(&text)),
            plain => Some(cut(plain)),
        };
        self.facets.extend(value.map(|value| (*facet, value)));
    }
}

impl<'de> Visitor<'de> for &mut Found<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a flat message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            if matches!(self.shape.kind, Kind::Beat | Kind::Other)
                && self.shape.id.as_deref() != Some(&*key)
                && self.shape.machine.as_deref() != Some(&*key)
            {
                map.next_value::<IgnoredAny>()?;
            } else {
                self.take(&key, map.next_value::<&RawValue>()?);
            }
        }
        Ok(())
    }
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(contract: &str, message: &str, body: &str, time_nanos: i64) -> Heard {
        let shapes = Shapes::new(&[]);
        let place = shapes.find(contract, message).unwrap();
        hear(&shapes, place, body.as_bytes(), 1_000_000_000_000, time_nanos).unwrap()
    }

    #[test]
    fn a_message_is_read_by_its_contract() {
        let uuid = "b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10";
        let beat = heard(
            "vllm/current",
            "heartbeat",
            &format!("{{\"uuid\": \"{uuid}\", \"log_time\": 1}}"),
            999_999_999_000_000_000,
        );
        assert_eq!((beat.id, beat.time), (identity(uuid), 999_999_999_000));
        assert_eq!((beat.tells, beat.skewed), (Tells::Beat, false));
        let l2 = heard(
            "lmcache/1",
            "L2ConnectorUsageMessage",
            r#"{"message_type": "x", "session_id": "", "l2_name": "fs", "bytes_used": -1, "sequence_number": 3,
                "h": {"1": 2}, "deployment_mode": "mp_server"}"#,
            0,
        );
        let sums = r#"{"bytes_used":-1,"h":{"1": 2}}"#.to_owned();
        let tells = Tells::Interval { series: "fs".to_owned(), sequence: 3, sums };
        assert_eq!((l2.id, l2.tells), (None, tells));
        let report = heard(
            "vllm/current",
            "report",
            r#"{"gpu_type": "NVIDIA H100", "gpu_count": 8, "quantization": null, "vllm_version": "1\"2", "x": []}"#,
            0,
        );
        let facets = [("accelerator", "NVIDIA H100"), ("accelerators", "8"), ("version", "1\"2")];
        let facets = facets.map(|(name, value)| (name, value.to_owned())).to_vec();
        assert_eq!(report.tells, Tells::Start { facets, first: false });
    }
}
