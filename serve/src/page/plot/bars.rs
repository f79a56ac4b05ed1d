//! A horizontal bar for each row, with the name and the number above it.

use maud::{Markup, html};

use super::ROWS;
use super::scale::{number, value};
use crate::questions::Figure;

const PITCH: f64 = 38.0;

pub(super) fn draw(figure: &Figure) -> (f64, Markup) {
    let first = |values: &[Option<f64>]| values.first().copied().flatten();
    let rows: Vec<_> =
        figure.rows.iter().filter_map(|row| Some((row, first(&row.values)?))).take(ROWS).collect();
    let shares = figure.unit == "%";
    let total = first(&figure.totals).filter(|total| !shares && *total > 0.0);
    let largest = rows.iter().map(|(_, amount)| *amount).fold(f64::MIN_POSITIVE, f64::max);
    // A share is a part of the whole width. A count is compared with the largest one.
    let whole = if shares { largest.max(100.0) } else { largest };
    let tops = (0_u32..).map(|row| f64::from(row) * PITCH);
    let marks = html! {
        @for ((row, amount), y) in rows.iter().zip(tops) {
            text.name x="0" y=(y + 14.0) { (row.label) }
            text.amount x="100%" y=(y + 14.0) text-anchor="end" {
                tspan.number { (value(*amount, figure.unit)) }
                @if let Some(total) = total { " " tspan.share { (number((amount / total * 100.0).round())) "%" } }
            }
            rect.track x="0" y=(y + 21.0) width="100%" height="6" {}
            rect class={ "bar " (bar(&row.label)) } x="0" y=(y + 21.0) width=(width(*amount, whole)) height="6" {}
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "at most twelve")]
    let height = rows.len() as f64 * PITCH;
    (height, marks)
}

/// All bars have one colour, because their names say what they are.
fn bar(label: &str) -> &'static str {
    if super::is_rest(label) { "rest" } else { "s1" }
}

/// Returns the length of a bar. One without length could not be seen.
fn width(amount: f64, whole: f64) -> String {
    format!("{:.1}%", (amount / whole * 100.0).clamp(0.3, 100.0))
}
