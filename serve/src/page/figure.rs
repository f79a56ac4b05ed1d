//! One figure of the report: heading, sentence, plot, table, files, and how it is counted.

use maud::{Markup, html};

use super::address::{Site, To};
use super::plot;
use crate::questions::{Figure, Filter, Form};

/// Days of a table. Of a longer window every seventh day is shown, and the CSV has all.
const DAYS: usize = 31;

pub(crate) fn section(site: Site, filter: &Filter, figure: &Figure) -> Markup {
    let over_days = matches!(figure.form, Form::Line | Form::Stack);
    let wide = over_days || (figure.form == Form::Strip && figure.columns.len() > 7);
    let here = To::Report(filter);
    let numbers = |form| site.link(&here, &To::Numbers(figure.id, filter, form));
    html! {
        section.wide[wide] id=(figure.id) {
            h3 { a href={ "#" (figure.id) } { (figure.title) } }
            p.sentence { (figure.sentence) }
            p.unit { b { (measure(figure.unit)) } " of " (figure.denominator) }
            (plot::draw(figure))
            div.more {
                details {
                    summary { "Table: " (figure.title) }
                    (table(figure))
                }
                a href=(numbers("csv")) { "CSV" span.unseen { " of " (figure.engine.title()) ": " (figure.title) } }
                a href=(numbers("json")) { "JSON" span.unseen { " of " (figure.engine.title()) ": " (figure.title) } }
                a href={ (site.link(&here, &To::Method)) "#" (figure.id) } { "How this is counted" span.unseen { " of " (figure.engine.title()) ": " (figure.title) } }
            }
        }
    }
}

/// Writes a unit before what is measured: `Number` of engines, `Share` of engines, `Devices` of engines.
pub(super) fn measure(of: &str) -> String {
    if of == "engines" { "Number".to_owned() } else { unit(of) }
}

/// Writes a unit as the head of a column: `Share`, `Engines`.
fn unit(unit: &str) -> String {
    if unit == "%" {
        return "Share".to_owned();
    }
    let mut letters = unit.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Returns the numbers as a table: days downwards for plots over days, else the rows of the figure.
fn table(figure: &Figure) -> Markup {
    let over_days = matches!(figure.form, Form::Line | Form::Stack);
    let cell = |amount: Option<f64>| {
        html! { td { @match amount { Some(amount) => (plot::value(amount, figure.unit)), None => "–" } } }
    };
    let at = |values: &[Option<f64>], column| values.get(column).copied().flatten();
    let days = figure.columns.len();
    let step = if days > DAYS { 7 } else { 1 };
    let named = figure.columns.iter().any(|column| !column.is_empty());
    html! {
        div.scroll role="region" tabindex="0" aria-label={ "Table: " (figure.title) } {
            table {
                caption {
                    (measure(figure.unit)) " of " (figure.denominator) "."
                    @if over_days && step > 1 { " Every seventh day; the CSV has all." }
                }
                @if over_days {
                    thead {
                        tr {
                            th scope="col" { "Day" }
                            @for row in &figure.rows { th scope="col" { (row.label) } }
                        }
                    }
                    tbody {
                        @for (column, day) in figure.columns.iter().enumerate().rev().step_by(step) {
                            tr {
                                th scope="row" { (day) }
                                @for row in &figure.rows { (cell(at(&row.values, column))) }
                            }
                        }
                    }
                } @else {
                    thead {
                        tr {
                            th scope="col" { (figure.title) }
                            @if named {
                                @for column in &figure.columns { th scope="col" { (column) } }
                            } @else {
                                th scope="col" { (unit(figure.unit)) }
                            }
                        }
                    }
                    tbody {
                        @for row in &figure.rows {
                            tr {
                                th scope="row" { (row.label) }
                                @for value in &row.values { (cell(*value)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
