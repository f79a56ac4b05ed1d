//! Counts the rows of the store for one table and day.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::Engine;
use super::support::Network;
use super::table::{Amount, Key, Population, TABLES, Table};
use crate::clickhouse::ClickHouse;

/// Engines that report the same, from one network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    /// The contract, then what the keys of the table say.
    pub(crate) reported: Vec<Option<String>>,
    pub(crate) network: Option<Network>,
    pub(crate) engines: f64,
    /// The amounts of the table.
    pub(crate) amounts: Vec<f64>,
}

/// Which of the engines of a day are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// All.
    All,
    /// Those whose network is known. On a closed day these are the engines that were first heard of after its close.
    Late,
}

/// Where the rows are.
pub(crate) trait Source {
    /// Counts the engines of a day.
    fn groups(
        &self,
        table: &Table,
        engine: Engine,
        day: i64,
        which: Which,
    ) -> anyhow::Result<Vec<Group>>;

    /// Counts the engines of some days, for those who do not tell networks apart.
    fn of_days(
        &self,
        table: &Table,
        engine: Engine,
        days: &[i64],
    ) -> anyhow::Result<Vec<(i64, Vec<Group>)>> {
        let of = |day: &i64| Ok((*day, self.groups(table, engine, *day, Which::All)?));
        days.iter().map(of).collect()
    }
}

/// A database that has the rows.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'d> {
    /// The file of the store.
    Sqlite(&'d Connection),
    /// ClickHouse.
    ClickHouse(&'d ClickHouse),
}

/// Returns what all tables count for a day before any rule, a line for each group of engines, in the order of the
/// alphabet.
///
/// # Errors
///
/// If the database cannot be read.
pub fn counts(rows: Rows<'_>, day: i64) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for engine in Engine::ALL {
        for table in TABLES.iter().filter(|table| table.engines.contains(&engine)) {
            let groups = match rows {
                Rows::Sqlite(connection) => {
                    Sqlite(connection).groups(table, engine, day, Which::All)?
                }
                Rows::ClickHouse(clickhouse) => {
                    clickhouse.groups(table, engine, day, Which::All)?
                }
            };
            let line = |one: Group| {
                let Group { reported, network, engines, amounts } = one;
                // Sums of thirds differ in the last digit.
                let amounts = amounts.iter().map(|amount| format!("{amount:.3}"));
                let amounts: Vec<String> = amounts.collect();
                format!(
                    "{} {} {reported:?} {network:?} {engines} {amounts:?}",
                    engine.id(),
                    table.id
                )
            };
            lines.extend(groups.into_iter().map(line));
        }
    }
    lines.sort_unstable();
    Ok(lines)
}

/// The tables of the SQLite file.
pub(crate) struct Sqlite<'c>(pub(crate) &'c Connection);

