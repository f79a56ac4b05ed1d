//! Deletes what is known of an identity, and keeps it from coming back.
//!
//! The identity is random and known to its operator only, so knowing it is the right to delete it. Only its
//! SHA-256, the tombstone, and counts in which it took part remain.

use std::collections::HashSet;
use std::time::Duration;

use super::core::{Core, hash};
use super::heard::hear;
use super::identity::{identity, text};
use super::line;
use super::shape::Shapes;

/// The number of deleted rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// Sessions.
    pub sessions: usize,
    /// Messages in batches.
    pub messages: usize,
}

/// The reason why a deletion is not complete yet.
pub(super) const LOG_HOLDS_IT: &str = "it is deleted, but the log beside the file still holds it, because a page or a backup reads the file";

/// How long the connection that writes waits for others, as SQLite's crate sets it.
const BUSY: Duration = Duration::from_secs(5);

/// Batches that are looked through between two looks at new messages.
const PIECE: i64 = 64;

/// A deletion that goes on, a piece at a time, so that new messages are not held up.
#[derive(Debug)]
pub struct Forget {
    ids: HashSet<[u8; 16]>,
    done: Forgotten,
    after: i64,
}

impl Core {
    /// Deletes what is known of `text`: vLLM's `uuid`, LMCache's `session_id` or `machine_id`.
    ///
    /// # Errors
    ///
    /// The text is no UUID, or the file cannot be written.
    pub fn forget(&mut self, text: &str) -> anyhow::Result<Forgotten> {
        let mut forget = self.start_to_forget(text)?;
        let done = loop {
            if let Some(done) = self.go_on(&mut forget)? {
                break done;
            }
        };
        // Nobody sends messages to this process, so it may wait for a reader.
        anyhow::ensure!(self.empty_log(BUSY)?, "{LOG_HOLDS_IT}: delete it once more");
        Ok(done)
    }

    /// Writes the log into the file and cuts it, if no reader needs it for longer than `patience`. Returns whether it was
    /// cut. Pages with deleted content stay in the log until then.
    pub(crate) fn empty_log(&mut self, patience: Duration) -> rusqlite::Result<bool> {
        let connection = self.connection();
        connection.busy_timeout(patience)?;
        let busy: rusqlite::Result<i64> =
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        connection.busy_timeout(BUSY)?;
        Ok(busy? == 0)
    }

    /// Writes the tombstone and deletes the rows. The batches follow by [`Self::go_on`].
    pub(crate) fn start_to_forget(&mut self, text: &str) -> anyhow::Result<Forget> {
        let Some(id) = identity(text) else {
            anyhow::bail!(
                "{text}: not an identity: write a UUID, vLLM's `uuid` or LMCache's `session_id` or `machine_id`"
            );
        };
        let transaction = self.connection().transaction()?;
        let mut sessions: Vec<(i64, [u8; 16])> = Vec::new();
        {
            let mut found = transaction
                .prepare("SELECT id, uuid FROM session WHERE uuid = ?1 OR machine = ?1")?;
            let mut rows = found.query([id])?;
            while let Some(row) = rows.next()? {
                sessions.push((row.get(0)?, row.get(1)?));
            }
        }
        let mut ids = HashSet::from([id]);
        for (session, uuid) in &sessions {
            for table in ["facet", "presence", "origin", "interval", "weight"] {
                transaction
                    .execute(&format!("DELETE FROM {table} WHERE session = ?1"), [session])?;
            }
            transaction.execute("DELETE FROM session WHERE id = ?1", [session])?;
            ids.insert(*uuid);
        }
        for id in &ids {
            transaction
                .execute("INSERT OR IGNORE INTO tombstone (hash) VALUES (?1)", [hash(id)])?;
        }
        transaction.commit()?;
        // First, because the sessions are gone also if the state cannot be read.
        self.known = super::known::Known::new();
        self.read_state()?;
        let done = Forgotten { sessions: sessions.len(), messages: 0 };
        Ok(Forget { ids, done, after: 0 })
    }

    /// Removes the messages from some more batches. Returns the result after the last batch. The log may still hold them.
    pub(crate) fn go_on(&mut self, forget: &mut Forget) -> anyhow::Result<Option<Forgotten>> {
        let shapes = std::sync::Arc::clone(&self.shapes);
        let mut batches: Vec<(i64, Vec<u8>)> = Vec::new();
        {
            let select = "SELECT id, lines FROM batch WHERE id > ?1 ORDER BY id LIMIT ?2";
            let mut found = self.connection().prepare_cached(select)?;
            let mut rows = found.query([forget.after, PIECE])?;
            while let Some(row) = rows.next()? {
                batches.push((row.get(0)?, row.get(1)?));
            }
        }
        let Some((last, _)) = batches.last() else {
            return Ok(Some(forget.done));
        };
        forget.after = *last;
        for (id, frame) in batches {
            let Ok(text) = line::decompress(&frame) else { continue };
            let (mut rest, mut kept, mut gone) = (Vec::with_capacity(text.len()), 0_usize, 0_usize);
            for line in text.lines() {
                if is_of(&shapes, &forget.ids, line) {
                    gone = gone.saturating_add(1);
                } else {
                    kept = kept.saturating_add(1);
                    rest.extend_from_slice(line.as_bytes());
                    rest.push(b'\n');
                }
            }
            if gone == 0 {
                continue;
            }
            forget.done.messages = forget.done.messages.saturating_add(gone);
            let frame = line::compress(&rest, line::FAST)?;
            let update = "UPDATE batch SET messages = ?2, lines = ?3 WHERE id = ?1";
            let kept = i64::try_from(kept).unwrap_or(i64::MAX);
            self.connection().prepare_cached(update)?.execute((id, kept, frame))?;
        }
        Ok(None)
    }
}

/// Returns whether a line is of one of these identities. One of a contract that is not known here is, if it has the text
/// of one.
fn is_of(shapes: &Shapes, ids: &HashSet<[u8; 16]>, text_of_line: &str) -> bool {
    let heard = line::read(text_of_line).ok().and_then(|line| {
        let place = shapes.find(line.contract, line.message)?;
        hear(shapes, place, line.body.as_bytes(), line.received, line.time_nanos)
    });
    match heard {
        Some(heard) => [heard.id, heard.machine].iter().flatten().any(|id| ids.contains(id)),
        None => ids.iter().any(|id| text_of_line.contains(&text(*id))),
    }
}
