//! Packs the batches of a closed day into a few large frames, sorted, so that the messages of one session lie together
//! and its identity costs a few bits.

use std::path::Path;

use super::core::Core;
use super::{file, line, time};

/// Lines of one frame. Unit: bytes.
const FRAME: usize = 16 << 20;

/// The level of packed frames: a day takes minutes at a higher one, for a few percent.
const LEVEL: i32 = 9;

/// A frame that takes the place of some batches.
#[derive(Debug)]
pub struct Packed {
    day: i64,
    /// The first and last batch, and what they held, to see whether they have changed since.
    ids: (i64, i64),
    messages: i64,
    bytes: i64,
    frame: Vec<u8>,
}

/// Packs some batches of the oldest closed day of which some are not packed yet. Reads the file only. Returns `None`
/// if there is nothing to pack.
///
/// # Errors
///
/// The file cannot be read.
pub fn pack(path: &Path, now: i64) -> anyhow::Result<Option<Packed>> {
    let connection = file::read_only(path)?;
    let open = time::first_open(now);
    let day: Option<i64> = connection.query_row(
        "SELECT min(day) FROM (SELECT day FROM batch WHERE day < ?1 AND packed = 0 GROUP BY day)",
        [open],
        |row| row.get(0),
    )?;
    let Some(day) = day else { return Ok(None) };
    let select = "SELECT id, messages, lines FROM batch WHERE day = ?1 AND packed = 0 ORDER BY id";
    let mut found = connection.prepare(select)?;
    let mut rows = found.query([day])?;
    let (mut lines, mut size): (Vec<String>, usize) = (Vec::new(), 0);
    let (mut first, mut last, mut messages, mut bytes) = (0_i64, 0_i64, 0_i64, 0_i64);
    while let Some(row) = rows.next()? {
        let (id, count): (i64, i64) = (row.get(0)?, row.get(1)?);
        let frame = row.get_ref(2)?.as_blob().unwrap_or_default();
        let Ok(text) = line::decompress(frame) else {
            // A damaged batch stays as it is, for `serve check`, and is marked as packed by the number -1 of messages.
            if first == 0 {
                return Ok(Some(Packed {
                    day,
                    ids: (id, id),
                    messages: -1,
                    bytes: 0,
                    frame: Vec::new(),
                }));
            }
            break;
        };
        first = if first == 0 { id } else { first };
        last = id;
        messages = messages.saturating_add(count);
        bytes = bytes.saturating_add(i64::try_from(frame.len()).unwrap_or(0));
        size = size.saturating_add(text.len());
        lines.extend(text.lines().map(str::to_owned));
        if size > FRAME {
            break;
        }
    }
    // The body begins with what names the session, or with constants before it.
    lines.sort_unstable_by(|one, other| key(one).cmp(&key(other)));
    let mut text = Vec::with_capacity(size);
    for line in &lines {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    let frame = line::compress(&text, LEVEL)?;
    Ok(Some(Packed { day, ids: (first, last), messages, bytes, frame }))
}

/// Returns the body of a line, then the line.
fn key(line: &str) -> (&str, &str) {
    (line.split_once('{').map_or("", |(_, body)| body), line)
}

impl Core {
    /// Puts a packed frame in the place of its batches, unless they have changed meanwhile.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn replace(&mut self, packed: Packed) -> rusqlite::Result<()> {
        let Packed { day, ids: (first, last), messages, bytes, frame } = packed;
        let transaction = self.connection().transaction()?;
        let these = "day = ?1 AND packed = 0 AND id BETWEEN ?2 AND ?3";
        if messages < 0 {
            transaction.execute(
                &format!("UPDATE batch SET packed = 1 WHERE {these}"),
                (day, first, last),
            )?;
            return transaction.commit();
        }
        let now: (i64, i64) = transaction.query_row(
            &format!(
                "SELECT coalesce(sum(messages), 0), coalesce(sum(length(lines)), 0) FROM batch WHERE {these}"
            ),
            (day, first, last),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if now == (messages, bytes) {
            transaction.execute(&format!("DELETE FROM batch WHERE {these}"), (day, first, last))?;
            let insert =
                "INSERT INTO batch (id, day, messages, packed, lines) VALUES (?1, ?2, ?3, 1, ?4)";
            transaction.execute(insert, (last, day, messages, frame))?;
        }
        transaction.commit()
    }
}