impl Source for Sqlite<'_> {
    fn groups(
        &self,
        table: &Table,
        engine: Engine,
        day: i64,
        which: Which,
    ) -> anyhow::Result<Vec<Group>> {
        let mut statement = self.0.prepare_cached(&sql(table, which))?;
        let (keys, amounts) = (table.keys.len(), table.amounts.len());
        let rows = statement.query_map(params![day, engine.id()], |row| {
            let reported = (0..=keys).map(|at| row.get(at)).collect::<Result<_, _>>()?;
            let at = |more: usize| keys.saturating_add(more);
            let network: (Option<i64>, Option<i64>) = (row.get(at(1))?, row.get(at(2))?);
            let amounts =
                (0..amounts).map(|n| row.get(at(n).saturating_add(4))).collect::<Result<_, _>>()?;
            Ok(Group {
                reported,
                network: network.0.zip(network.1),
                engines: row.get(at(3))?,
                amounts,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn of_days(
        &self,
        table: &Table,
        engine: Engine,
        days: &[i64],
    ) -> anyhow::Result<Vec<(i64, Vec<Group>)>> {
        if table.population != Population::Started {
            let of = |day: &i64| Ok((*day, self.groups(table, engine, *day, Which::All)?));
            return days.iter().map(of).collect();
        }
        // Only a look at every session finds those that began on a day, so there is one for all days.
        let mut found: BTreeMap<i64, Vec<Group>> = days.iter().map(|day| (*day, vec![])).collect();
        let mut statement = self.0.prepare_cached(&started(table))?;
        let keys = table.keys.len();
        let mut rows = statement.query(params![days.first(), days.last(), engine.id()])?;
        while let Some(row) = rows.next()? {
            let reported = (1..=keys.saturating_add(1)).map(|at| row.get(at));
            let group = Group {
                reported: reported.collect::<Result<_, _>>()?,
                network: None,
                engines: row.get(keys.saturating_add(2))?,
                amounts: Vec::new(),
            };
            if let Some(groups) = found.get_mut(&row.get(0)?) {
                groups.push(group);
            }
        }
        Ok(found.into_iter().collect())
    }
}

/// Returns the query of a table of engines that started, for the days from `?1` to `?2`. The engine is `?3`.
fn started(table: &Table) -> String {
    let keys = table.keys.iter().enumerate();
    let keys: String = keys.map(|(n, key)| format!(", {} AS key{n}", sqlite_key(*key))).collect();
    let names: String = (0..table.keys.len()).map(|number| format!(", key{number}")).collect();
    format!(
        "WITH engine AS (
            SELECT session.id AS session, session.first, session.last, contract.text AS contract
            FROM session JOIN word contract ON contract.id = session.contract
            WHERE session.first / 86400000 BETWEEN ?1 AND ?2
                AND session.engine = (SELECT id FROM word WHERE text = ?3)
        ), answer AS MATERIALIZED (
            SELECT first / 86400000 AS day, contract{keys} FROM engine
        )
        SELECT day, contract{names}, total(1) FROM answer GROUP BY day, contract{names}"
    )
}

/// Returns the query of a table: the day is `?1`, the engine `?2`.
pub(crate) fn sql(table: &Table, which: Which) -> String {
    let heard = match which {
        Which::All => {
            "presence JOIN session ON session.id = presence.session AND presence.day = ?1"
        }
        // The late ones are few, so they come first.
        Which::Late => {
            "(SELECT DISTINCT session FROM origin WHERE day = ?1) late
            CROSS JOIN presence ON presence.day = ?1 AND presence.session = late.session
            CROSS JOIN session ON session.id = late.session"
        }
    };
    // To count them takes long, and most tables do not need their number.
    let slots = match table.amounts.contains(&Amount::DeviceHours) {
        true => sqlite_bits("presence.slots"),
        false => "0".to_owned(),
    };
    let (slots, heard, population) = match table.population {
        Population::Served => (slots.as_str(), heard, "session.beats >= 6".to_owned()),
        // A start is no presence: most of the engines that only start are never heard of again.
        Population::Started => ("0", "session", "session.first / 86400000 = ?1".to_owned()),
        Population::StartedBefore(days) => {
            (slots.as_str(), heard, format!("session.first / 86400000 = ?1 - {days}"))
        }
        Population::Unnamed => return UNNAMED.to_owned(),
    };
    let columns = |of: &dyn Fn(usize, Key) -> String| -> String {
        table.keys.iter().enumerate().map(|(number, key)| of(number, *key)).collect()
    };
    let keys = columns(&|number, key| format!(", {} AS key{number}", sqlite_key(key)));
    let names = columns(&|number, _| format!(", key{number}"));
    let amounts: String =
        table.amounts.iter().map(|one| format!(", total({})", sqlite_amount(*one))).collect();
    let one = match table.population {
        Population::StartedBefore(_) => {
            "coalesce((SELECT weight FROM weight WHERE weight.session = answer.session), 1)"
        }
        _ => "1",
    };
    // A session is under two keys if the server was started again on the day: the first one counts. The keys of an engine
    // are read once, and not again for the order of the groups.
    format!(
        "WITH engine AS (
            SELECT session.id AS session, session.first, session.last, {slots} AS slots,
                contract.text AS contract, origin.key, origin.origin
            FROM {heard}
            JOIN word contract ON contract.id = session.contract
            LEFT JOIN origin ON origin.day = ?1 AND origin.session = session.id
                AND origin.key = (SELECT min(first.key) FROM origin first
                    WHERE first.day = ?1 AND first.session = session.id)
            WHERE {population} AND session.engine = (SELECT id FROM word WHERE text = ?2)
        ), answer AS MATERIALIZED (
            SELECT contract, key, origin, slots, session{keys} FROM engine
        )
        SELECT contract{names}, key, origin, total({one}){amounts}
        FROM answer GROUP BY contract{names}, key, origin"
    )
}

/// The query of starts without identity.
const UNNAMED: &str = "SELECT word.text, start.key, start.origin, total(start.count)
    FROM start JOIN word ON word.id = start.contract
    WHERE start.day = ?1 AND start.engine = (SELECT id FROM word WHERE text = ?2)
    GROUP BY word.text, start.key, start.origin";

/// Counts the bits of a blob: each hexadecimal digit becomes as many letters as it has bits.
fn sqlite_bits(blob: &str) -> String {
    let letters = (0..16_u32).fold(format!("hex({blob})"), |text, digit| {
        format!("replace({text}, '{digit:X}', '{}')", "x".repeat(digit.count_ones() as usize))
    });
    format!("length({letters})")
}

fn sqlite_facet(name: &str) -> String {
    format!(
        "(SELECT word.text FROM facet JOIN word ON word.id = facet.value
            WHERE facet.session = {{session}} AND facet.name = (SELECT id FROM word WHERE text = '{name}'))"
    )
}

fn sqlite_key(key: Key) -> String {
    match key {
        Key::Facet(name) => sqlite_facet(name).replace("{session}", "engine.session"),
        Key::Steady => "CASE WHEN last - first >= 7 * 86400000 THEN 'seven days and more' ELSE 'less than seven days' END".to_owned(),
        Key::Lived => "CASE WHEN last - first < 600000 THEN 'less than 10 minutes'
            WHEN last - first < 3600000 THEN '10 minutes to an hour'
            WHEN last - first < 86400000 THEN 'an hour to a day'
            ELSE 'a day and more' END".to_owned(),
        Key::HitShare => "(SELECT CASE WHEN total(sums ->> 'interval_num_hit_tokens') + total(sums ->> 'interval_num_stored_tokens') <= 0
                THEN 'no tokens'
                WHEN total(sums ->> 'interval_num_hit_tokens') = 0 THEN 'none'
                WHEN 4 * total(sums ->> 'interval_num_hit_tokens') < total(sums ->> 'interval_num_hit_tokens') + total(sums ->> 'interval_num_stored_tokens') THEN 'below a quarter'
                WHEN 2 * total(sums ->> 'interval_num_hit_tokens') < total(sums ->> 'interval_num_hit_tokens') + total(sums ->> 'interval_num_stored_tokens') THEN 'a quarter to a half'
                ELSE 'half and more' END
            FROM interval WHERE interval.session = engine.session AND interval.day = ?1)".to_owned(),
        Key::CacheLife => "(SELECT CAST(min(upto) AS TEXT) FROM (
                SELECT upto, total(samples) OVER (ORDER BY upto) AS so_far, total(samples) OVER () AS samples
                FROM (SELECT CAST(life.key AS INTEGER) AS upto, total(life.value) AS samples
                    FROM interval, json_each(interval.sums, '$.cache_lifespan_histogram') life
                    WHERE interval.session = engine.session AND interval.day = ?1 GROUP BY 1))
                WHERE samples > 0 AND 2 * so_far >= samples)".to_owned(),
    }
}

/// Devices that one engine sees at most. A made-up number beyond it must not be a table of its own.
pub(crate) const MOST_DEVICES: u32 = 1_024;

fn sqlite_amount(amount: Amount) -> String {
    let devices = format!(
        "min(max(coalesce(CAST({} AS REAL), 0), 0), {MOST_DEVICES})",
        sqlite_facet("accelerators").replace("{session}", "answer.session")
    );
    match amount {
        Amount::Devices => devices,
        Amount::DeviceHours => format!("{devices} * slots / 6.0"),
    }
}
