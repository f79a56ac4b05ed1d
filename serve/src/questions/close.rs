//! Closes days: counts on a connection that only reads, and writes what was counted in short transactions, because
//! messages wait for the connection that writes.
//!
//! What is counted is one state of the file. A message that comes between it and the write is a late one: its origin is
//! not erased, so a revision takes it.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::Engine;
use super::cube::{self, CubeRow};
use super::day;
use super::days::last_closed;
use super::revise;
use super::rules::Rules;
use super::source::{Source, Sqlite};
use super::support::Network;
use crate::store::time::DAY;

/// The last closed day, in the table of the store's own numbers.
const CLOSED: &str = "closed";
/// The closed day whose origins are being erased, there too.
const ERASING: &str = "erasing";
/// The first day that is closed, 1 January 2023: no engine reported before. An archive may have a message of an engine
/// whose clock stood at 1970, and each day since then would be counted.
const BEGINNING: i64 = 19_358;
/// Days after a day within which its messages are accepted, and its close. Then late engines are forgotten.
const LATEST: i64 = 10;
/// Rows that one transaction writes or erases.
const PIECE: usize = 5_000;
/// Days for which it is kept what a start counts: longer than any figure follows it.
const FOLLOWED: i64 = 40;

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "two numbers")]
pub struct Closed {
    /// Days that were closed.
    pub days: usize,
    /// Closed days whose published numbers were changed.
    pub revisions: usize,
}

/// What was counted of one day and is not written yet.
#[derive(Debug)]
pub struct Counted {
    day: i64,
    /// What the file said about closed days; if that has changed, the count is of no use.
    seen: (Option<i64>, i64),
    kind: Kind,
    /// What the starts of the day count, by session, as far as that is less than one.
    weights: Vec<(i64, f64)>,
    /// Numbered changes of a closed day.
    revisions: Vec<revise::Revision>,
    rows: Vec<CubeRow>,
    /// The sessions whose origins are erased. `None`: all that are left.
    sessions: Option<Vec<i64>>,
    written: bool,
    now: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
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

/// Closes each day that ended 48 hours before `now`, and revises closed days. Does nothing if that is done already.
///
/// # Errors
///
/// If the database cannot be read or written.
pub fn close(connection: &Connection, rules: &Rules, now: i64) -> anyhow::Result<Closed> {
    let mut done = Closed::default();
    while let Some(mut counted) = count(connection, rules, now)? {
        loop {
            match counted.write(connection)? {
                Progress::More => {}
                Progress::Stale => break,
                Progress::Done(one) => {
                    done.days = done.days.saturating_add(one.days);
                    done.revisions = done.revisions.saturating_add(one.revisions);
                    break;
                }
            }
        }
    }
    Ok(done)
}

/// Counts the next day that is to be closed or revised at `now`, in one state of the file. Returns `None` if there is
/// none.
///
/// # Errors
///
/// If the database cannot be read.
pub fn count(connection: &Connection, rules: &Rules, now: i64) -> anyhow::Result<Option<Counted>> {
    // All queries see the same state. It ends with this value.
    let state = connection.unchecked_transaction()?;
    count_in(&Sqlite(&state), &state, rules, now)
}

/// Counts the next day in another database. What was published before is in the file.
///
/// # Errors
///
/// If a database cannot be read.
pub(crate) fn count_in(
    source: &dyn Days,
    state: &Connection,
    rules: &Rules,
    now: i64,
) -> anyhow::Result<Option<Counted>> {
    let seen = seen(state)?;
    if let Some(day) = number(state, ERASING)? {
        // The process ended while it erased.
        return Ok(Some(Counted::new(Kind::Erase, day, seen, now)));
    }
    let next = match seen.0 {
        Some(day) => day.saturating_add(1),
        None => source.first(BEGINNING)?.unwrap_or(i64::MAX),
    };
    if next <= last_closed(now) {
        let counted = close_day(source, state, rules, next, seen, now)?;
        tracing::debug!(counted = next, "a day is counted");
        return Ok(Some(counted));
    }
    for day in source.late(seen.0)? {
        if let Some(counted) = revise_day(source, state, rules, day, seen, now)? {
            return Ok(Some(counted));
        }
    }
    Ok(None)
}

/// Returns the last closed day, and the number of the last revision.
fn seen(connection: &Connection) -> anyhow::Result<(Option<i64>, i64)> {
    let last = "SELECT coalesce(max(number), 0) FROM revision";
    Ok((number(connection, CLOSED)?, connection.query_row(last, [], |row| row.get(0))?))
}

/// Returns the last closed day.
pub(crate) fn closed(connection: &Connection) -> anyhow::Result<Option<i64>> {
    number(connection, CLOSED)
}

fn number(connection: &Connection, key: &str) -> anyhow::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

/// What each start of a network counts, as far as that is less than one.
pub(crate) type Starts = [(Engine, Network, f64)];

/// What the file needs of a closed day: what its starts count by session, as far as that is less than one, and the
/// sessions whose networks are erased.
pub(crate) type InFile = (Vec<(i64, f64)>, Vec<i64>);

/// A database whose days are closed.
pub(crate) trait Days: Source {
    /// Returns the first day since `beginning` of which anything is known.
    fn first(&self, beginning: i64) -> anyhow::Result<Option<i64>>;

