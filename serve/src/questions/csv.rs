//! The numbers of a figure as CSV.

use super::{Figure, Form};

/// Writes a figure as CSV: a line for each day if it is over days, else one for each row of the figure.
#[must_use]
pub fn csv(figure: &Figure) -> String {
    let mut lines = Vec::new();
    let amount = |value: Option<&Option<f64>>| {
        value.copied().flatten().map_or_else(String::new, |value| value.to_string())
    };
    if matches!(figure.form, Form::Line | Form::Stack) {
        let labels = figure.rows.iter().map(|row| text(&row.label));
        lines.push(["day".to_owned()].into_iter().chain(labels).collect::<Vec<_>>());
        for (column, day) in figure.columns.iter().enumerate() {
            let amounts = figure.rows.iter().map(|row| amount(row.values.get(column)));
            lines.push([text(day)].into_iter().chain(amounts).collect());
        }
    } else {
        let columns = figure.columns.iter().map(|column| match column.as_str() {
            "" => text(figure.unit),
            column => text(column),
        });
        lines.push([text(figure.id)].into_iter().chain(columns).collect());
        for row in &figure.rows {
            let amounts = row.values.iter().map(|value| amount(Some(value)));
            lines.push([text(&row.label)].into_iter().chain(amounts).collect());
        }
    }
    lines.into_iter().map(|line| line.join(",") + "\r\n").collect()
}

/// Writes a text as a cell. A spreadsheet runs a cell that begins with one of four signs as a formula, and engines
/// decide some texts, so such a cell begins with an apostrophe.
pub(crate) fn text(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    if guard.is_empty() && !text.contains(['"', ',', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}
