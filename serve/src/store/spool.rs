//! The spool of a server that keeps its messages in ClickHouse: what was answered and is not there yet.
//!
//! It is a table of the same file, so its messages are as safe as those of the store. They leave in their order, some
//! thousands at a time, because ClickHouse wants few inserts and large ones.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension as _, params};
use tokio::sync::watch;
use uuid::Uuid;

use super::core::{self, Core, Kept, Trouble};
use super::heard::Tells;
use super::{line, project, time};

/// Messages after which a part is large enough.
const PART: i64 = 10_000;

/// By day of receipt and shape: how many messages, how many with a wrong clock, how many starts without identity.
type Counts = BTreeMap<(i64, usize), [i64; 3]>;

/// The spool of this process.
#[derive(Debug)]
pub(crate) struct Spool {
    /// Bytes after which nothing more is taken.
    most: u64,
    /// What waits: messages, and bytes on disk.
    waits: watch::Sender<(u64, u64)>,
    /// A random name of the file.
    name: String,
}

/// Messages that leave together. A repetition has the same messages under the same name, so that ClickHouse can tell it
/// from new ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) last: i64,
    pub(crate) messages: i64,
    /// Frames of lines.
    pub(crate) lines: Vec<Vec<u8>>,
    /// Frames of the rows of networks.
    pub(crate) origins: Vec<Vec<u8>>,
}

/// A row that ClickHouse refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aside {
    pub(crate) table: String,
    pub(crate) why: String,
    pub(crate) row: String,
}

impl Spool {
    /// Returns what waits, for readers who must not wait for the thread that writes.
    pub(crate) fn waits(&self) -> watch::Receiver<(u64, u64)> {
        self.waits.subscribe()
    }
}

