//! The frame of a plot over days: the area, the ticks of both axes, and the names at the right end.

use maud::{Markup, html};

use super::scale::{Axis, apart, day, value};
use super::shown;

/// Height of the area in pixels.
pub(super) const HEIGHT: f64 = 208.0;
/// Room above the area for half of the highest tick, and below it for the days.
const ABOVE: f64 = 8.0;
const BELOW: f64 = 26.0;
/// Width of the stretched area, in its own units.
pub(super) const WIDTH: f64 = 1000.0;
/// Distance of the names at the right end.
const GAP: f64 = 17.0;
/// Letters of a number and a name that fit beside the area, where the style sheet leaves room for them.
const LETTERS: usize = 24;

/// The name of a series at the end of its line or area.
pub(super) struct End {
    pub(super) y: f64,
    pub(super) class: String,
    pub(super) label: String,
    /// `None` if the last day has no number.
    pub(super) value: Option<f64>,
}

/// Returns the horizontal position of a column, in units of the stretched area.
pub(super) fn x(column: usize, columns: usize) -> f64 {
    let last = columns.saturating_sub(1).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a number of days")]
    let share = column as f64 / last as f64;
    (share * WIDTH).round()
}

/// Frames the paths of a plot.
pub(super) fn frame(
    columns: &[String],
    unit: &str,
    axis: &Axis,
    paths: &Markup,
    ends: &[End],
) -> (f64, Markup) {
    let wanted: Vec<f64> = ends.iter().map(|end| end.y).collect();
    let places = apart(&wanted, GAP, HEIGHT);
    let marks = html! {
        svg y=(ABOVE) height=(HEIGHT) overflow="visible" {
            @for tick in &axis.ticks {
                @let y = axis.y(*tick, HEIGHT).round();
                line.grid.zero[*tick == 0.0] x1="0" x2="100%" y1=(y) y2=(y) {}
            }
            (labels(columns, HEIGHT + 18.0))
            svg width="100%" height=(HEIGHT) overflow="visible" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" {
                (paths)
            }
            // In the margin that the style sheet leaves.
            @for tick in &axis.ticks {
                text.tick x="-8" y=(axis.y(*tick, HEIGHT).round() + 4.0) text-anchor="end" { (value(*tick, unit)) }
            }
            svg.names x="100%" overflow="visible" {
                @for (end, y) in ends.iter().zip(places) {
                    @let y = y.round();
                    line class={ "mark " (end.class) } x1="8" x2="20" y1=(y) y2=(y) {}
                    text.end x="26" y=(y + 4.0) {
                        @let last = shown(end.value, unit);
                        tspan.number { (last) } " " (short(&end.label, LETTERS.saturating_sub(last.len())))
                    }
                }
            }
        }
    };
    (ABOVE + HEIGHT + BELOW, marks)
}

/// Writes at most five columns below or above a plot.
pub(super) fn labels(columns: &[String], y: f64) -> Markup {
    html! {
        @for (place, column) in days(columns) {
            text.day.minor[place.minor] x=(place.x) y=(y) text-anchor=(place.anchor) { (day(column)) }
        }
    }
}

/// Where the name of a day stands.
struct Place {
    x: String,
    anchor: &'static str,
    /// A narrow screen leaves it out.
    minor: bool,
}

/// Returns at most five columns with their places, the last one always, because people quote it.
fn days(columns: &[String]) -> Vec<(Place, &String)> {
    let last = columns.len().saturating_sub(1);
    let step = last.div_ceil(4).max(1);
    let mut chosen: Vec<usize> = (0..=last).rev().step_by(step).collect();
    chosen.reverse();
    let places = chosen.iter().enumerate().map(|(nth, column)| {
        let from_last = chosen.len().saturating_sub(nth).saturating_sub(1);
        let anchor = match *column {
            0 => "start",
            column if column == last => "end",
            _ => "middle",
        };
        let x = format!("{}%", x(*column, columns.len()) / 10.0);
        (Place { x, anchor, minor: from_last % 2 == 1 }, *column)
    });
    places.filter_map(|(place, column)| Some((place, columns.get(column)?))).collect()
}

/// Shortens a name that is too long for its place. The table has it whole.
fn short(label: &str, letters: usize) -> String {
    // The part in brackets tells two rows of one name apart, and the colour does so too.
    let label = match label.split_once(" (") {
        Some((name, _)) if label.chars().count() > letters => name,
        _ => label,
    };
    if label.chars().count() <= letters {
        return label.to_owned();
    }
    let mut short: String = label.chars().take(letters.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}
