//! The changes of a close or a correction to the file of the server that publishes. They can be written down as JSON and
//! made again from it, so that another file gets the same numbers.

use anyhow::{Context as _, bail};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Engine;
use super::counted::{CLOSED, Seen, seen};
use super::cube::{self, CubeRow};

/// A numbered correction of a closed day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revised {
    pub(crate) number: i64,
    pub(crate) day: i64,
    pub(crate) time: i64,
    pub(crate) reason: String,
}

/// Changes of the published numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Changes {
    /// The last closed day after them.
    pub(crate) closed: i64,
    /// The last correction after them. -1 stands for rows of one of the days up to `closed`, of a file whose first changes
    /// are not written down.
    pub(crate) number: i64,
    pub(crate) revised: Vec<Revised>,
    /// Rows of the cubes, each with the number of its correction, or 0.
    pub(crate) rows: Vec<(i64, CubeRow)>,
}

/// The changes as JSON.
#[derive(Serialize, Deserialize)]
struct Written {
    revised: Vec<Revised>,
    rows: Vec<Row>,
}

/// Question, day, engine, cell, engines, amount, networks, thousandths of the largest, published, correction. A number
/// that is no integer is read as it was written, to the last digit.
#[derive(Serialize, Deserialize)]
struct Row(String, i64, String, String, Box<RawValue>, Box<RawValue>, i64, i64, bool, i64);

impl Changes {
    /// Returns the changes as JSON.
    pub(crate) fn to_json(&self) -> anyhow::Result<String> {
        let raw = |number: f64| serde_json::value::to_raw_value(&number);
        let rows = self.rows.iter().map(|(number, row)| {
            Ok(Row(
                row.question.clone(),
                row.day,
                row.engine.id().to_owned(),
                row.cell.clone(),
                raw(row.engines)?,
                raw(row.amount)?,
                row.origins,
                row.largest,
                row.published,
                *number,
            ))
        });
        let rows = rows.collect::<anyhow::Result<_>>()?;
        Ok(serde_json::to_string(&Written { revised: self.revised.clone(), rows })?)
    }

    /// Reads changes after which `closed` and `number` are the last.
    pub(crate) fn from_json((closed, number): (i64, i64), text: &str) -> anyhow::Result<Self> {
        let Written { revised, rows } = serde_json::from_str(text)?;
        let rows = rows.into_iter().map(|row| {
            let Row(question, day, id, cell, engines, amount, origins, largest, published, number) =
                row;
            let engine = Engine::from_id(&id).with_context(|| format!("{id}: no engine"))?;
            let (engines, amount) = (engines.get().parse()?, amount.get().parse()?);
            let row = CubeRow {
                question,
                day,
                engine,
                cell,
                engines,
                amount,
                origins,
                largest,
                published,
            };
            Ok((number, row))
        });
        Ok(Self { closed, number, revised, rows: rows.collect::<anyhow::Result<_>>()? })
    }

    /// Writes the changes into a file.
    pub(crate) fn write(&self, connection: &Connection) -> anyhow::Result<()> {
        for rows in self.rows.chunk_by(|(one, _), (next, _)| one == next) {
            let number = rows.first().map_or(0, |(number, _)| *number);
            cube::write(connection, rows.iter().map(|(_, row)| row), number)?;
        }
        let insert =
            "INSERT OR REPLACE INTO revision (number, day, time, reason) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = connection.prepare_cached(insert)?;
        for Revised { number, day, time, reason } in &self.revised {
            insert.execute(params![number, day, time, reason])?;
        }
        let set = "INSERT INTO meta (key, value) VALUES (?1, ?2)
            ON CONFLICT DO UPDATE SET value = max(value, excluded.value)";
        connection.execute(set, params![CLOSED, self.closed])?;
        Ok(())
    }

    /// Removes what a file knows of closed days, so that changes can be written from the first one.
    pub(crate) fn clear(connection: &Connection) -> anyhow::Result<()> {
        connection.execute_batch("DELETE FROM cube; DELETE FROM revision")?;
        connection.execute("DELETE FROM meta WHERE key = ?1", [CLOSED])?;
        Ok(())
    }
}

/// Returns the days of which a file has rows of the cubes.
pub(crate) fn days(connection: &Connection) -> anyhow::Result<Vec<i64>> {
    let mut days = connection.prepare("SELECT DISTINCT day FROM cube ORDER BY day")?;
    Ok(days.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Returns the rows of a day as changes.
pub(crate) fn of_day(connection: &Connection, day: i64) -> anyhow::Result<Changes> {
    let mut select = connection.prepare_cached(
        "SELECT revision, question, contract, cell, engines, amount, origins, largest, published FROM cube
        WHERE day = ?1 ORDER BY revision, question, contract, cell",
    )?;
    let mut found = select.query([day])?;
    let mut changes = Changes { closed: day, number: -1, ..Changes::default() };
    while let Some(row) = found.next()? {
        let id: String = row.get(2)?;
        let Some(engine) = Engine::from_id(&id) else { bail!("{id}: no engine") };
        let cube = CubeRow {
            question: row.get(1)?,
            day,
            engine,
            cell: row.get(3)?,
            engines: row.get(4)?,
            amount: row.get(5)?,
            origins: row.get(6)?,
            largest: row.get(7)?,
            published: row.get(8)?,
        };
        changes.rows.push((row.get(0)?, cube));
    }
    Ok(changes)
}

/// Returns the corrections of a file as changes. `None` if no day is closed.
pub(crate) fn of_corrections(connection: &Connection) -> anyhow::Result<Option<Changes>> {
    let (Some(closed), number): Seen = seen(connection)? else { return Ok(None) };
    let mut select =
        connection.prepare("SELECT number, day, time, reason FROM revision ORDER BY number")?;
    let revised = select.query_map([], |row| {
        Ok(Revised {
            number: row.get(0)?,
            day: row.get(1)?,
            time: row.get(2)?,
            reason: row.get(3)?,
        })
    })?;
    let revised = revised.collect::<Result<_, _>>()?;
    Ok(Some(Changes { closed, number, revised, rows: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_they_were_written_to_the_last_digit() {
        let row = |amount| CubeRow {
            question: "versions/engines".to_owned(),
            day: 7,
            engine: Engine::Lmcache,
            cell: "lmcache/1 / \"0.5\"".to_owned(),
            engines: 30.0,
            amount,
            origins: 3,
            largest: 334,
            published: true,
        };
        let revised = Revised { number: 2, day: 7, time: 1_000, reason: "late".to_owned() };
        // A quick parser of numbers is off by a digit here.
        let rows =
            vec![(0, row(2.0 / 3.0)), (2, row(0.1 + 0.2)), (2, row(9_007_199_254_740_993.0))];
        let changes = Changes { closed: 9, number: 2, revised: vec![revised], rows };
        let text = changes.to_json().unwrap();
        assert_eq!(Changes::from_json((9, 2), &text).unwrap(), changes);
    }
}
