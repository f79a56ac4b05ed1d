//! The projection: what the messages of some batches say, as rows.
//!
//! Each row is made so that the order of messages and their repetition change nothing: a slot is a bit, an interval has
//! a number, and of two values of a facet the one that sorts first stays. `received`, `skewed` and the starts without
//! identity are counts, which a repetition changes.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension as _};

use super::heard::{Heard, Tells};
use super::known::{Known, Session, SessionKey, Slots};
use super::origin::Origin;
use super::shape::Shapes;
use super::time;

/// The content of some messages, merged as far as it concerns the same rows.
#[derive(Debug, Default)]
struct Merged {
    /// In the order of their numbers, because neighbours stand on one page of the file.
    sessions: BTreeMap<i64, Touched>,
    /// Starts without identity, by day of receipt, shape, key and origin.
    starts: BTreeMap<(i64, usize, i64, u32), i64>,
    /// By day of receipt and shape: how many messages, how many with a wrong clock, how many starts without identity.
    counts: HashMap<(i64, usize), [i64; 3]>,
}

/// The news about a session.
#[derive(Debug)]
struct Touched {
    key: SessionKey,
    /// The memory of it before.
    known: Session,
    first: i64,
    last: i64,
    beats: i64,
    days: Vec<OnDay>,
}

