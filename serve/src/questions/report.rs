//! Makes the report: every figure that a filter leaves, and the sentences above them.

use rusqlite::Connection;

use super::days::{date, last_closed};
use super::numbers::{LIVE, Live, Numbers, Public};
use super::question::QUESTIONS;
use super::source::{Source, Sqlite};
use super::{Figure, Filter, answer, headline};
use crate::store::time::day;

/// The answers to all questions that the filter leaves.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Report {
    /// When the report was made, in milliseconds since 1970.
    pub generated: i64,
    /// The first and the last day that is shown: `2026-11-28`.
    pub days: (String, String),
    /// Sentences that a person would quote.
    pub headline: Vec<String>,
    /// The figures, in the order of the questions.
    pub figures: Vec<Figure>,
    /// The versions that the filter may name.
    pub versions: Vec<String>,
}

/// Makes the report that the public sees. It reads cubes only, so it is quick whatever the number of engines.
///
/// # Errors
///
/// If the database cannot be read.
pub fn report(connection: &Connection, filter: &Filter, now: i64) -> anyhow::Result<Report> {
    made(&Public(connection), filter, last_closed(now), now)
}

/// Makes the report that maintainers see: the last seven days up to today, whatever the window of the filter is, from the
/// rows, under no rule of publication.
///
/// # Errors
///
/// If the database cannot be read.
pub fn live(connection: &Connection, filter: &Filter, now: i64) -> anyhow::Result<Report> {
    live_in(&Sqlite(connection), filter, now)
}

/// Makes the report that maintainers see from the rows of another database.
pub(crate) fn live_in(rows: &dyn Source, filter: &Filter, now: i64) -> anyhow::Result<Report> {
    made(&Live::new(rows), &Filter { window: LIVE, ..filter.clone() }, day(now), now)
}

fn made(numbers: &dyn Numbers, filter: &Filter, last: i64, now: i64) -> anyhow::Result<Report> {
    let first = last.saturating_sub(filter.window.days()).saturating_add(1);
    let asked = QUESTIONS.iter().filter(|question| {
        filter.engine.is_none_or(|engine| engine == question.engine)
            && (filter.version.is_none() || question.table == "versions")
    });
    let mut plain = Vec::new();
    for question in asked {
        plain.push(answer::figure(numbers, question, (first, last))?);
    }
    // The sentences are about all versions.
    let headline = if filter.version.is_none() { headline::sentences(&plain) } else { Vec::new() };
    let versions = answer::versions(&plain);
    let figures = plain.into_iter().map(|figure| answer::filtered(figure, filter)).collect();
    Ok(Report { generated: now, days: (date(first), date(last)), headline, figures, versions })
}
