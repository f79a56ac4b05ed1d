//! Says in words what a plot shows, for people who do not see it.

use super::scale::{day, value};
use crate::questions::{Figure, Form, Row};

/// Rows that are described. The table has all.
const DESCRIBED: usize = 5;

pub(super) fn describe(figure: &Figure) -> String {
    let rows = figure.rows.iter().take(DESCRIBED);
    let described: Vec<String> = match figure.form {
        Form::Line | Form::Stack => rows.filter_map(|row| course(figure, row)).collect(),
        Form::Bars => rows.filter_map(|row| all(figure, row)).collect(),
        Form::Strip => rows.filter_map(|row| all(figure, row)).collect(),
    };
    let more = figure.rows.len().saturating_sub(DESCRIBED);
    let more = if more > 0 { format!(" {more} more in the table.") } else { String::new() };
    let unit = if figure.unit == "%" { "Percent" } else { figure.unit };
    format!("{unit}, of {}. {}.{more}", figure.denominator, described.join("; "))
}

/// The first and the last value of a row.
fn course(figure: &Figure, row: &Row) -> Option<String> {
    let mut known =
        figure.columns.iter().zip(&row.values).filter_map(|(day, value)| Some((day, (*value)?)));
    let (from, first) = known.next()?;
    let (to, last) = known.next_back().unwrap_or((from, first));
    let (first, last) = (value(first, figure.unit), value(last, figure.unit));
    Some(format!("{}: {first} on {}, {last} on {}", row.label, day(from), day(to)))
}

/// Every value of a row, with its column if it has a name.
fn all(figure: &Figure, row: &Row) -> Option<String> {
    let known = figure.columns.iter().zip(&row.values);
    let known: Vec<String> = known
        .filter_map(|(column, amount)| {
            let amount = value((*amount)?, figure.unit);
            Some(if column.is_empty() { amount } else { format!("{column} {amount}") })
        })
        .collect();
    (!known.is_empty()).then(|| format!("{} {}", row.label, known.join(", ")))
}
