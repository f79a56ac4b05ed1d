//! Reads the numbers of a figure: for the public from the cubes, for maintainers from the rows.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rusqlite::Connection;

use super::cells::cells;
use super::cube::{self, WEEK, measure};
use super::days::monday;
use super::rules::{Cell, rounded};
use super::source::Source;
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
        let mut values = Values::new();
        if let (Some(first), Some(last)) = (columns.first(), columns.last()) {
            cube::published(self.0, (&question, engine), (*first, *last), |day, cell, amount| {
                let amount = rounded(amount);
                match values.get_mut(cell) {
                    Some(days) => days.insert(day, amount),
                    None => values.entry(cell.to_owned()).or_default().insert(day, amount),
                };
            })?;
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

/// The cells of some days.
type OfDays = Rc<Vec<(i64, Vec<Cell>)>>;
/// The same by table, engine and these days.
type Counted = BTreeMap<(&'static str, Engine, Vec<i64>), OfDays>;

/// The numbers that maintainers see: every cell of the last days, as it is counted now.
pub(crate) struct Live<'s> {
    rows: &'s dyn Source,
    /// The cells of the figures before, because several figures show the same table.
    counted: RefCell<Counted>,
}

impl<'s> Live<'s> {
    pub(crate) fn new(rows: &'s dyn Source) -> Self {
        Self { rows, counted: RefCell::default() }
    }

    fn cells(&self, table: &Table, engine: Engine, days: &[i64]) -> anyhow::Result<OfDays> {
        let key = (table.id, engine, days.to_vec());
        if let Some(known) = self.counted.borrow().get(&key) {
            return Ok(Rc::clone(known));
        }
        let groups = self.rows.of_days(table, engine, days)?.into_iter();
        // Networks count fully.
        let days = groups.map(|(day, groups)| (day, cells(table, &groups, &Weights::default())));
        let days = Rc::new(days.collect());
        self.counted.borrow_mut().insert(key, Rc::clone(&days));
        Ok(days)
    }
}

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
        for (day, cells) in &*self.cells(table, engine, columns)? {
            for cell in cells {
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
