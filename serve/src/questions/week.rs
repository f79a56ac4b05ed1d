//! Publishes tables of free text for a week, from its closed days.

use std::collections::BTreeMap;

use super::Engine;
use super::cube::{self, CubeRow, Cubes, WEEK};
use super::label::Label;
use super::rules::{Cell, Rules, publish};
use super::support::Support;
use super::table::{Privacy, TABLES, Table};

/// Returns the rows of the week that ends with the day whose rows are given. A week of which a day is missing is not
/// published, because its numbers would be those of fewer days.
pub(crate) fn week(
    cubes: &dyn Cubes,
    rules: &Rules,
    sunday: i64,
    today: &[CubeRow],
) -> anyhow::Result<Vec<CubeRow>> {
    let monday = sunday.saturating_sub(6);
    let mut rows = Vec::new();
    for engine in Engine::ALL {
        for table in TABLES.iter().filter(|table| table.engines.contains(&engine)) {
            if table.privacy != Privacy::FreeText {
                continue;
            }
            let before = (monday, sunday.saturating_sub(1));
            let mut days = cube::supports(cubes, (table, ""), engine, before, false)?;
            days.extend(last(table, engine, today));
            if days.len() < 7 {
                continue;
            }
            for block in publish(rules, &mean(days.into_values())) {
                rows.extend(cube::rows((table, WEEK), (engine, monday), &block, true));
            }
        }
    }
    Ok(rows)
}

/// Returns what the rows of the last day say about a table.
fn last(table: &Table, engine: Engine, today: &[CubeRow]) -> cube::Days {
    let measures = cube::measures(table, "");
    let of_table = |row: &&CubeRow| row.engine == engine && measures.contains(&row.question);
    cube::of_rows(today.iter().filter(of_table))
}

/// Returns the mean of seven days. At least as many engines and networks stand behind a week as behind its best day.
fn mean(days: impl Iterator<Item = BTreeMap<String, Support>>) -> Vec<Cell> {
    let mut cells: BTreeMap<String, (f64, Support)> = BTreeMap::new();
    for (name, support) in days.flatten() {
        let (engines, sum) = cells.entry(name).or_default();
        *engines = engines.max(support.engines);
        sum.join(&support);
    }
    let cell = |(name, (engines, sum)): (String, (f64, Support))| {
        let Label { parent, label } = cube::label(&name);
        Cell { parent, label, support: sum.mean_of_week(engines) }
    };
    cells.into_iter().map(cell).collect()
}
