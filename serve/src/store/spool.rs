//! The spool of a server that keeps its messages in ClickHouse: what was answered and is not there yet.
//!
//! It is a table of the same file, so its messages are as safe as those of the store. They leave in their order, some
//! thousands at a time, because ClickHouse wants few inserts and large ones.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::OptionalExtension as _;
use serde_json::json;
use tokio::sync::watch;
use uuid::Uuid;

use super::aside::{self, Aside};
use super::core::{self, Core, Kept, Trouble};
use super::heard::{Heard, Tells};
use super::shape::Shapes;
use super::waits::Waits;
use super::{line, project, time};

/// The tables that a server with ClickHouse adds. The file explains each.
pub(crate) const TABLES: &str = include_str!("spool.sql");

/// Messages after which a part is large enough.
const PART: i64 = 10_000;

/// By day of receipt and shape: how many messages, how many with a wrong clock, how many starts without identity.
type Counts = BTreeMap<(i64, usize), [i64; 3]>;

/// The spool of this process.
#[derive(Debug)]
pub(crate) struct Spool {
    /// Bytes after which nothing more is taken.
    most: u64,
    waits: watch::Sender<Waits>,
    /// A random name of the file.
    pub(super) name: String,
}

/// Messages that leave together. A repetition has the same messages under the same name, so that ClickHouse can tell it
/// from new ones. Other messages may have the same name after a backup was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) last: i64,
    pub(crate) messages: i64,
    /// Frames of lines.
    pub(crate) lines: Vec<Vec<u8>>,
    /// Frames of the rows of networks: the table, a space and the JSON of each.
    pub(crate) networks: Vec<Vec<u8>>,
}

impl Spool {
    /// Returns what waits, for readers who must not wait for the thread that writes.
    pub(crate) fn waits(&self) -> watch::Receiver<Waits> {
        self.waits.subscribe()
    }

    /// Changes what readers are told.
    pub(super) fn tell(&self, change: impl FnOnce(&mut Waits)) {
        self.waits.send_modify(change);
    }
}

/// The networks of sessions, once for each session and day.
#[derive(Default)]
struct Networks {
    sessions: BTreeSet<(i64, [u8; 16], i64, u32)>,
    /// Starts without identity, by day of receipt, shape and network.
    starts: BTreeMap<(i64, usize, i64, u32), u64>,
}

