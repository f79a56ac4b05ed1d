//! Reads the numbers of a figure: for the public from the cubes, for maintainers from the rows.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::cells::cells;
use super::cube::{self, WEEK, measure};
use super::days::monday;
use super::rules::rounded;
use super::source::{Source, Which};
use super::table::{Privacy, Table};
use super::weigh::Weights;
use super::{Engine, Window};

/// Values by cell and day.
pub(crate) type Values = BTreeMap<String, BTreeMap<i64, f64>>;

/// Where numbers come from.
pub(crate) trait Numbers {
    /// Returns the days of columns from `first` to `last`: every day, or the Mondays of whole weeks.
    fn columns(&self, table: &Table, days: (i64, i64)) -> Vec<i64>;

    /// Returns the values of a measure.
    fn values(
        &self,
        table: &Table,
        engine: Engine,
        measure: &str,
        columns: &[i64],
    ) -> anyhow::Result<Values>;

    /// Returns whether a day has ended, and `later` more days after it. `last` is the last day that is shown.
    fn is_over(&self, day: i64, later: i64, last: i64) -> bool;

    /// Returns the value of a cell that a column does not have.
    fn absent(&self) -> Option<f64>;

    /// Makes a number ready to be shown.
    fn shown(&self, value: f64) -> f64;
}

/// The numbers that the public sees: of closed days and published cells, rounded.
pub(crate) struct Public<'c>(pub(crate) &'c Connection);

impl Numbers for Public<'_> {
    fn columns(&self, table: &Table, (first, last): (i64, i64)) -> Vec<i64> {
        match table.privacy {
            Privacy::Closed => (first..=last).collect(),
            Privacy::FreeText => {
                // Whole weeks, and at least one.
                let end = monday(last.saturating_add(1));
                let weeks = last.saturating_sub(first).saturating_add(1).div_euclid(7).max(1);
                (1..=weeks).rev().map(|week| end.saturating_sub(week.saturating_mul(7))).collect()
            }
        }
    }

    fn values(
        &self,
        table: &Table,
        engine: Engine,
        measure: &str,
        columns: &[i64],
    ) -> anyhow::Result<Values> {
        let grain = if table.privacy == Privacy::FreeText { WEEK } else { "" };
        let question = format!("{}{grain}/{measure}", table.id);
        let (Some(first), Some(last)) = (columns.first(), columns.last()) else {
            return Ok(Values::new());
        };
        let mut values = Values::new();
        for row in cube::read(self.0, (&question, engine), (*first, *last))? {
            if row.published {
                values.entry(row.cell).or_default().insert(row.day, rounded(row.amount));
            }
        }
        Ok(values)
    }

    fn is_over(&self, _: i64, _: i64, _: i64) -> bool {
        // A day is closed two days after its end, and the lives that are asked for are a day at most.
        true
    }

    fn absent(&self) -> Option<f64> {
        // It may be withheld.
        None
    }

    fn shown(&self, value: f64) -> f64 {
        rounded(value)
    }
}

/// The window that maintainers see. It is the shortest, because each day is counted from the rows for each page.
pub(crate) const LIVE: Window = Window::Week;

/// The numbers that maintainers see: every cell of the last days, as it is counted now.
pub(crate) struct Live<'s>(pub(crate) &'s dyn Source);

impl Numbers for Live<'_> {
    fn columns(&self, _: &Table, (first, last): (i64, i64)) -> Vec<i64> {
        (first.max(last.saturating_sub(LIVE.days()).saturating_add(1))..=last).collect()
    }

    fn is_over(&self, day: i64, later: i64, last: i64) -> bool {
        day.saturating_add(later) < last
    }

    fn values(
        &self,
        table: &Table,
        engine: Engine,
        name: &str,
        columns: &[i64],
    ) -> anyhow::Result<Values> {
        let at = table.amounts.iter().position(|amount| measure(*amount) == name);
        let at = at.map_or(0, |at| at.saturating_add(1));
        let mut values = Values::new();
        for day in columns {
            let groups = self.0.groups(table, engine, *day, Which::All)?;
            // Networks count fully.
            for cell in cells(table, &groups, &Weights::default()) {
                let name = cube::name(cell.parent.as_deref(), cell.label.as_deref());
                values.entry(name).or_default().insert(*day, cell.support.amount(at));
            }
        }
        Ok(values)
    }

    fn absent(&self) -> Option<f64> {
        Some(0.0)
    }

    fn shown(&self, value: f64) -> f64 {
        value
    }
}
