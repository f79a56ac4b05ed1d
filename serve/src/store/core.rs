//! The connection that writes: it appends batches, and keeps the projection behind them.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use otel_usage_schema::Contract;
use rusqlite::{Connection, ErrorCode};
use sha2::{Digest as _, Sha256};

use super::file::{self, Held};
use super::heard::{self, Heard};
use super::known::Known;
use super::line;
use super::project;
use super::shape::Shapes;
use super::spool::Spool;
use super::time;

/// A message with the line that keeps it.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) line: Vec<u8>,
    pub(crate) heard: Heard,
}

/// The file, and what this process knows of it.
#[derive(Debug)]
pub struct Core {
    pub(crate) path: PathBuf,
    held: Held,
    pub(crate) shapes: Arc<Shapes>,
    pub(crate) known: Known,
    /// Messages that are in batches and not in the projection yet.
    pending: Vec<Heard>,
    /// The last batch.
    last: i64,
    /// Whether the projection has to be read from the batches, because it could not be written from memory.
    behind: bool,
    /// SHA-256 of identifiers that must not come back.
    forgotten: HashSet<[u8; 32]>,
    /// Where messages wait for ClickHouse, if that keeps them.
    pub(crate) spool: Option<Spool>,
}

/// Why nothing can be written.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It may pass: the disk is full, or a file may not grow.
    Passing(rusqlite::Error),
    /// The content of the disk is unknown, so nothing may be promised any more.
    Fatal(rusqlite::Error),
}

impl Core {
    /// Opens or makes the store at `path`, and brings the projection up to the last batch.
    ///
    /// # Errors
    ///
    /// Names the file and the remedy: another process has it, it is no store, it is damaged, it cannot be written.
    pub fn open(path: &Path, contracts: &[Contract], now: i64) -> anyhow::Result<Self> {
        let held = file::open(path)?;
        let shapes = Arc::new(Shapes::new(contracts));
        let known = Known::new();
        let mut core = Self {
            path: path.to_owned(),
            held,
            shapes,
            known,
            pending: Vec::new(),
            last: 0,
            behind: true,
            forgotten: HashSet::new(),
            spool: None,
        };
        core.read_state().map_err(|error| file::unreadable(path, error))?;
        core.project(now).map_err(|error| file::unreadable(path, error))?;
        Ok(core)
    }