/// The news about a session on one day.
#[derive(Debug, Default)]
struct OnDay {
    day: i64,
    /// Slots with heartbeats, and with any message at intervals.
    slots: Option<(Slots, Slots)>,
    /// The number of a key, and the origin under it.
    origins: Vec<(i64, u32)>,
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
    merged.write(connection, shapes, known, now)
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
        let key = (id, engine);
        let remembered = match known.session(connection, key)? {
            Some(session) => session,
            None => {
                let contract = known.word(connection, &shape.contract)?;
                let insert = "INSERT INTO session (uuid, engine, contract, first, last) VALUES (?1, ?2, ?3, ?4, ?4)";
                connection.prepare_cached(insert)?.execute((id, engine, contract, one.time))?;
                let session = Session::new(connection.last_insert_rowid());
                known.remember(key, session);
                session
            }
        };
        let session = remembered.id;
        let touched = self.sessions.entry(session).or_insert_with(|| Touched {
            key,
            known: remembered,
            first: one.time,
            last: one.time,
            beats: 0,
            days: Vec::with_capacity(1),
        });
        touched.first = touched.first.min(one.time);
        touched.last = touched.last.max(one.time);
        touched.on(day, |today| {
            if let Some(origin) = one.origin {
                today.hear_from(origin);
            }
            match &one.tells {
                Tells::Beat => today.set(time::slot(one.time), true),
                Tells::Interval { .. } => today.set(time::slot(one.time), false),
                Tells::Start { .. } | Tells::Other => {}
            }
        });
        if let Some(machine) = one.machine {
            let update = "UPDATE session SET machine = ?1 WHERE id = ?2 AND (machine IS NULL OR machine > ?1)";
            connection.prepare_cached(update)?.execute((machine, session))?;
        }
        match &one.tells {
            Tells::Interval { series, sequence, sums } => {
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
            Tells::Beat | Tells::Other => {}
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

    fn write(
        self,
        connection: &Connection,
        shapes: &Shapes,
        known: &mut Known,
        now: i64,
    ) -> rusqlite::Result<()> {
        // A clock that went back opens no day.
        let closed = "SELECT coalesce(max(value), -1) FROM meta WHERE key = 'closed'";
        let closed: i64 = connection.prepare_cached(closed)?.query_row([], |row| row.get(0))?;
        let open = time::first_open(now).max(closed.saturating_add(1));
        let update = "UPDATE session SET first = min(first, ?2), last = max(last, ?3), beats = beats + ?4 WHERE id = ?1";
        let mut update = connection.prepare_cached(update)?;
        for (session, touched) in self.sessions {
            let Touched { key, known: mut remembered, first, last, mut beats, days } = touched;
            for one in &days {
                let new = one.write(connection, &mut remembered, open)?;
                beats = beats.saturating_add(new);
            }
            update.execute((session, first, last, beats))?;
            known.remember(key, remembered);
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

impl Touched {
    /// Adds to the news about a day.
    fn on(&mut self, day: i64, add: impl FnOnce(&mut OnDay)) {
        match self.days.iter_mut().find(|one| one.day == day) {
            Some(one) => add(one),
            None => {
                let mut one = OnDay { day, ..OnDay::default() };
                add(&mut one);
                self.days.push(one);
            }
        }
    }
}

impl OnDay {
    fn hear_from(&mut self, origin: Origin) {
        if self.origins.iter().all(|(key, _)| *key != origin.key) {
            self.origins.push((origin.key, origin.bits));
        }
    }

    fn set(&mut self, slot: usize, beat: bool) {
        let (beats, any) = self.slots.get_or_insert_default();
        set(any, slot);
        if beat {
            set(beats, slot);
        }
    }

    /// Writes the rows that are not in the file yet. Returns how many slots with heartbeats are new.
    fn write(
        &self,
        connection: &Connection,
        remembered: &mut Session,
        open: i64,
    ) -> rusqlite::Result<i64> {
        let (mut new, mut is_first) = (0, false);
        if let Some((beats, any)) = &self.slots {
            let before = remembered.slots(self.day);
            let (all, more, first) =
                presence(connection, (self.day, remembered.id), before, (beats, any))?;
            (new, is_first) = (more, first);
            remembered.set_slots(self.day, all);
        }
        for (key, origin) in &self.origins {
            if remembered.has_origin(self.day, *key) {
                continue;
            }
            // The origins of closed days are erased. That of an engine which is new to the day is kept until the day
            // is revised, because the rules of publication hold for late engines too.
            if self.day >= open || is_first {
                let insert = "INSERT OR IGNORE INTO origin (day, session, key, origin) VALUES (?1, ?2, ?3, ?4)";
                let row = (self.day, remembered.id, key, origin);
                connection.prepare_cached(insert)?.execute(row)?;
                remembered.set_origin(self.day, *key);
            }
        }
        Ok(new)
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

/// Sets the slots of a session in a day; `before` are those of its row, if they are remembered. Returns the slots, how many of
/// those with heartbeats are new, and whether the session is new to the day.
fn presence(
    connection: &Connection,
    (day, session): (i64, i64),
    before: Option<Slots>,
    (beats, any): (&Slots, &Slots),
) -> rusqlite::Result<(Slots, i64, bool)> {
    let known = match before {
        Some(slots) => Some(slots),
        None => {
            let select = "SELECT slots FROM presence WHERE day = ?1 AND session = ?2";
            let mut select = connection.prepare_cached(select)?;
            select.query_row((day, session), |row| row.get(0)).optional()?
        }
    };
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
    Ok((all, i64::from(new), known.is_none()))
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

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::store::SCHEMA;

    const NOW: i64 = 100 * time::DAY + 12 * 3_600_000;

    /// Returns heartbeats of three engines, on open and closed days, in no order, from two networks under two keys.
    fn beats(shapes: &Shapes) -> Vec<Heard> {
        let shape = shapes.find("vllm/current", "heartbeat").unwrap();
        let beat = |n: u64| {
            // Numbers that are spread, and the same in each run.
            let random = |below: u64, of: u64| {
                (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (of * 9) & 0x1ff) % below
            };
            let ago = i64::try_from(random(5 * 8, 2) * 3 * 3_600_000 + random(3, 3) * 600_000);
            Heard {
                shape,
                id: Some([u8::try_from(random(3, 4)).unwrap(); 16]),
                machine: None,
                received: NOW,
                time: NOW - ago.unwrap(),
                skewed: false,
                origin: Some(Origin {
                    key: i64::try_from(n / 150).unwrap(),
                    bits: u32::try_from(random(2, 5)).unwrap(),
                }),
                tells: Tells::Beat,
            }
        };
        (0..300).map(beat).collect()
    }

    /// Projects each message in a transaction of its own, and returns every row.
    fn rows(remembers: bool) -> Vec<String> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let shapes = Shapes::new(&[]);
        let mut known = Known::new();
        for beat in beats(&shapes) {
            if !remembers {
                known = Known::new();
            }
            project(&connection, &shapes, &mut known, &[beat], NOW).unwrap();
        }
        let all = "SELECT 'session ' || hex(uuid) || ' ' || first || ' ' || last || ' ' || beats FROM session
            UNION ALL SELECT 'presence ' || day || ' ' || session || ' ' || hex(slots) FROM presence
            UNION ALL SELECT 'origin ' || day || ' ' || session || ' ' || key || ' ' || origin FROM origin ORDER BY 1";
        let mut all = connection.prepare(all).unwrap();
        all.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn the_memory_of_sessions_changes_no_row() {
        let expected = rows(false);
        for (table, rows) in [("session", 3), ("presence", 18), ("origin", 20)] {
            let count = expected.iter().filter(|row| row.starts_with(table)).count();
            assert!(count >= rows, "{table}: {count}");
        }
        assert_eq!(rows(true), expected);
    }
}
