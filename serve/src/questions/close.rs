//! Closes days: counts on a connection that only reads, and writes what was counted in short transactions, because
//! messages wait for the connection that writes.
//!
//! One state of the file is counted. A message that comes between it and the write is a late one: its origin is
//! not erased, so a revision takes it.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::Engine;
use super::counted::{Closed, Counted, ERASING, Kind, Progress, Seen, number, seen};
use super::day;
use super::days::last_closed;
use super::revise;
use super::rules::Rules;
use super::source::{Source, Sqlite};
use super::support::Network;
use crate::store::time::DAY;

/// The first day that is closed, 1 January 2023: no engine reported before. An archive may have a message of an engine
/// whose clock stood at 1970, and each day since then would be counted.
const BEGINNING: i64 = 19_358;
/// Days after a day within which its messages are accepted, and its close. Then late engines are forgotten.
const LATEST: i64 = 10;
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

/// Counts the next day in another database. The file has the numbers that were published before.
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

/// The weight of each start of a network, where it is less than one.
pub(crate) type Starts = [(Engine, Network, f64)];

/// The parts of a closed day that the file needs: the weights of its starts by session, where they are less than one, and the
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
    seen: Seen,
    now: i64,
) -> anyhow::Result<Counted> {
    let counted = day::count(source, state, rules, day)?;
    let (weights, sessions) = source.closes(day, &counted.starts)?;
    let mut closing = Counted::new(Kind::Close, day, seen, now);
    (closing.rows, closing.weights, closing.sessions) = (counted.rows, weights, Some(sessions));
    Ok(closing)
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
    seen: Seen,
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
