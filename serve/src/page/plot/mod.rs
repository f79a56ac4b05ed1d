//! Draws a figure as SVG: lines, stacked areas, horizontal bars, a heat strip.
//!
//! A plot is as wide as its column, and its text keeps its size, because positions along the width are percentages.
//! Paths know no percentages, so they stand in an inner `svg` that is stretched, with strokes that are not. Colours
//! come from the style sheet by class, and each series has its name beside its mark, so that no reader needs the
//! colours. A crate for plots would bring neither these nor the description for screen readers.

mod bars;
mod describe;
mod lines;
mod scale;
mod stack;
mod strip;
mod time;

use maud::{Markup, html};

pub(crate) use scale::value;

use crate::questions::{Figure, Form, Row};

/// Series with a colour of their own. The others are drawn in grey.
const COLOURS: usize = 8;

/// Rows of a bar plot or strip. The table below has all of them.
const ROWS: usize = 12;

/// Draws the figure, or says that there is nothing to draw.
pub(crate) fn draw(figure: &Figure) -> Markup {
    let empty = figure.rows.iter().all(|row| row.values.iter().all(Option::is_none));
    if empty {
        return html! {
            p.empty { "There is no number of this window yet." }
        };
    }
    let (title, description) = (format!("{}-title", figure.id), format!("{}-desc", figure.id));
    // Room for names at the right end.
    let ends = matches!(figure.form, Form::Line | Form::Stack);
    let (height, marks) = match figure.form {
        Form::Line => lines::draw(figure),
        Form::Stack => stack::draw(figure),
        Form::Bars => bars::draw(figure),
        Form::Strip => strip::draw(figure),
    };
    html! {
        svg.plot.ends[ends] role="img" width="100%" height=(height) aria-labelledby=(title) aria-describedby=(description) {
            title id=(title) { (figure.title) }
            desc id=(description) { (describe::describe(figure)) }
            (marks)
        }
        @if ends { (key(figure)) }
    }
}

/// The names of the series below a plot, for a screen on which they have no room beside it. The first is the highest.
fn key(figure: &Figure) -> Markup {
    let rows = figure.rows.iter().enumerate();
    let mut series: Vec<(String, &str, String)> = rows
        .filter(|(index, row)| is_named(*index, row) && row.values.iter().any(Option::is_some))
        .map(|(index, row)| {
            (class(index, row), name(figure, row), shown(beside(figure, row), figure.unit))
        })
        .collect();
    if figure.form == Form::Stack {
        series.reverse();
    }
    html! {
        // The description of the plot has the same numbers.
        ul.key aria-hidden="true" {
            @for (class, name, last) in series {
                li { span class={ "chip " (class) } {} " " b { (last) } " " (name) }
            }
        }
    }
}

/// Returns the number beside a series: that of its last day. The numbers beside areas are of one day, because a reader adds
/// them up: the last day that has any. `None` if the row has none on it.
fn beside(figure: &Figure, row: &Row) -> Option<f64> {
    if figure.form != Form::Stack {
        return row.values.iter().rev().find_map(|value| *value);
    }
    let days = figure.rows.iter().filter_map(|row| row.values.iter().rposition(Option::is_some));
    row.values.get(days.max()?).copied().flatten()
}

/// Writes such a number.
fn shown(number: Option<f64>, unit: &str) -> String {
    number.map_or_else(|| "–".to_owned(), |number| value(number, unit))
}

/// Returns the name of a series: its label without what stands in brackets, if that is the same for all series.
fn name<'f>(figure: &Figure, row: &'f Row) -> &'f str {
    let Some((name, brackets)) = row.label.split_once(" (") else { return &row.label };
    let same = |row: &Row| row.label.split_once(" (").is_some_and(|(_, other)| other == brackets);
    if figure.rows.iter().all(same) { name } else { &row.label }
}

/// Returns whether a series has its name beside its line or area.
fn is_named(index: usize, row: &Row) -> bool {
    index < COLOURS || row.label == "other"
}

/// Returns whether a row is what is not named: of the figure, or of one contract.
fn is_rest(label: &str) -> bool {
    label == "other" || label.starts_with("other (")
}

/// The class that gives a series its colour.
fn class(index: usize, row: &Row) -> String {
    match index.checked_add(1) {
        Some(number) if number <= COLOURS && !is_rest(&row.label) => format!("s{number}"),
        _ => "rest".to_owned(),
    }
}

#[cfg(test)]
mod tests;
