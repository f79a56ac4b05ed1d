//! The projection: what the messages of some batches say, as rows.
//!
//! Each row is made so that the order of messages and their repetition change nothing: a slot is a bit, an interval has
//! a number, and of two values of a facet the one that sorts first stays. `received`, `skewed` and the starts without
//! identity are counts, which a repetition changes.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _};

use super::heard::{Heard, Tells};
use super::known::Known;
use super::shape::Shapes;
use super::time;

/// The slots of a day as bits.
type Slots = [u8; 18];

/// The content of some messages, merged as far as it concerns the same rows.
#[derive(Debug, Default)]
struct Merged {
    sessions: BTreeMap<i64, Touched>,
    /// By day and session: slots with heartbeats, and with any message at intervals.
    slots: BTreeMap<(i64, i64), (Slots, Slots)>,
    /// By day, session and key.
    origins: BTreeMap<(i64, i64, i64), u32>,
    /// Starts without identity, by day of receipt, shape, key and origin.
    starts: BTreeMap<(i64, usize, i64, u32), i64>,
    /// By day of receipt and shape: how many messages, how many with a wrong clock, how many starts without identity.
    counts: HashMap<(i64, usize), [i64; 3]>,
}

/// The news about a session.
#[derive(Debug)]
struct Touched {
    first: i64,
    last: i64,
    beats: i64,
}

/// Adds the messages to the tables, in the transaction that is open.
pub(crate) fn project(
    connection: &Connection,
    shapes: &Shapes,
    known: &mut Known,
    heard: &[Heard],
    now: i64,
) -> rusqlite::Result<()> {
    let mut merged = Merged::default();
    for one in heard {
        merged.take(connection, shapes, known, one)?;
    }
    merged.write_starts(connection, shapes, known)?;
    merged.write(connection, shapes, now)
}

impl Merged {
    fn take(
        &mut self,
        connection: &Connection,
        shapes: &Shapes,
        known: &mut Known,
        one: &Heard,
    ) -> rusqlite::Result<()> {
        let Some(shape) = shapes.get(one.shape) else { return Ok(()) };
        let received = time::day(one.received);
        let counts = self.counts.entry((received, one.shape)).or_default();
        let start = one.id.is_none() && one.tells.is_first_of_start();
        for (count, more) in counts.iter_mut().zip([true, one.skewed, start]) {
            *count = count.saturating_add(i64::from(more));
        }
        if let Some(origin) = one.origin.filter(|_| start) {
            let at = (received, one.shape, origin.key, origin.bits);
            let count = self.starts.entry(at).or_default();
            *count = count.saturating_add(1);
        }
        let Some(id) = one.id else { return Ok(()) };
        let day = time::day(one.time);
        let engine = known.word(connection, &shape.engine)?;
        let session = match known.session(connection, (id, engine))? {
            Some(session) => session,
            None => {
                let contract = known.word(connection, &shape.contract)?;
                let insert = "INSERT INTO session (uuid, engine, contract, first, last) VALUES (?1, ?2, ?3, ?4, ?4)";
                connection.prepare_cached(insert)?.execute((id, engine, contract, one.time))?;
                let session = connection.last_insert_rowid();
                known.add_session((id, engine), session);
                session
            }
        };
        let touched = self.sessions.entry(session).or_insert(Touched {
            first: one.time,
            last: one.time,
            beats: 0,
        });
        touched.first = touched.first.min(one.time);
        touched.last = touched.last.max(one.time);
        if let Some(origin) = one.origin {
            self.origins.entry((day, session, origin.key)).or_insert(origin.bits);
        }
        if let Some(machine) = one.machine {
            let update = "UPDATE session SET machine = ?1 WHERE id = ?2 AND (machine IS NULL OR machine > ?1)";
            connection.prepare_cached(update)?.execute((machine, session))?;
        }
        match &one.tells {
            Tells::Beat => {
                let (beats, any) = self.slots.entry((day, session)).or_default();
                set(beats, time::slot(one.time));
                set(any, time::slot(one.time));
            }
            Tells::Interval { series, sequence, sums } => {
                let (_, any) = self.slots.entry((day, session)).or_default();
                set(any, time::slot(one.time));
                let message = known.word(connection, &shape.message)?;
                let series = known.word(connection, series)?;
                let insert = "INSERT OR IGNORE INTO interval (session, message, series, sequence, day, sums) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                let row = (session, message, series, sequence, day, sums);
                let new = connection.prepare_cached(insert)?.execute(row)?;
                touched.beats = touched.beats.saturating_add(i64::try_from(new).unwrap_or(0));
            }
            Tells::Start { facets, .. } => {
                let contract = known.word(connection, &shape.contract)?;
                let update =
                    "UPDATE session SET contract = ?1, reported = 1 WHERE id = ?2 AND reported = 0";
                connection.prepare_cached(update)?.execute((contract, session))?;
                for (name, value) in facets {
                    facet(connection, known, session, name, value)?;
                }
            }
            Tells::Other => {}
        }
        Ok(())
    }

