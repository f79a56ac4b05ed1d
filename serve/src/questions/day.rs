//! Counts a day: answers of a database, cells, rules, rows of the cubes. Nothing is written here, and the database may be
//! any that answers.

use super::Engine;
use super::cells::cells;
use super::cube::{self, CubeRow, Cubes};
use super::days::monday;
use super::overlap;
use super::rules::{Cell, Rules, publish};
use super::source::{Source, Which};
use super::support::Network;
use super::table::{Population, Privacy, TABLES, Table};
use super::week::week;
use super::weigh::Weights;

/// A day that is counted.
#[derive(Debug, Default)]
pub(crate) struct Day {
    /// Every cell with its verdict. Of two rows of one cell the last one holds.
    pub(crate) rows: Vec<CubeRow>,
    /// The weight of a start of each network, where it is less than one.
    pub(crate) starts: Vec<(Engine, Network, f64)>,
}

/// Counts a day that is to be closed, and the week that ends with it.
pub(crate) fn count(
    source: &dyn Source,
    cubes: &dyn Cubes,
    rules: &Rules,
    day: i64,
) -> anyhow::Result<Day> {
    let mut counted = Day::default();
    for engine in Engine::ALL {
        let mut tables: Vec<(&'static Table, Vec<Cell>)> = Vec::new();
        for table in TABLES.iter().filter(|table| table.engines.contains(&engine)) {
            let groups = source.groups(table, engine, day, Which::All)?;
            let weights = match table.population {
                // The start has decided what these count.
                Population::StartedBefore(_) => Weights::default(),
                _ => Weights::on_time(table, &groups),
            };
            tables.push((table, cells(table, &groups, &weights)));
            if table.population == Population::Started {
                let less = weights.cut().map(|(network, weight)| (engine, network, weight));
                counted.starts.extend(less);
            }
        }
        for (table, cells) in &tables {
            let at = match table.population {
                Population::StartedBefore(days) => day.saturating_sub(days),
                _ => day,
            };
            // A published cell replaces a withheld one of the same name, which is *other*.
            for cell in cells {
                counted.rows.extend(cube::rows((table, ""), (engine, at), cell, false));
            }
            if table.privacy == Privacy::FreeText {
                continue;
            }
            for block in publish(rules, cells) {
                if overlap::allows(cubes, rules, (table, &block), (engine, day), &tables)? {
                    counted.rows.extend(cube::rows((table, ""), (engine, at), &block, true));
                }
            }
        }
    }
    if monday(day.saturating_add(1)) > day {
        let rows = week(cubes, rules, day, &counted.rows)?;
        counted.rows.extend(rows);
    }
    Ok(counted)
}
