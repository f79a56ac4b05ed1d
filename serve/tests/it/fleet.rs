//! A fleet whose rows are written into the tables of the store, for tests of the questions.

use otel_usage_serve::store::SCHEMA;
use rusqlite::{Connection, params};

/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;

/// An engine that a test writes down.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) contract: &'static str,
    pub(crate) facets: Vec<(&'static str, String)>,
    /// The days on which it runs, each with its network.
    pub(crate) days: Vec<(i64, Option<i64>)>,
    /// The ten-minute slots that it runs on each day.
    pub(crate) slots: usize,
}

/// Returns an empty store.
pub(crate) fn empty() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection
}

/// Writes the engines down.
pub(crate) fn write(connection: &Connection, engines: &[Engine]) {
    connection.execute_batch("BEGIN").unwrap();
    for engine in engines {
        let beats = engine.days.len() * engine.slots;
        let first = engine.days.iter().map(|(day, _)| *day).min().unwrap() * DAY;
        let last = engine.days.iter().map(|(day, _)| *day).max().unwrap() * DAY
            + i64::try_from(engine.slots).unwrap() * 600_000;
        let contract = word(connection, engine.contract);
        let system = word(connection, engine.contract.split('/').next().unwrap());
        connection
            .prepare_cached(
                "INSERT INTO session (uuid, engine, contract, reported, first, last, beats)
                VALUES (randomblob(16), ?, ?, 1, ?, ?, ?)",
            )
            .unwrap()
            .execute(params![system, contract, first, last, i64::try_from(beats).unwrap()])
            .unwrap();
        let session = connection.last_insert_rowid();
        for (name, value) in &engine.facets {
            let (name, value) = (word(connection, name), word(connection, value));
            connection
                .prepare_cached("INSERT INTO facet VALUES (?, ?, ?)")
                .unwrap()
                .execute([session, name, value])
                .unwrap();
        }
        for (day, origin) in &engine.days {
            connection
                .prepare_cached("INSERT INTO presence VALUES (?, ?, ?)")
                .unwrap()
                .execute(params![day, session, slots(engine.slots)])
                .unwrap();
            if let Some(origin) = origin {
                connection
                    .prepare_cached(
                        "INSERT INTO origin (day, session, key, origin) VALUES (?, ?, 1, ?)",
                    )
                    .unwrap()
                    .execute([*day, session, *origin])
                    .unwrap();
            }
        }
    }
    connection.execute_batch("COMMIT").unwrap();
}

/// Returns the number of a text.
pub(crate) fn word(connection: &Connection, text: &str) -> i64 {
    connection
        .prepare_cached("INSERT OR IGNORE INTO word (text) VALUES (?)")
        .unwrap()
        .execute([text])
        .unwrap();
    let mut statement = connection.prepare_cached("SELECT id FROM word WHERE text = ?").unwrap();
    statement.query_row([text], |row| row.get(0)).unwrap()
}

/// Returns the bits of the first slots of a day.
fn slots(count: usize) -> [u8; 18] {
    let mut bits = [0_u8; 18];
    for slot in 0..count {
        bits[slot / 8] |= 1 << (slot % 8);
    }
    bits
}
