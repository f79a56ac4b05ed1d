//! Counts the engines of a closed day that were first heard of after its close.
//!
//! A revision adds them as a table of their own that obeys the rules, and is not made before they do. So the difference
//! of two revisions is again a union of cells that each obey the rules. A table in which one of them would need a cell
//! that the close did not publish is left as it is, because a revision opens no cell.

use std::collections::BTreeMap;

use super::Engine;
use super::cells::cells;
use super::cube::{self, CubeRow, Cubes, WEEK};
use super::days::monday;
use super::rules::{Cell, Rules, publish, rounded};
use super::source::{Source, Which};
use super::support::Support;
use super::table::{Population, Privacy, TABLES, Table};
use super::weigh::Weights;

/// A change of a closed day.
#[derive(Debug)]
pub(crate) struct Revision {
    /// The reason that the public is told.
    pub(crate) reason: String,
    /// The rows that replace those of the cubes.
    pub(crate) rows: Vec<CubeRow>,
}

/// Counts the late engines of a day. Returns `None` as long as they do not obey the rules.
pub(crate) fn count(
    source: &dyn Source,
    cubes: &dyn Cubes,
    rules: &Rules,
    (engine, day): (Engine, i64),
    closed: i64,
) -> anyhow::Result<Option<Revision>> {
    let (mut rows, mut late) = (Vec::new(), 0.0);
    for table in TABLES.iter().filter(|table| table.engines.contains(&engine)) {
        if table.population != Population::Served {
            // The start of a late engine is told by a later day's numbers too; it is left out.
            continue;
        }
        let to = Corrected::of(cubes, (table, engine, day), closed)?;
        if to.known.is_empty() {
            // The close withheld the whole table.
            continue;
        }
        let groups = source.groups(table, engine, day, Which::Late)?;
        let cells = cells(table, &groups, &Weights::late(&groups, &to.amounts()));
        let mut all = Support::default();
        cells.iter().for_each(|cell| all.join(&cell.support));
        if !rules.allow(&all) {
            return Ok(None);
        }
        late = all.engines;
        rows.extend(to.added(rules, &cells));
    }
    if late == 0.0 {
        return Ok(None);
    }
    // The engines of one network count only up to a bound, so this is no number of engines.
    let reason = format!("late engines of {}, counted as {:.0}", engine.title(), rounded(late));
    Ok(Some(Revision { reason, rows }))
}

/// A table of the cubes that late engines are added to.
struct Corrected {
    table: &'static Table,
    engine: Engine,
    grain: &'static str,
    at: i64,
    /// Days whose mean it is.
    days: f64,
    published: bool,
    known: BTreeMap<String, Support>,
}

impl Corrected {
    fn of(
        cubes: &dyn Cubes,
        (table, engine, day): (&'static Table, Engine, i64),
        closed: i64,
    ) -> anyhow::Result<Self> {
        let monday = monday(day);
        let week_is_closed = closed >= monday.saturating_add(6);
        let (grain, at, days, published) = match table.privacy {
            Privacy::Closed => ("", day, 1.0, true),
            Privacy::FreeText if week_is_closed => (WEEK, monday, 7.0, true),
            // No number of the day is published, so the late engines are just counted.
            Privacy::FreeText => ("", day, 1.0, false),
        };
        let known = cube::supports(cubes, (table, grain), engine, (at, at), published)?;
        let known = known.into_values().next().unwrap_or_default();
        Ok(Self { table, engine, grain, at, days, published, known })
    }

    /// Returns the amounts of all cells: engines first.
    fn amounts(&self) -> Vec<f64> {
        let mut all = Support::default();
        self.known.values().for_each(|cell| all.join(cell));
        (0..=self.table.amounts.len()).map(|at| all.amount(at)).collect()
    }

    /// Returns the rows with late cells added; none if a cell would be opened.
    fn added(mut self, rules: &Rules, cells: &[Cell]) -> Vec<CubeRow> {
        let cells = if self.published {
            publish(rules, &relabelled(cells, &self.known))
        } else {
            cells.to_vec()
        };
        let name = |cell: &Cell| cube::name(cell.parent.as_deref(), cell.label.as_deref());
        if self.published && !cells.iter().all(|cell| self.known.contains_key(&name(cell))) {
            return Vec::new();
        }
        let mut rows = Vec::new();
        for cell in cells {
            let mut support = self.known.remove(&name(&cell)).unwrap_or_default();
            support.join(&cell.support.clone().divided(self.days));
            let (of, at) = ((self.table, self.grain), (self.engine, self.at));
            rows.extend(cube::rows(of, at, &Cell { support, ..cell }, self.published));
        }
        rows
    }
}

/// Moves late engines to cells that were published at the close.
fn relabelled(cells: &[Cell], known: &BTreeMap<String, Support>) -> Vec<Cell> {
    let relabel = |cell: &Cell| {
        let has = |parent: &Option<String>, label: Option<&str>| {
            known.contains_key(&cube::name(parent.as_deref(), label))
        };
        let mut cell = cell.clone();
        if !has(&cell.parent, cell.label.as_deref()) {
            cell.label = None;
            if !has(&cell.parent, None) {
                cell.parent = None;
            }
        }
        cell
    };
    cells.iter().map(relabel).collect()
}