    fn write_starts(
        &mut self,
        connection: &Connection,
        shapes: &Shapes,
        known: &mut Known,
    ) -> rusqlite::Result<()> {
        for ((day, place, key, origin), count) in std::mem::take(&mut self.starts) {
            let Some(shape) = shapes.get(place) else { continue };
            let engine = known.word(connection, &shape.engine)?;
            let contract = known.word(connection, &shape.contract)?;
            let upsert = "INSERT INTO start (day, engine, contract, key, origin, count) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET count = count + excluded.count";
            let row = (day, engine, contract, key, origin, count);
            connection.prepare_cached(upsert)?.execute(row)?;
        }
        Ok(())
    }

    fn write(self, connection: &Connection, shapes: &Shapes, now: i64) -> rusqlite::Result<()> {
        // A clock that went back opens no day.
        let closed = "SELECT coalesce(max(value), -1) FROM meta WHERE key = 'closed'";
        let closed: i64 = connection.prepare_cached(closed)?.query_row([], |row| row.get(0))?;
        let open = time::first_open(now).max(closed.saturating_add(1));
        let mut gained: HashMap<i64, i64> = HashMap::new();
        let mut first_heard = HashSet::new();
        for ((day, session), (beats, any)) in &self.slots {
            let (new, is_first) = presence(connection, *day, *session, beats, any)?;
            if is_first {
                first_heard.insert((*day, *session));
            }
            let beats = gained.entry(*session).or_default();
            *beats = beats.saturating_add(new);
        }
        let update = "UPDATE session SET first = min(first, ?2), last = max(last, ?3), beats = beats + ?4 WHERE id = ?1";
        let mut update = connection.prepare_cached(update)?;
        for (session, touched) in self.sessions {
            let slots = gained.get(&session).copied().unwrap_or(0);
            update.execute((
                session,
                touched.first,
                touched.last,
                touched.beats.saturating_add(slots),
            ))?;
        }
        let insert =
            "INSERT OR IGNORE INTO origin (day, session, key, origin) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = connection.prepare_cached(insert)?;
        for ((day, session, key), origin) in self.origins {
            // The origins of closed days are erased. That of an engine which is new to the day is kept until the day
            // is revised, because the rules of publication hold for late engines too.
            if day >= open || first_heard.contains(&(day, session)) {
                insert.execute((day, session, key, origin))?;
            }
        }
        for ((day, place), [received, skewed, starts]) in self.counts {
            let Some(shape) = shapes.get(place) else { continue };
            let both = format!("{} {}", shape.contract, shape.message);
            add(connection, day, "received", &both, received)?;
            add(connection, day, "skewed", &shape.contract, skewed)?;
            add(connection, day, "start", &shape.contract, starts)?;
        }
        Ok(())
    }
}

impl Tells {
    const fn is_first_of_start(&self) -> bool {
        matches!(self, Self::Start { first: true, .. })
    }
}

/// Adds to a counter of quality.
pub(crate) fn add(
    connection: &Connection,
    day: i64,
    name: &str,
    label: &str,
    count: i64,
) -> rusqlite::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let upsert = "INSERT INTO quality (day, name, label, count) VALUES (?1, ?2, ?3, ?4) \
        ON CONFLICT DO UPDATE SET count = count + excluded.count";
    connection.prepare_cached(upsert)?.execute((day, name, label, count)).map(|_| ())
}

fn set(slots: &mut Slots, slot: usize) {
    if let Some(byte) = slots.get_mut(slot / 8) {
        *byte |= 1 << (slot % 8);
    }
}

/// Sets the slots of a session in a day. Returns how many slots with heartbeats are new, and whether the session is new to
/// the day.
fn presence(
    connection: &Connection,
    day: i64,
    session: i64,
    beats: &Slots,
    any: &Slots,
) -> rusqlite::Result<(i64, bool)> {
    let select = "SELECT slots FROM presence WHERE day = ?1 AND session = ?2";
    let known: Option<Slots> = connection
        .prepare_cached(select)?
        .query_row((day, session), |row| row.get(0))
        .optional()?;
    let (mut all, mut new) = (known.unwrap_or_default(), 0_u32);
    for ((all, beats), any) in all.iter_mut().zip(beats).zip(any) {
        new = new.saturating_add((beats & !*all).count_ones());
        *all |= any;
    }
    if known.is_none() {
        let insert = "INSERT INTO presence (day, session, slots) VALUES (?1, ?2, ?3)";
        connection.prepare_cached(insert)?.execute((day, session, all))?;
    } else if known != Some(all) {
        let update = "UPDATE presence SET slots = ?3 WHERE day = ?1 AND session = ?2";
        connection.prepare_cached(update)?.execute((day, session, all))?;
    }
    Ok((i64::from(new), known.is_none()))
}

/// Sets a facet. Of two values the one that sorts first stays, so that the order of reports changes nothing.
fn facet(
    connection: &Connection,
    known: &mut Known,
    session: i64,
    name: &str,
    value: &str,
) -> rusqlite::Result<()> {
    let (name, id) = (known.word(connection, name)?, known.word(connection, value)?);
    let upsert = "INSERT INTO facet (session, name, value) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE \
        SET value = excluded.value \
        WHERE value <> excluded.value AND ?4 < (SELECT text FROM word WHERE id = facet.value)";
    connection.prepare_cached(upsert)?.execute((session, name, id, value)).map(|_| ())
}
