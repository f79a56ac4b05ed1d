//! The numbers of a figure as files.

use super::pages::{Content, Kind};
use crate::questions::{Report, csv};

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
        let areas = samples::stack(28);
        let csv = super::csv(&areas);
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!((lines.len(), lines[0].matches(',').count()), (29, areas.rows.len()), "{csv}");
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