    /// Returns the connection, for questions and operations on the thread that writes.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.held.connection
    }

    /// Returns the connection to read from beside other parts of this.
    pub(super) fn held(&self) -> &Connection {
        &self.held.connection
    }

    /// Returns the tombstones.
    pub(super) fn forgotten(&self) -> &HashSet<[u8; 32]> {
        &self.forgotten
    }

    pub(crate) fn read_state(&mut self) -> rusqlite::Result<()> {
        let connection = &self.held.connection;
        self.last =
            connection.query_row("SELECT coalesce(max(id), 0) FROM batch", [], |row| row.get(0))?;
        let mut all = connection.prepare("SELECT hash FROM tombstone")?;
        self.forgotten = all.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Returns a number of the store that no earlier call has returned.
    pub(crate) fn next_key(&mut self) -> rusqlite::Result<i64> {
        let next = "INSERT INTO meta (key, value) VALUES ('origin_key', 1) \
            ON CONFLICT DO UPDATE SET value = value + 1000 RETURNING value";
        self.held.connection.query_row(next, [], |row| row.get(0))
    }

    /// Returns whether an identity was deleted.
    pub(crate) fn is_forgotten(&self, heard: &Heard) -> bool {
        !self.forgotten.is_empty()
            && [heard.id, heard.machine]
                .iter()
                .flatten()
                .any(|id| self.forgotten.contains(&hash(id)))
    }

    /// Appends messages as one batch, safely. Those of deleted identities are left out.
    ///
    /// Messages of two days are two batches, because a day is kept or deleted as a whole.
    pub(crate) fn append(&mut self, messages: Vec<Kept>) -> Result<(), Trouble> {
        if self.spool.is_some() {
            return self.append_to_spool(messages);
        }
        let (mut days, mut heard) = (BTreeMap::<i64, (Vec<u8>, i64)>::new(), Vec::new());
        for kept in messages {
            if !self.is_forgotten(&kept.heard) {
                let (lines, count) = days.entry(time::day(kept.heard.received)).or_default();
                lines.extend_from_slice(&kept.line);
                *count = count.saturating_add(1);
                heard.push(kept.heard);
            }
        }
        if !days.is_empty() {
            self.insert(days).map_err(trouble)?;
        }
        self.pending.append(&mut heard);
        Ok(())
    }

    fn insert(&mut self, days: BTreeMap<i64, (Vec<u8>, i64)>) -> rusqlite::Result<()> {
        let transaction = self.held.connection.transaction()?;
        for (day, (lines, count)) in days {
            let frame = line::compress(&lines, line::FAST)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
            let insert = "INSERT INTO batch (day, messages, lines) VALUES (?1, ?2, ?3)";
            transaction.prepare_cached(insert)?.execute((day, count, frame))?;
        }
        let last = transaction.last_insert_rowid();
        // This syncs.
        transaction.commit()?;
        self.last = last;
        Ok(())
    }

    /// Makes the projection follow the batches again, after they or its rows have changed.
    pub(crate) fn start_over(&mut self) {
        (self.known, self.behind) = (Known::new(), true);
    }

    /// Returns the number of messages that are not in the projection yet.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Brings the projection up to the last batch.
    ///
    /// It is not synced, because it can be made again; the next batch syncs it too.
    pub(crate) fn project(&mut self, now: i64) -> rusqlite::Result<()> {
        if self.behind {
            self.pending = Vec::new();
            self.catch_up(now)?;
            self.end_rebuild()?;
            self.behind = false;
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let last = self.last;
        self.write(&pending, last, now)
    }

    /// Projects messages up to the batch `last`, in one transaction.
    pub(crate) fn write(&mut self, heard: &[Heard], last: i64, now: i64) -> rusqlite::Result<()> {
        let Self { held, shapes, known, .. } = self;
        let connection = &mut held.connection;
        let relaxed = connection.pragma_update(None, "synchronous", "NORMAL");
        let written = relaxed.and_then(|()| connection.transaction()).and_then(|transaction| {
            project::project(&transaction, shapes, known, heard, now)?;
            let set = "INSERT OR REPLACE INTO meta (key, value) VALUES ('projected', ?1)";
            transaction.prepare_cached(set)?.execute([last])?;
            transaction.commit()
        });
        let restored = connection.pragma_update(None, "synchronous", "FULL");
        let done = written.and(restored);
        // The file does not have the rows that a failed transaction added to the memory.
        if done.is_err() {
            self.start_over();
        }
        done
    }
}

/// The content of a batch.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) heard: Vec<Heard>,
    /// Lines that cannot be read; 1 if the whole frame cannot.
    pub(crate) broken: usize,
    /// Messages by their contract, where no contract that is known here has them.
    pub(crate) strange: BTreeMap<String, u64>,
}

/// Reads a batch.
pub(crate) fn read_batch(shapes: &Shapes, frame: &[u8]) -> Contents {
    let mut contents = Contents::default();
    let Ok(text) = line::decompress(frame) else {
        contents.broken = 1;
        return contents;
    };
    for text in text.lines() {
        let Ok(line) = line::read(text) else {
            contents.broken = contents.broken.saturating_add(1);
            continue;
        };
        let Some(place) = shapes.find(line.contract, line.message) else {
            let count = contents.strange.entry(line.contract.to_owned()).or_default();
            *count = count.saturating_add(1);
            continue;
        };
        let (received, time) = (line.received, line.time_nanos);
        match heard::hear(shapes, place, line.body.as_bytes(), received, time) {
            Some(one) => contents.heard.push(one),
            None => contents.broken = contents.broken.saturating_add(1),
        }
    }
    contents
}

/// Returns the tombstone of an identity.
pub(crate) fn hash(id: &[u8; 16]) -> [u8; 32] {
    Sha256::digest(id).into()
}

/// Tells errors that pass from those after which nothing may be promised.
pub(crate) fn trouble(error: rusqlite::Error) -> Trouble {
    use rusqlite::ffi;
    let Some(code) = error.sqlite_error() else { return Trouble::Passing(error) };
    let fatal = matches!(
        code.extended_code,
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC | ffi::SQLITE_IOERR_TRUNCATE
    ) || matches!(code.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase);
    if fatal { Trouble::Fatal(error) } else { Trouble::Passing(error) }
}
