//! A line for each row over days.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::scale::Axis;
use super::time::{End, HEIGHT, frame, x};
use super::{beside, class, is_named, name};
use crate::questions::Figure;

pub(super) fn draw(figure: &Figure) -> (f64, Markup) {
    let values = figure.rows.iter().flat_map(|row| row.values.iter().flatten());
    let axis = Axis::up_to(values.copied().fold(0.0, f64::max));
    let series = || figure.rows.iter().enumerate();
    let paths = html! {
        // The largest last, so that it lies above the others.
        @for (index, row) in series().rev() {
            path class={ "line " (class(index, row)) } d=(path(&row.values, &axis)) {}
        }
    };
    let ends: Vec<End> = series()
        .filter(|(index, row)| is_named(*index, row))
        .filter_map(|(index, row)| {
            let last = row.values.iter().rev().copied().find_map(|value| value)?;
            Some(End {
                y: axis.y(last, HEIGHT),
                class: class(index, row),
                label: name(figure, row).to_owned(),
                value: beside(figure, row),
            })
        })
        .collect();
    frame(&figure.columns, figure.unit, &axis, &paths, &ends)
}

/// Returns the path of a row. A missing value leaves a gap, and a value between two gaps is a dot.
fn path(values: &[Option<f64>], axis: &Axis) -> String {
    let mut path = String::new();
    let mut pen_up = true;
    for (column, value) in values.iter().enumerate() {
        let Some(value) = value else {
            pen_up = true;
            continue;
        };
        let (x, y) = (x(column, values.len()), axis.y(*value, HEIGHT));
        // Writing to a `String` cannot fail.
        let _ = write!(path, "{}{x} {y:.1}", if pen_up { "M" } else { "L" });
        if pen_up {
            // A line without length has round ends, so it is seen.
            path.push_str("h0");
        }
        pen_up = false;
    }
    path
}