impl Networks {
    fn add(&mut self, heard: &Heard, start: bool) {
        let Some(origin) = heard.origin else { return };
        if let Some(id) = heard.id {
            self.sessions.insert((time::day(heard.time), id, origin.key, origin.bits));
        } else if start {
            let at = (time::day(heard.received), heard.shape, origin.key, origin.bits);
            let count = self.starts.entry(at).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Returns the rows: the table, a space and the JSON of each.
    fn rows(self, shapes: &Shapes) -> String {
        let mut rows = String::new();
        for (day, id, key, origin) in self.sessions {
            let session = Uuid::from_bytes(id).hyphenated().to_string();
            let row = json!({"day": day, "session": session, "key": key, "origin": origin});
            rows.push_str(&format!("usage_origin {row}\n"));
        }
        for ((day, place, key, origin), count) in self.starts {
            let Some(shape) = shapes.get(place) else { continue };
            let row = json!({
                "day": day, "engine": shape.engine, "contract": shape.contract, "key": key, "origin": origin,
                "count": count,
            });
            rows.push_str(&format!("usage_start {row}\n"));
        }
        rows
    }
}

fn is_start_without_identity(heard: &Heard) -> bool {
    heard.id.is_none() && matches!(heard.tells, Tells::Start { first: true, .. })
}

impl Core {
    /// Makes this the file of a server with ClickHouse: messages go to the spool, which holds about `most` bytes.
    /// Returns the name of the file.
    pub(crate) fn start_to_spool(&mut self, most: u64) -> rusqlite::Result<String> {
        let connection = self.connection();
        connection.execute_batch(TABLES)?;
        let sums = "SELECT coalesce(sum(length(lines) + length(networks)), 0), coalesce(sum(messages), 0) FROM spool";
        let (bytes, messages): (i64, i64) =
            connection.query_row(sums, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let insert = "INSERT OR IGNORE INTO meta (key, value) VALUES ('name', ?1)";
        connection.execute(insert, [Uuid::new_v4().to_string()])?;
        let select = "SELECT value FROM meta WHERE key = 'name'";
        let name: String = connection.query_row(select, [], |row| row.get(0))?;
        let (bytes, messages) = (bytes.unsigned_abs(), messages.unsigned_abs());
        let waits = watch::Sender::new(Waits { messages, bytes, ..Waits::default() });
        self.spool = Some(Spool { most, waits, name: name.clone() });
        self.tell_aside()?;
        Ok(name)
    }

    /// Appends messages to the spool, safely, and counts them.
    pub(crate) fn append_to_spool(&mut self, messages: Vec<Kept>) -> Result<(), Trouble> {
        let Some(Spool { most, waits, .. }) = &self.spool else { return Ok(()) };
        let (most, bytes) = (*most, waits.borrow().bytes);
        if bytes >= most {
            let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
            let why = format!(
                "the spool holds {bytes} bytes, because ClickHouse does not take them: mend ClickHouse, or raise --spool-bytes"
            );
            return Err(Trouble::Passing(rusqlite::Error::SqliteFailure(full, Some(why))));
        }
        let (mut lines, mut networks, mut count) = (Vec::new(), Networks::default(), 0_i64);
        let mut counts = Counts::new();
        for Kept { line, heard } in messages {
            if self.is_forgotten(&heard) {
                continue;
            }
            lines.extend_from_slice(&line);
            count = count.saturating_add(1);
            let start = is_start_without_identity(&heard);
            let of = counts.entry((time::day(heard.received), heard.shape)).or_default();
            for (count, more) in of.iter_mut().zip([true, heard.skewed, start]) {
                *count = count.saturating_add(i64::from(more));
            }
            networks.add(&heard, start);
        }
        if count == 0 {
            return Ok(());
        }
        let networks = networks.rows(&self.shapes);
        self.insert_into_spool(count, &lines, networks.as_bytes(), counts).map_err(core::trouble)
    }

    fn insert_into_spool(
        &mut self,
        messages: i64,
        lines: &[u8],
        networks: &[u8],
        counts: Counts,
    ) -> rusqlite::Result<()> {
        let compress = |lines| {
            line::compress(lines, line::FAST)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
        };
        let (lines, networks) = (compress(lines)?, compress(networks)?);
        let more = lines.len().saturating_add(networks.len()) as u64;
        let shapes = std::sync::Arc::clone(&self.shapes);
        let transaction = self.connection().transaction()?;
        transaction
            .prepare_cached("INSERT INTO spool (messages, lines, networks) VALUES (?1, ?2, ?3)")?
            .execute((messages, lines, networks))?;
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
            spool.tell(|waits| {
                waits.messages = waits.messages.saturating_add(messages.unsigned_abs());
                waits.bytes = waits.bytes.saturating_add(more);
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
        let mut part = Part { name, last: 0, messages: 0, lines: Vec::new(), networks: Vec::new() };
        {
            let mut all = transaction
                .prepare_cached("SELECT id, messages, lines, networks FROM spool ORDER BY id")?;
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
                part.networks.push(row.get(3)?);
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

    /// Removes messages that ClickHouse has, and keeps the rows that it refused. Returns how many of these there was no
    /// room for.
    pub(crate) fn end_part(
        &mut self,
        part: &Part,
        aside: &[Aside],
        now: i64,
    ) -> rusqlite::Result<i64> {
        let is_kept = |one: &&Aside| !aside::is_forgotten(self.forgotten(), &one.row);
        let aside: Vec<Aside> = aside.iter().filter(is_kept).cloned().collect();
        let transaction = self.connection().transaction()?;
        let lost = aside::put(&transaction, &aside, now)?;
        let refused = i64::try_from(aside.len()).unwrap_or(i64::MAX);
        project::add(&transaction, time::day(now), "refused", "clickhouse", refused)?;
        transaction.prepare_cached("DELETE FROM spool WHERE id <= ?1")?.execute([part.last])?;
        transaction.commit()?;
        if let Some(spool) = &self.spool {
            let gone = part.lines.iter().chain(&part.networks).map(|frame| frame.len() as u64);
            spool.tell(|waits| {
                waits.messages = waits.messages.saturating_sub(part.messages.unsigned_abs());
                waits.bytes = waits.bytes.saturating_sub(gone.sum());
            });
        }
        if !aside.is_empty() {
            self.tell_aside()?;
        }
        Ok(lost)
    }

    /// Returns the number of the last messages that wait, 0 if none do.
    pub(crate) fn last_in_spool(&mut self) -> rusqlite::Result<i64> {
        let last = "SELECT coalesce(max(id), 0) FROM spool";
        self.connection().query_row(last, [], |row| row.get(0))
    }

    /// Returns whether messages up to `last` wait.
    pub(crate) fn waits_until(&mut self, last: i64) -> rusqlite::Result<bool> {
        let any = "SELECT EXISTS (SELECT 1 FROM spool WHERE id <= ?1)";
        self.connection().query_row(any, [last], |row| row.get(0))
    }
}
