//! Makes the report.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::days::{date, last_closed};
use super::question::{QUESTIONS, Question};
use super::source::versions;
use super::{Figure, Filter, Row};

/// The answers to all questions that the filter leaves.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Report {
    /// When the report was made, in milliseconds since 1970.
    pub generated: i64,
    /// The first and the last day that is shown: `2026-11-28`.
    pub days: (String, String),
    /// What a person would quote, a sentence each.
    pub headline: Vec<String>,
    /// The figures, in the order of the questions.
    pub figures: Vec<Figure>,
    /// The versions that the filter may name.
    pub versions: Vec<String>,
}

/// Makes the report that the public sees.
///
/// # Errors
///
/// If the database cannot be read.
pub fn report(connection: &Connection, filter: &Filter, now: i64) -> anyhow::Result<Report> {
    let last = last_closed(now);
    let first = last.saturating_sub(filter.window.days()).saturating_add(1);
    let mut figures = Vec::new();
    for question in QUESTIONS {
        if filter.engine.is_none_or(|engine| engine == question.engine) {
            figures.push(figure(connection, question, (first, last))?);
        }
    }
    Ok(Report {
        generated: now,
        days: (date(first), date(last)),
        headline: Vec::new(),
        figures,
        versions: Vec::new(),
    })
}

fn figure(
    connection: &Connection,
    question: &Question,
    (first, last): (i64, i64),
) -> anyhow::Result<Figure> {
    let mut rows: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    let mut totals = Vec::new();
    for (at, day) in (first..=last).enumerate() {
        let mut total = None;
        for group in versions(connection, question.engine, day)? {
            let version = group.value.as_deref().unwrap_or("version not reported");
            let label = format!("{} {version}", group.contract);
            let count = f64::from(i32::try_from(group.engines)?);
            let row = rows.entry(label).or_default();
            row.resize(at.saturating_add(1), None);
            if let Some(value) = row.get_mut(at) {
                *value = Some(value.unwrap_or(0.0) + count);
            }
            total = Some(total.unwrap_or(0.0) + count);
        }
        totals.push(total);
    }
    for row in rows.values_mut() {
        row.resize(totals.len(), None);
    }
    Ok(Figure {
        id: question.id,
        engine: question.engine,
        title: question.title,
        sentence: question.sentence,
        denominator: question.denominator,
        unit: question.unit,
        form: question.form,
        columns: (first..=last).map(date).collect(),
        rows: rows.into_iter().map(|(label, values)| Row { label, values }).collect(),
        totals,
    })
}
