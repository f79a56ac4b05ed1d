//! The page of data: every figure as a file, for each window.

use maud::html;

use super::address::To;
use super::shell::Shell;
use crate::questions::{Filter, Report, Window, files};

pub(crate) fn page(shell: &Shell, report: &Report, days: &[i64]) -> String {
    let numbers = |id: &str, window: Window, form| {
        let filter = Filter { window, ..Filter::default() };
        shell.site.link(&To::Data, &To::Numbers(id, &filter, form))
    };
    let markup = html! {
        div.intro {
            h1 { "The numbers as files" }
            p {
                "The same numbers as on the page, under the same rules. An empty cell of a CSV file and "
                code { "null" } " in JSON stand for a number that is not published."
            }
        }
        div.scroll role="region" tabindex="0" aria-label="Files of each figure" {
            table {
                thead {
                    tr {
                        th scope="col" { "Figure" }
                        @for window in shell.windows().iter().copied() { th scope="col" { (window.days()) " days" } }
                    }
                }
                tbody {
                    @for figure in &report.figures {
                        tr {
                            th scope="row" { (figure.engine.title()) ": " (figure.title) }
                            @for window in shell.windows().iter().copied() {
                                td {
                                    a href=(numbers(figure.id, window, "csv")) { "CSV" }
                                    " "
                                    a href=(numbers(figure.id, window, "json")) { "JSON" }
                                }
                            }
                        }
                    }
                }
            }
        }
        @if !days.is_empty() {
            div.text {
                h2 { "Each day as a file" }
                p {
                    "Everything that is published of a day, in all tables. The file of a Monday has the numbers of its "
                    "week too, once the week is closed. "
                    a href=(shell.site.link(&To::Data, &To::Checksums)) { "SHA256SUMS" } " has the checksums."
                }
                ul {
                    @for day in days {
                        li { a href=(shell.site.link(&To::Data, &To::Day(*day))) { (files::name(*day)) } }
                    }
                }
            }
        }
    };
    shell.page(&To::Data, "Data – usage of inference engines", &markup)
}