impl Core {
    /// Makes this the file of a server with ClickHouse: messages go to the spool, which holds about `most` bytes.
    pub(crate) fn start_to_spool(&mut self, most: u64) -> rusqlite::Result<()> {
        let connection = self.connection();
        connection.execute_batch(include_str!("spool.sql"))?;
        let sums = "SELECT coalesce(sum(length(lines) + length(origins)), 0), coalesce(sum(messages), 0) FROM spool";
        let (bytes, messages): (i64, i64) =
            connection.query_row(sums, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let insert = "INSERT OR IGNORE INTO meta (key, value) VALUES ('name', ?1)";
        connection.execute(insert, [Uuid::new_v4().to_string()])?;
        let select = "SELECT value FROM meta WHERE key = 'name'";
        let name = connection.query_row(select, [], |row| row.get(0))?;
        let (bytes, messages) = (bytes.unsigned_abs(), messages.unsigned_abs());
        self.spool = Some(Spool { most, waits: watch::Sender::new((messages, bytes)), name });
        Ok(())
    }

    /// Appends messages to the spool, safely, and counts them.
    pub(crate) fn append_to_spool(&mut self, messages: Vec<Kept>) -> Result<(), Trouble> {
        let Some(Spool { most, waits, .. }) = &self.spool else { return Ok(()) };
        let (most, (_, bytes)) = (*most, *waits.borrow());
        if bytes >= most {
            let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
            let why = format!(
                "the spool holds {bytes} bytes, because ClickHouse does not take them: mend ClickHouse, or raise --spool-bytes"
            );
            return Err(Trouble::Passing(rusqlite::Error::SqliteFailure(full, Some(why))));
        }
        let (mut lines, mut origins, mut count) = (Vec::new(), BTreeSet::new(), 0_i64);
        let mut counts = Counts::new();
        for Kept { line, heard } in messages {
            if self.is_forgotten(&heard) {
                continue;
            }
            lines.extend_from_slice(&line);
            count = count.saturating_add(1);
            if let (Some(id), Some(origin)) = (heard.id, heard.origin) {
                let (day, id) = (time::day(heard.time), Uuid::from_bytes(id));
                origins.insert(format!(
                    "{{\"day\":{day},\"session\":\"{id}\",\"key\":{},\"origin\":{}}}\n",
                    origin.key, origin.bits
                ));
            }
            let start =
                heard.id.is_none() && matches!(heard.tells, Tells::Start { first: true, .. });
            let of = counts.entry((time::day(heard.received), heard.shape)).or_default();
            for (count, more) in of.iter_mut().zip([true, heard.skewed, start]) {
                *count = count.saturating_add(i64::from(more));
            }
        }
        if count == 0 {
            return Ok(());
        }
        let origins = origins.into_iter().collect::<String>();
        self.insert_into_spool(count, &lines, origins.as_bytes(), counts).map_err(core::trouble)
    }

    fn insert_into_spool(
        &mut self,
        messages: i64,
        lines: &[u8],
        origins: &[u8],
        counts: Counts,
    ) -> rusqlite::Result<()> {
        let compress = |lines| {
            line::compress(lines, line::FAST)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
        };
        let (lines, origins) = (compress(lines)?, compress(origins)?);
        let more = lines.len().saturating_add(origins.len()) as u64;
        let shapes = std::sync::Arc::clone(&self.shapes);
        let transaction = self.connection().transaction()?;
        transaction
            .prepare_cached("INSERT INTO spool (messages, lines, origins) VALUES (?1, ?2, ?3)")?
            .execute((messages, lines, origins))?;
        for ((day, place), [received, skewed, starts]) in counts {
            let Some(shape) = shapes.get(place) else { continue };
            let both = format!("{} {}", shape.contract, shape.message);
            project::add(&transaction, day, "received", &both, received)?;
            project::add(&transaction, day, "skewed", &shape.contract, skewed)?;
            project::add(&transaction, day, "start", &shape.contract, starts)?;
        }
        // This syncs.
        transaction.commit()?;
        if let Some(spool) = &self.spool {
            spool.waits.send_modify(|(waiting, bytes)| {
                *waiting = waiting.saturating_add(messages.unsigned_abs());
                *bytes = bytes.saturating_add(more);
            });
        }
        Ok(())
    }

    /// Returns the messages that leave next, those of an unfinished attempt first.
    pub(crate) fn next_part(&mut self) -> rusqlite::Result<Option<Part>> {
        let Some(name) = self.spool.as_ref().map(|spool| spool.name.clone()) else {
            return Ok(None);
        };
        let transaction = self.connection().transaction()?;
        let last: Option<i64> = transaction
            .query_row("SELECT value FROM meta WHERE key = 'part'", [], |row| row.get(0))
            .optional()?;
        let mut part = Part { name, last: 0, messages: 0, lines: Vec::new(), origins: Vec::new() };
        {
            let mut all = transaction
                .prepare_cached("SELECT id, messages, lines, origins FROM spool ORDER BY id")?;
            let mut rows = all.query([])?;
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                let is_old = last.is_some_and(|last| id <= last);
                let had_old = last.is_some_and(|last| part.last > 0 && part.last <= last);
                if !is_old && (had_old || part.messages >= PART) {
                    break;
                }
                part.last = id;
                part.messages = part.messages.saturating_add(row.get(1)?);
                part.lines.push(row.get(2)?);
                part.origins.push(row.get(3)?);
            }
        }
        if part.last == 0 {
            return Ok(None);
        }
        if last.is_none_or(|last| last < part.last) {
            let set = "INSERT OR REPLACE INTO meta (key, value) VALUES ('part', ?1)";
            transaction.prepare_cached(set)?.execute([part.last])?;
        }
        transaction.commit()?;
        part.name = format!("{}-{}", part.name, part.last);
        Ok(Some(part))
    }

    /// Removes messages that ClickHouse has, and keeps the rows that it refused.
    pub(crate) fn end_part(
        &mut self,
        part: &Part,
        aside: &[Aside],
        now: i64,
    ) -> rusqlite::Result<()> {
        let transaction = self.connection().transaction()?;
        for Aside { table, why, row } in aside {
            let insert = "INSERT INTO aside (day, name, why, row) VALUES (?1, ?2, ?3, ?4)";
            transaction.prepare_cached(insert)?.execute(params![
                time::day(now),
                table,
                why,
                row
            ])?;
        }
        let refused = i64::try_from(aside.len()).unwrap_or(i64::MAX);
        project::add(&transaction, time::day(now), "refused", "clickhouse", refused)?;
        transaction.prepare_cached("DELETE FROM spool WHERE id <= ?1")?.execute([part.last])?;
        transaction.commit()?;
        if let Some(spool) = &self.spool {
            let gone = part.lines.iter().chain(&part.origins).map(|frame| frame.len() as u64);
            spool.waits.send_modify(|(waiting, bytes)| {
                *waiting = waiting.saturating_sub(part.messages.unsigned_abs());
                *bytes = bytes.saturating_sub(gone.sum());
            });
        }
        Ok(())
    }
}