    /// Returns the closed days of which networks are left.
    fn late(&self, closed: Option<i64>) -> anyhow::Result<Vec<i64>>;

    /// Takes note that a day is counted.
    fn closes(&self, day: i64, starts: &Starts) -> anyhow::Result<InFile>;

    /// Takes note that the late sessions of an engine are counted. Returns for the file those whose networks are erased.
    fn revises(&self, day: i64, engine: Engine) -> anyhow::Result<Vec<i64>>;

    /// Erases the networks of a day that is not corrected any more, as far as they are not in the file.
    fn forgets(&self, day: i64) -> anyhow::Result<()>;
}

impl Days for Sqlite<'_> {
    fn first(&self, beginning: i64) -> anyhow::Result<Option<i64>> {
        let first = "SELECT min(day) FROM (SELECT min(day) AS day FROM presence WHERE day >= ?1
            UNION SELECT min(day) FROM origin WHERE day >= ?1
            UNION SELECT min(day) FROM start WHERE day >= ?1)";
        Ok(self.0.query_row(first, [beginning], |row| row.get(0))?)
    }

    fn late(&self, closed: Option<i64>) -> anyhow::Result<Vec<i64>> {
        let days = "SELECT DISTINCT day FROM origin WHERE day <= ?1 ORDER BY day";
        let mut days = self.0.prepare(days)?;
        Ok(days.query_map([closed], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    fn closes(&self, day: i64, starts: &Starts) -> anyhow::Result<InFile> {
        let mut sessions = self.0.prepare("SELECT DISTINCT session FROM origin WHERE day = ?1")?;
        let sessions = sessions.query_map([day], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok((weights(self.0, day, starts)?, sessions))
    }

    fn revises(&self, day: i64, engine: Engine) -> anyhow::Result<Vec<i64>> {
        let mut late = self.0.prepare_cached(
            "SELECT DISTINCT origin.session FROM origin JOIN session ON session.id = origin.session
            WHERE origin.day = ?1 AND session.engine = (SELECT id FROM word WHERE text = ?2)",
        )?;
        let late = late.query_map(params![day, engine.id()], |row| row.get(0))?;
        Ok(late.collect::<Result<_, _>>()?)
    }

    fn forgets(&self, _: i64) -> anyhow::Result<()> {
        Ok(())
    }
}

fn close_day(
    source: &dyn Days,
    state: &Connection,
    rules: &Rules,
    day: i64,
    seen: (Option<i64>, i64),
    now: i64,
) -> anyhow::Result<Counted> {
    let counted = day::count(source, state, rules, day)?;
    let (weights, sessions) = source.closes(day, &counted.starts)?;
    let kind = Kind::Close;
    let (rows, sessions) = (counted.rows, Some(sessions));
    Ok(Counted { rows, sessions, weights, ..Counted::new(kind, day, seen, now) })
}

/// Returns what each start of a day counts, as far as that is less than one.
fn weights(state: &Connection, day: i64, starts: &Starts) -> anyhow::Result<Vec<(i64, f64)>> {
    let less: BTreeMap<(&str, Network), f64> =
        starts.iter().map(|(engine, network, weight)| ((engine.id(), *network), *weight)).collect();
    let mut weights = Vec::new();
    if less.is_empty() {
        return Ok(weights);
    }
    // The first key of a session counts, as in the groups.
    let mut started = state.prepare(
        "SELECT session.id, word.text, min(origin.key), origin.origin
        FROM origin JOIN session ON session.id = origin.session JOIN word ON word.id = session.engine
        WHERE origin.day = ?1 AND session.first / 86400000 = ?1 GROUP BY session.id",
    )?;
    let mut rows = started.query([day])?;
    while let Some(row) = rows.next()? {
        let engine: String = row.get(1)?;
        if let Some(weight) = less.get(&(engine.as_str(), (row.get(2)?, row.get(3)?))) {
            weights.push((row.get(0)?, *weight));
        }
    }
    Ok(weights)
}

/// Counts the late engines of a closed day, at most once a day: of each day of receipt a network has one origin.
fn revise_day(
    source: &dyn Days,
    state: &Connection,
    rules: &Rules,
    day: i64,
    seen: (Option<i64>, i64),
    now: i64,
) -> anyhow::Result<Option<Counted>> {
    if day < last_closed(now).saturating_sub(LATEST) {
        source.forgets(day)?;
        return Ok(Some(Counted::new(Kind::Erase, day, seen, now)));
    }
    let last = "SELECT max(time) FROM revision WHERE day = ?1";
    let last: Option<i64> = state.query_row(last, [day], |row| row.get(0))?;
    if last.is_some_and(|last| now.saturating_sub(last) < DAY) {
        return Ok(None);
    }
    let mut counted = Counted::new(Kind::Revise, day, seen, now);
    let mut sessions = Vec::new();
    for engine in Engine::ALL {
        let closed = seen.0.unwrap_or(day);
        let revision = revise::count(source, state, rules, (engine, day), closed)?;
        let Some(revision) = revision else { continue };
        counted.revisions.push(revision);
        sessions.extend(source.revises(day, engine)?);
    }
    counted.sessions = Some(sessions);
    Ok((!counted.revisions.is_empty()).then_some(counted))
}

impl Counted {
    fn new(kind: Kind, day: i64, seen: (Option<i64>, i64), now: i64) -> Self {
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
        let old = self.day.saturating_sub(FOLLOWED);
        connection.execute("DELETE FROM weight WHERE day < ?1", [old])?;
        let insert = "INSERT OR REPLACE INTO weight (session, day, weight) VALUES (?1, ?2, ?3)";
        let mut insert = connection.prepare_cached(insert)?;
        for (session, weight) in self.weights.drain(..self.weights.len().min(PIECE)) {
            insert.execute(params![session, self.day, weight])?;
        }
        Ok(())
    }

    /// Writes the numbers. From here on the day is closed, or corrected.
    fn keep_rows(&self, connection: &Connection) -> anyhow::Result<()> {
        cube::write(connection, &self.rows, 0)?;
        for revision in self.revisions.iter().filter(|one| !one.rows.is_empty()) {
            connection.execute(
                "INSERT INTO revision (day, time, reason) VALUES (?1, ?2, ?3)",
                params![self.day, self.now, revision.reason],
            )?;
            cube::write(connection, &revision.rows, connection.last_insert_rowid())?;
        }
        if self.kind == Kind::Close {
            set(connection, CLOSED, self.day)?;
            connection.execute("DELETE FROM start WHERE day <= ?1", [self.day])?;
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
