//! The cubes: answers for closed days, as rows of the store. The rules have decided which of them are published.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::Engine;
use super::label::Label;
use super::rules::Cell;
use super::support::Support;
use super::table::{Amount, Table};

/// The end of a question's name in the cubes: a table without free text is of a day, and one with it of a week.
pub(crate) const WEEK: &str = ".week";

/// A row of the cubes: one measure of one cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CubeRow {
    pub(crate) question: String,
    pub(crate) day: i64,
    pub(crate) engine: Engine,
    pub(crate) cell: String,
    pub(crate) engines: f64,
    pub(crate) amount: f64,
    pub(crate) origins: i64,
    /// Thousandths.
    pub(crate) largest: i64,
    pub(crate) published: bool,
}

/// Returns the names of a table's measures in the cubes, engines first.
pub(crate) fn measures(table: &Table, grain: &str) -> Vec<String> {
    let amounts = table.amounts.iter().map(|amount| measure(*amount));
    ["engines"].into_iter().chain(amounts).map(|m| format!("{}{grain}/{m}", table.id)).collect()
}

/// Returns the name of an amount.
pub(crate) const fn measure(amount: Amount) -> &'static str {
    match amount {
        Amount::Devices => "devices",
        Amount::DeviceHours => "device-hours",
    }
}

/// Returns the name of a cell in the cubes.
pub(crate) fn name(parent: Option<&str>, label: Option<&str>) -> String {
    match (parent, label) {
        (None, _) => "other".to_owned(),
        (Some(parent), Some("")) => parent.to_owned(),
        (Some(parent), label) => format!("{parent} / {}", label.unwrap_or("other")),
    }
}

/// Returns the label of a cell in the cubes.
pub(crate) fn label(name: &str) -> Label {
    match name.split_once(" / ") {
        None if name == "other" => Label { parent: None, label: None },
        None => Label { parent: Some(name.to_owned()), label: Some(String::new()) },
        Some((parent, label)) => Label {
            parent: Some(parent.to_owned()),
            label: Some(label.to_owned()).filter(|label| label != "other"),
        },
    }
}

/// Returns the rows of a cell.
pub(crate) fn rows(
    (table, grain): (&Table, &str),
    (engine, day): (Engine, i64),
    cell: &Cell,
    published: bool,
) -> Vec<CubeRow> {
    let of = |(at, question): (usize, String)| {
        let (amount, largest) = (cell.support.amount(at), cell.support.largest(at));
        CubeRow {
            question,
            day,
            engine,
            cell: name(cell.parent.as_deref(), cell.label.as_deref()),
            engines: cell.support.engines,
            amount,
            origins: i64::try_from(cell.support.origins()).unwrap_or(i64::MAX),
            largest: thousandths(largest, amount),
            published,
        }
    };
    measures(table, grain).into_iter().enumerate().map(of).collect()
}

/// Returns a share in thousandths, rounded up, because it is a bound.
#[expect(clippy::cast_possible_truncation, reason = "a share")]
pub(crate) fn thousandths(part: f64, whole: f64) -> i64 {
    if whole > 0.0 { (1_000.0 * part / whole).ceil() as i64 } else { 0 }
}

/// Writes rows. A row that is there is replaced.
pub(crate) fn write<'r>(
    connection: &Connection,
    rows: impl Iterator<Item = &'r CubeRow>,
    revision: i64,
) -> anyhow::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO cube
        (question, day, contract, cell, engines, amount, origins, largest, published, revision)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for row in rows {
        insert.execute(params![
            row.question,
            row.day,
            row.engine.id(),
            row.cell,
            row.engines,
            row.amount,
            row.origins,
            row.largest,
            row.published,
            revision
        ])?;
    }
    Ok(())
}

/// The cubes that are there. The close of a day looks at those of the days before.
pub(crate) trait Cubes {
    /// Returns the rows of a question from the first to the last day, by day and cell.
    fn rows(
        &self,
        question: &str,
        engine: Engine,
        days: (i64, i64),
    ) -> anyhow::Result<Vec<CubeRow>>;
}

impl Cubes for Connection {
    fn rows(
        &self,
        question: &str,
        engine: Engine,
        days: (i64, i64),
    ) -> anyhow::Result<Vec<CubeRow>> {
        read(self, (question, engine), days)
    }
}

/// Returns the rows of a question from `first` to `last`, by day and cell.
pub(crate) fn read(
    connection: &Connection,
    (question, engine): (&str, Engine),
    (first, last): (i64, i64),
) -> anyhow::Result<Vec<CubeRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT day, cell, engines, amount, origins, largest, published FROM cube
        WHERE question = ?1 AND day BETWEEN ?2 AND ?3 AND contract = ?4 ORDER BY day, cell",
    )?;
    let rows = statement.query_map(params![question, first, last, engine.id()], |row| {
        Ok(CubeRow {
            question: question.to_owned(),
            day: row.get(0)?,
            engine,
            cell: row.get(1)?,
            engines: row.get(2)?,
            amount: row.get(3)?,
            origins: row.get(4)?,
            largest: row.get(5)?,
            published: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Calls `take` with day, cell and amount of each published row of a question from `first` to `last`, by day and cell.
pub(crate) fn published(
    connection: &Connection,
    (question, engine): (&str, Engine),
    (first, last): (i64, i64),
    mut take: impl FnMut(i64, &str, f64),
) -> anyhow::Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT day, cell, amount FROM cube
        WHERE question = ?1 AND day BETWEEN ?2 AND ?3 AND contract = ?4 AND published ORDER BY day, cell",
    )?;
    let mut rows = statement.query(params![question, first, last, engine.id()])?;
    while let Some(row) = rows.next()? {
        take(row.get(0)?, row.get_ref(1)?.as_str()?, row.get(2)?);
    }
    Ok(())
}

/// The content of the cubes, by cell and day.
pub(crate) type Days = BTreeMap<i64, BTreeMap<String, Support>>;

/// Returns the support of each cell of a table, by day, as far as the cubes know it.
pub(crate) fn supports(
    cubes: &dyn Cubes,
    (table, grain): (&Table, &str),
    engine: Engine,
    days: (i64, i64),
    published: bool,
) -> anyhow::Result<Days> {
    let mut rows = Vec::new();
    for question in measures(table, grain) {
        rows.extend(cubes.rows(&question, engine, days)?);
    }
    Ok(of_rows(rows.iter().filter(|row| row.published == published)))
}

/// Returns what rows of one table and engine say, measure by measure.
pub(crate) fn of_rows<'r>(rows: impl Iterator<Item = &'r CubeRow>) -> Days {
    // By day and cell: engines, networks, and each measure with its largest part.
    type Found = (f64, usize, Vec<f64>, Vec<f64>);
    let mut found: BTreeMap<i64, BTreeMap<String, Found>> = BTreeMap::new();
    for row in rows {
        let cell = found.entry(row.day).or_default().entry(row.cell.clone()).or_default();
        cell.0 = row.engines;
        cell.1 = usize::try_from(row.origins).unwrap_or(0);
        cell.2.push(row.amount);
        // Thousandths of a few networks.
        cell.3
            .push(row.amount * f64::from(i32::try_from(row.largest).unwrap_or(i32::MAX)) / 1_000.0);
    }
    let support = |(engines, origins, amounts, largest): Found| {
        Support::bounds(engines, amounts, origins, largest)
    };
    found
        .into_iter()
        .map(|(day, cells)| {
            (day, cells.into_iter().map(|(name, found)| (name, support(found))).collect())
        })
        .collect()
}
