//! Areas on top of each other over days, the largest at the bottom.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::scale::Axis;
use super::time::{End, HEIGHT, frame, x};
use super::{beside, class, is_named, name};
use crate::questions::Figure;

pub(super) fn draw(figure: &Figure) -> (f64, Markup) {
    let columns = figure.columns.len();
    // The lower and upper edge of each row. A day without any value is a gap in all rows.
    let mut base = vec![0.0; columns];
    let bands: Vec<Vec<Option<(f64, f64)>>> = figure
        .rows
        .iter()
        .map(|row| {
            let days = row.values.iter().zip(&mut base).enumerate();
            days.map(|(column, (value, base))| {
                let any = figure
                    .rows
                    .iter()
                    .any(|row| row.values.get(column).is_some_and(Option::is_some));
                let below = *base;
                *base += value.unwrap_or(0.0);
                any.then_some((below, *base))
            })
            .collect()
        })
        .collect();
    let highest = base.iter().copied().fold(0.0, f64::max);
    // Shares that were rounded one by one add up to a little more or less.
    let axis = if figure.unit == "%" { Axis::up_to(100.0) } else { Axis::up_to(highest) };
    let series = || figure.rows.iter().enumerate().zip(&bands);
    let paths = html! {
        @for ((index, row), band) in series() {
            path class={ "band " (class(index, row)) } d=(path(band, &axis)) {}
        }
    };
    let ends: Vec<End> = series()
        .filter(|((index, row), _)| is_named(*index, row))
        .filter_map(|((index, row), band)| {
            let (below, above) = band.iter().rev().find_map(|edges| *edges)?;
            Some(End {
                y: axis.y(f64::midpoint(below, above), HEIGHT),
                class: class(index, row),
                label: name(figure, row).to_owned(),
                value: beside(figure, row),
            })
        })
        .collect();
    frame(&figure.columns, figure.unit, &axis, &paths, &ends)
}

/// Returns the outline of a band: for each run of days the upper edge forth and the lower edge back.
fn path(band: &[Option<(f64, f64)>], axis: &Axis) -> String {
    let mut path = String::new();
    let mut run: Vec<(f64, f64, f64)> = Vec::new();
    let edges = band.iter().copied().chain([None]);
    for (column, edge) in edges.enumerate() {
        if let Some((below, above)) = edge {
            run.push((x(column, band.len()), axis.y(below, HEIGHT), axis.y(above, HEIGHT)));
            continue;
        }
        let upper = run.iter().map(|(x, _, above)| (x, above));
        let lower = run.iter().rev().map(|(x, below, _)| (x, below));
        for (nth, (x, y)) in upper.chain(lower).enumerate() {
            // Writing to a `String` cannot fail.
            let _ = write!(path, "{}{x} {y:.1}", if nth == 0 { "M" } else { "L" });
        }
        if !run.is_empty() {
            path.push('z');
        }
        run.clear();
    }
    path
}
