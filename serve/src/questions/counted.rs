//! A counted day, and how it is written: in short transactions, the numbers in one of them.

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::changes::{Changes, Revised};
use super::cube::CubeRow;
use super::{known, revise};

/// The last closed day, in the table of the store's own numbers.
pub(crate) const CLOSED: &str = "closed";
/// The closed day whose origins are being erased, there too.
pub(crate) const ERASING: &str = "erasing";
/// Rows that one transaction writes or erases.
const PIECE: usize = 5_000;

/// The result of a close.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "two numbers")]
pub struct Closed {
    /// Days that were closed.
    pub days: usize,
    /// Closed days whose published numbers were changed.
    pub revisions: usize,
}

/// The last closed day, and the number of the last revision.
pub(crate) type Seen = (Option<i64>, i64);

/// The counts of one day that are not written yet.
#[derive(Debug)]
pub struct Counted {
    day: i64,
    /// The closed days of the file when the count began; if they have changed, the count is of no use.
    seen: Seen,
    kind: Kind,
    /// The weights of the starts of the day, by session, where they are less than one.
    pub(crate) weights: Vec<(i64, f64)>,
    /// Numbered changes of a closed day.
    pub(crate) revisions: Vec<revise::Revision>,
    pub(crate) rows: Vec<CubeRow>,
    /// The sessions whose origins are erased. `None`: all that are left.
    pub(crate) sessions: Option<Vec<i64>>,
    written: bool,
    now: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Close,
    Revise,
    Erase,
}

/// How far a count is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a caller handles each")]
pub enum Progress {
    /// There is more to write.
    More,
    /// All is written.
    Done(Closed),
    /// Another close came first, so it has to be counted again.
    Stale,
}

/// Returns the last closed day, and the number of the last revision.
pub(crate) fn seen(connection: &Connection) -> anyhow::Result<Seen> {
    let last = "SELECT coalesce(max(number), 0) FROM revision";
    Ok((number(connection, CLOSED)?, connection.query_row(last, [], |row| row.get(0))?))
}

/// Returns the last closed day.
pub(crate) fn closed(connection: &Connection) -> anyhow::Result<Option<i64>> {
    number(connection, CLOSED)
}

pub(crate) fn number(connection: &Connection, key: &str) -> anyhow::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

impl Counted {
    pub(crate) fn new(kind: Kind, day: i64, seen: Seen, now: i64) -> Self {
        let (weights, rows, revisions, sessions) = (Vec::new(), Vec::new(), Vec::new(), None);
        Self { day, seen, kind, weights, revisions, rows, sessions, written: false, now }
    }

    /// Writes some more of it, in one short transaction of the connection that writes.
    ///
    /// # Errors
    ///
    /// If the database cannot be written.
    pub fn write(&mut self, connection: &Connection) -> anyhow::Result<Progress> {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        if !self.written && seen(&transaction)? != self.seen {
            return Ok(Progress::Stale);
        }
        let more = if !self.weights.is_empty() {
            self.keep_weights(&transaction)?;
            true
        } else if !self.written {
            self.keep_rows(&transaction)?;
            self.written = true;
            true
        } else {
            self.erase(&transaction)?
        };
        transaction.commit()?;
        if more {
            return Ok(Progress::More);
        }
        Ok(Progress::Done(Closed {
            days: usize::from(self.kind == Kind::Close),
            revisions: usize::from(self.revisions.iter().any(|one| !one.rows.is_empty())),
        }))
    }

    fn keep_weights(&mut self, connection: &Connection) -> anyhow::Result<()> {
        let insert = "INSERT OR REPLACE INTO weight (session, day, weight) VALUES (?1, ?2, ?3)";
        let mut insert = connection.prepare_cached(insert)?;
        for (session, weight) in self.weights.drain(..self.weights.len().min(PIECE)) {
            insert.execute(params![session, self.day, weight])?;
        }
        Ok(())
    }

    /// Returns what is changed. `None` if nothing is.
    pub(crate) fn changes(&self) -> Option<Changes> {
        let mut changes = Changes {
            closed: if self.kind == Kind::Close { self.day } else { self.seen.0? },
            number: self.seen.1,
            revised: Vec::new(),
            rows: self.rows.iter().map(|row| (0, row.clone())).collect(),
        };
        for revision in self.revisions.iter().filter(|one| !one.rows.is_empty()) {
            changes.number = changes.number.saturating_add(1);
            let (number, reason) = (changes.number, revision.reason.clone());
            changes.revised.push(Revised { number, day: self.day, time: self.now, reason });
            changes.rows.extend(revision.rows.iter().map(|row| (number, row.clone())));
        }
        let any = self.kind == Kind::Close || !changes.revised.is_empty();
        any.then_some(changes)
    }

    /// Writes the numbers. From here on the day is closed, or corrected.
    fn keep_rows(&self, connection: &Connection) -> anyhow::Result<()> {
        if let Some(changes) = self.changes() {
            changes.write(connection)?;
        }
        if self.kind == Kind::Close {
            connection.execute("DELETE FROM start WHERE day <= ?1", [self.day])?;
            let old = self.day.saturating_sub(known::WEIGHTS);
            connection.execute("DELETE FROM weight WHERE day < ?1", [old])?;
        }
        set(connection, ERASING, self.day)
    }

    /// Erases origins. Returns whether there are more.
    fn erase(&mut self, connection: &Connection) -> anyhow::Result<bool> {
        let more = match &mut self.sessions {
            Some(sessions) => {
                let delete = "DELETE FROM origin WHERE day = ?1 AND session = ?2";
                let mut delete = connection.prepare_cached(delete)?;
                for session in sessions.drain(..sessions.len().min(PIECE)) {
                    delete.execute([self.day, session])?;
                }
                !sessions.is_empty()
            }
            None => {
                let some = "SELECT session, key FROM origin WHERE day = ?1 LIMIT ?2";
                let delete =
                    format!("DELETE FROM origin WHERE day = ?1 AND (session, key) IN ({some})");
                let most = i64::try_from(PIECE)?;
                connection.execute(&delete, [self.day, most])? >= PIECE
            }
        };
        if !more {
            connection.execute("DELETE FROM meta WHERE key = ?1", [ERASING])?;
        }
        Ok(more)
    }
}

fn set(connection: &Connection, key: &str, value: i64) -> anyhow::Result<()> {
    let set = "INSERT INTO meta (key, value) VALUES (?1, ?2)
        ON CONFLICT DO UPDATE SET value = excluded.value";
    connection.execute(set, params![key, value])?;
    Ok(())
}
