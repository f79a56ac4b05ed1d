//! The questions, over rows that a test writes down.

use otel_usage_serve::questions::{Filter, Window, report};

use crate::fleet::{DAY, Engine, empty, write};

#[test]
fn served_engines_are_counted_by_day_and_version() {
    let store = empty();
    let engine = |version: &str, slots| Engine {
        contract: "vllm/current",
        facets: vec![("version", version.to_owned())],
        days: vec![(20_000, Some(1)), (20_001, Some(1))],
        slots,
    };
    // An engine with two slots in all is not served.
    write(
        &store,
        &[engine("0.11.0", 6), engine("0.11.0", 100), engine("0.10.2", 6), engine("0.11.0", 1)],
    );
    let filter = Filter { window: Window::Week, ..Filter::default() };
    let report = report(&store, &filter, 20_004 * DAY).unwrap();
    let figure = report.figures.iter().find(|figure| figure.id == "vllm-versions").unwrap();
    assert_eq!(figure.columns.last().map(String::as_str), Some("2024-10-05"));
    let rows: Vec<_> = figure.rows.iter().map(|row| (row.label.as_str(), row.values[6])).collect();
    assert_eq!(rows, [("vllm/current 0.10.2", Some(1.0)), ("vllm/current 0.11.0", Some(2.0))]);
}
