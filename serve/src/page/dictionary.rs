//! The dictionary: every field that an engine may send, from the contracts themselves.

use maud::{Markup, html};
use otel_usage_schema::{Contract, Field, Literal, MessageSpec};

use super::address::To;
use super::shell::Shell;

pub(crate) fn page(shell: &Shell) -> String {
    let contracts = Contract::built_in();
    let markup = html! {
        div.intro {
            h1 { "Every field that is reported" }
            p {
                "A contract lists the fields of one engine. A server that receives a key outside of the contract counts "
                "it and throws it away. The report is counted from a few of these fields; "
                "no identity and no free text leaves this server as it came."
            }
        }
        nav.filters aria-label="Contracts" {
            ul { @for contract in contracts { li { a href={ "#" (anchor(contract)) } { (contract.id) } } } }
        }
        @for contract in contracts {
            section.text.contract id=(anchor(contract)) {
                h2 { (contract.id) }
                @for message in contract.messages.iter() { (fields(contract, message)) }
            }
        }
    };
    shell.page(&To::Dictionary, "Dictionary – usage of inference engines", &markup)
}

fn fields(contract: &Contract, message: &MessageSpec) -> Markup {
    let title = format!("{} {}", contract.id, message.name);
    html! {
        h3 { (message.name) span.count { " " (message.fields.len()) " fields" } }
        details {
            summary { "Fields of " (title) }
            div.scroll role="region" tabindex="0" aria-label={ "Fields of " (title) } {
                table {
                    thead {
                        tr {
                            @for head in ["Field", "Type", "Meaning", "Class", "Example", "Since"] { th.text scope="col" { (head) } }
                        }
                    }
                    tbody {
                        @for field in message.fields.iter() {
                            tr {
                                th scope="row" { code { (field.name) } }
                                td.text { (kind(field)) }
                                td.text { (marked(&field.doc)) }
                                td.text {
                                    (field.privacy.as_str())
                                    @if contract.is_free_text(field) { ", free text" }
                                }
                                td.text { code { (example(&field.example)) } }
                                td.text { (field.since) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn anchor(contract: &Contract) -> String {
    contract.id.replace(['/', '.'], "-")
}

/// Returns the type as contract files spell it, and the unit.
fn kind(field: &Field) -> String {
    let word = serde_json::to_value(field.ty).unwrap_or_default();
    let word = word.as_str().unwrap_or_default();
    if field.unit.is_empty() { word.to_owned() } else { format!("{word} in {}", field.unit) }
}

fn example(value: &Literal) -> String {
    match value {
        Literal::Str(text) => text.to_string(),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

/// Writes the parts of a sentence that stand between backticks as code.
fn marked(text: &str) -> Markup {
    html! {
        @for (nth, part) in text.split('`').enumerate() {
            @if nth % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}
