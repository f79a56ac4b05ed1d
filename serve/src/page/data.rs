//! The page of data: every figure as a file, for each window.

use maud::html;

use super::address::To;
use super::shell::Shell;
use crate::questions::{Filter, Report, Window};

pub(crate) fn page(shell: &Shell, report: &Report) -> String {
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
                        @for window in Window::ALL { th scope="col" { (window.days()) " days" } }
                    }
                }
                tbody {
                    @for figure in &report.figures {
                        tr {
                            th scope="row" { (figure.engine.title()) ": " (figure.title) }
                            @for window in Window::ALL {
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
    };
    shell.page(&To::Data, "Data – usage of inference engines", &markup)
}
