//! A heat strip for each row: a cell for each column, with its number in it.

use maud::{Markup, html};

use super::scale::{self, value};
use super::{ROWS, time};
use crate::questions::{Figure, Row};

const HEAD: f64 = 22.0;
const CELL: f64 = 30.0;
/// The name stands above its cells, so that a long one has room.
const PITCH: f64 = 56.0;
/// Columns whose cells have room for their numbers. Of more columns, the last number stands beside the name.
const ROOMY: usize = 7;

pub(super) fn draw(figure: &Figure) -> (f64, Markup) {
    let values = figure.rows.iter().flat_map(|row| row.values.iter().flatten());
    let largest = values.copied().fold(f64::MIN_POSITIVE, f64::max);
    let whole = if figure.unit == "%" { 100.0 } else { largest };
    #[expect(clippy::cast_precision_loss, reason = "a number of columns")]
    let width = 100.0 / figure.columns.len().max(1) as f64;
    let roomy = figure.columns.len() <= ROOMY;
    let left = |column: u32| f64::from(column) * width;
    let rows = || figure.rows.iter().take(ROWS);
    let tops = (0_u32..).map(|row| HEAD + f64::from(row) * PITCH);
    let marks = html! {
        @if roomy {
            @for (column, at) in figure.columns.iter().zip(0..) {
                text.day x=(percent(left(at) + width / 2.0)) y="12" text-anchor="middle" { (column) }
            }
        } @else {
            (time::labels(&figure.columns, 12.0))
        }
        @for (row, top) in rows().zip(tops) {
            text.name x="0" y=(top + 13.0) { (row.label) }
            @if !roomy && let Some((day, last)) = latest(figure, row) {
                text.amount x="100%" y=(top + 13.0) text-anchor="end" {
                    tspan.number { (value(last, figure.unit)) } " " tspan.share { (scale::day(day)) }
                }
            }
            @for (amount, at) in row.values.iter().zip(0..) {
                rect class={ "cell " (heat(*amount, whole)) } x=(percent(left(at))) y=(top + 19.0) width=(percent(width)) height=(CELL) {}
                @if roomy {
                    text class={ "in " (heat(*amount, whole)) } x=(percent(left(at) + width / 2.0)) y=(top + 39.0) text-anchor="middle" {
                        @match amount { Some(amount) => (value(*amount, figure.unit)), None => "–" }
                    }
                }
            }
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "at most twelve")]
    let height = HEAD + rows().count() as f64 * PITCH;
    (height, marks)
}

/// Returns the last value of a row, and its column.
fn latest<'f>(figure: &'f Figure, row: &Row) -> Option<(&'f str, f64)> {
    let mut known = figure.columns.iter().zip(&row.values).rev();
    known.find_map(|(column, value)| Some((column.as_str(), (*value)?)))
}

/// Returns the step of a value, from one to five.
fn heat(amount: Option<f64>, whole: f64) -> &'static str {
    match amount.map(|amount| amount / whole) {
        None => "h0",
        Some(share) if share < 0.2 => "h1",
        Some(share) if share < 0.4 => "h2",
        Some(share) if share < 0.6 => "h3",
        Some(share) if share < 0.8 => "h4",
        Some(_) => "h5",
    }
}

fn percent(x: f64) -> String {
    format!("{x:.2}%")
}
