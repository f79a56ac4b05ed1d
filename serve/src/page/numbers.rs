//! The numbers of a figure as files.

use super::pages::{Content, Kind};
use crate::questions::{Figure, Form, Report};

/// Returns a figure of the report as `csv` or as JSON, `None` if there is no such figure.
pub(crate) fn of(report: &Report, id: &str, form: &str) -> anyhow::Result<Option<Content>> {
    let Some(figure) = report.figures.iter().find(|figure| figure.id == id) else {
        return Ok(None);
    };
    Ok(Some(if form == "csv" {
        Content { kind: Kind::Csv, text: csv(figure) }
    } else {
        Content { kind: Kind::Json, text: serde_json::to_string(figure)? }
    }))
}

/// Writes a figure as CSV: a line for each day if it is over days, else one for each row of the figure.
fn csv(figure: &Figure) -> String {
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
fn text(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    if guard.is_empty() && !text.contains(['"', ',', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_plot_over_days_has_a_line_for_each_day() {
        let csv = csv(&samples::lines(28));
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 29);
        assert_eq!(lines[0], "day,vLLM 0.26,vLLM 0.25,vLLM 0.33,LMCache 0.5,other");
        assert_eq!(lines[1], "2026-10-30,2400,1500,,420,700");
    }

    #[test]
    fn text_of_an_engine_is_no_formula_and_breaks_no_line() {
        let mut figure = samples::bars();
        figure.rows[0].label = "=HYPERLINK(\"x\")".to_owned();
        figure.rows[1].label = "a,b\n\"c\"".to_owned();
        let csv = csv(&figure);
        assert!(csv.contains("\"'=HYPERLINK(\"\"x\"\")\",3420\r\n"), "{csv}");
        assert!(csv.contains("\"a,b\n\"\"c\"\"\",1810\r\n"), "{csv}");
    }
}
