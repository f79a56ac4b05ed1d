//! The truth on disk: JSON lines in frames of zstd.

use std::io::{Read as _, Write as _};

use serde_json::value::RawValue;

/// A line of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) contract: &'a str,
    pub(crate) message: &'a str,
    /// Unit: milliseconds since the Unix epoch.
    pub(crate) received: i64,
    /// The engine's time, 0 if it gave none. Unit: nanoseconds since the Unix epoch.
    pub(crate) time_nanos: i64,
    pub(crate) body: &'a str,
}

/// Largest batch after decompression. A batch holds at most a request of the largest size and a group of others.
const LARGEST: u64 = 1 << 30;

/// How a batch was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

impl Line<'_> {
    /// Appends the line with its line feed. The body is one line, because our flattener writes it so.
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        // Writing to a `Vec` cannot fail, and neither can a text as JSON.
        out.push(b'[');
        let _ = serde_json::to_writer(&mut *out, self.contract);
        out.push(b',');
        let _ = serde_json::to_writer(&mut *out, self.message);
        let _ = match self.time_nanos {
            0 => write!(out, ",{},null,", self.received),
            time => write!(out, ",{},{time},", self.received),
        };
        out.extend_from_slice(self.body.as_bytes());
        out.extend_from_slice(b"]\n");
    }
}

/// Reads a line.
pub(crate) fn read(line: &str) -> Result<Line<'_>, Broken> {
    let (contract, message, received, time, body): (&str, &str, i64, Option<i64>, &RawValue) =
        serde_json::from_str(line).map_err(|_| Broken)?;
    let time_nanos = time.unwrap_or(0);
    Ok(Line { contract, message, received, time_nanos, body: body.get() })
}

/// Compresses lines that are new. Speed counts more than size, until the day is closed.
pub(crate) fn compress(lines: &[u8], level: i32) -> std::io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), level)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(lines.len() as u64))?;
    if level > FAST {
        // Large frames hold the same identities many times, far apart.
        encoder.long_distance_matching(true)?;
    }
    encoder.write_all(lines)?;
    encoder.finish()
}

/// The level of new batches.
pub(crate) const FAST: i32 = 3;

/// Returns the lines of a frame.
pub(crate) fn decompress(frame: &[u8]) -> Result<String, Broken> {
    at_most(frame, LARGEST)
}

/// Returns the lines of a frame. One that holds more than `most` bytes is broken.
fn at_most(frame: &[u8], most: u64) -> Result<String, Broken> {
    let decoder = zstd::Decoder::with_buffer(frame).map_err(|_| Broken)?;
    let mut text = String::new();
    // One byte more shows that there is more.
    let read = decoder.take(most.saturating_add(1)).read_to_string(&mut text);
    if read.map_err(|_| Broken)? as u64 > most { Err(Broken) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_gives_its_lines_back_and_a_damaged_one_says_so() {
        let line = Line {
            contract: "a/1",
            message: "say \"x\"",
            received: 5,
            time_nanos: 0,
            body: r#"{"a": "\u00e4", "b": [1, 2]}"#,
        };
        let mut lines = Vec::new();
        for _ in 0..10 {
            line.append(&mut lines);
        }
        let mut frame = compress(&lines, FAST).unwrap();
        let text = decompress(&frame).unwrap();
        assert_eq!(text.as_bytes(), lines);
        // A name with an escape is not borrowed, and none of a contract has one.
        let plain = text.lines().next().unwrap().replace("\\\"x\\\"", "x");
        let read = read(&plain).unwrap();
        assert_eq!(
            (read.message, read.received, read.time_nanos, read.body),
            ("say x", 5, 0, line.body)
        );
        let length = lines.len() as u64;
        assert_eq!(at_most(&frame, length).map(|text| text.len()), Ok(lines.len()));
        assert_eq!(at_most(&frame, length - 1), Err(Broken));
        let middle = frame.len() / 2;
        frame[middle] ^= 4;
        assert_eq!(decompress(&frame), Err(Broken));
    }
}
