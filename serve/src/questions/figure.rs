//! The answer to a question, as the page, JSON and CSV show it.

use super::Engine;

/// The form of a plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A line for each row, over days.
    Line,
    /// Areas on top of each other, over days.
    Stack,
    /// A horizontal bar for each row; each has one value.
    Bars,
    /// A heat strip for each row, over the columns.
    Strip,
}

/// The answer to one question over one window. Each number has gone through the rules of publication, except on the
/// maintainers' listener.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Figure {
    /// Stable name, which stands in addresses: `accelerators`.
    pub id: &'static str,
    /// Whose engines are counted.
    pub engine: Engine,
    /// The heading.
    pub title: &'static str,
    /// Says in one or two sentences what is counted, and how.
    pub sentence: &'static str,
    /// Of what: `served engines of vLLM`.
    pub denominator: &'static str,
    /// `engines`, `device-hours`, `%`.
    pub unit: &'static str,
    /// How it is drawn.
    pub form: Form,
    /// Days such as `2026-11-28` for lines and stacks, the names of columns for strips, one empty name for bars.
    pub columns: Vec<String>,
    /// The largest first, `other` last.
    pub rows: Vec<Row>,
    /// The sum of the rows by column, as published.
    pub totals: Vec<Option<f64>>,
}

/// One row of a figure.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Row {
    /// The name of what this row counts.
    pub label: String,
    /// A value for each column. `None`: not published, or there is no such day.
    pub values: Vec<Option<f64>>,
}
