//! Prints the data dictionary `docs/receiver/fields.md`: every value that may leave the machine, with its meaning.

use std::fmt::Write as _;

use otel_usage::Contract;
use otel_usage::schema::{
    Attribute, Directory, Field, Instrument, Literal, MessageSpec, OffWhen, RESOURCE_ATTRIBUTES,
    Source, Trigger, Type,
};

use super::json_schema::literal;

const HEAD: &str = "\
# Data dictionary

Every value that may leave the machine, by any exporter. Generated from the contracts by `cargo xtask generate`.
Nothing else leaves.

*Class* is the class of data: `machine` (hardware, system software, where it runs), `configuration` (how the
engine is set up), `workload` (what it did), `identity` (a random identifier that joins messages), `envelope`
(which message, and when). **Free text** is sent as it was written, except that its length is limited. The
*sanitizers* enforce the shape of every other text. *Absent* is the value that is sent if the real one is not
known. *Since* is the first version known to send the field.
";

pub(crate) fn dictionary(contracts: &[Contract]) -> String {
    let mut text = HEAD.to_owned();
    // Writing to a `String` cannot fail.
    for contract in contracts {
        let _ = write!(text, "\n## {}\n\n", contract.id);
        about(&mut text, contract);
        for spec in contract.messages.iter() {
            message(&mut text, contract, spec);
        }
        if !contract.attributes.is_empty() {
            let _ = write!(text, "\n### Resource attributes of `{}` (OTLP)\n\n", contract.id);
            attributes(&mut text, &contract.attributes);
        }
    }
    text.push_str("\n## Resource attributes of every contract (OTLP)\n\n");
    attributes(&mut text, RESOURCE_ATTRIBUTES);
    text.push_str(TRANSPORT);
    free_text(&mut text, contracts);
    text
}

const TRANSPORT: &str = "
Every span also carries `otel_usage.contract`, `otel_usage.record.kind`, `otel_usage.record.id` (a random UUID), and
`otel_usage.delivery` if its process also posts to the usage server. The name of the span is the kind of the record,
its scope is `otel_usage`.

If this process lost records, attributes or messages, each later span also carries how many so far, for each reason:
`otel_usage.dropped.<reason>`, an integer. All exporters of the process count. The reasons are `abandoned`, `expired`,
`foreign_contract`, `forked`, `io`, `not_finite`, `panicked`, `probe`, `queue_full`, `refused`, `too_late`, `too_long`,
`undeclared_attribute`, `unknown_record` and `wrong_type`. Messages that lacking consent dropped are not counted there.

Flat JSON never contains any of these.
";

fn about(text: &mut String, contract: &Contract) {
    let server = contract.server.as_deref().unwrap_or("none by default");
    let _ = write!(text, "Engine `{}`. Usage server: {server}", contract.system);
    if let Some(variable) = &contract.server_variable {
        let _ = write!(text, " (`{variable}`)");
    }
    text.push_str(".\n");
    for switch in contract.switches.iter() {
        let off = match switch.off {
            OffWhen::NotTrue => "anything but `1`, `true`, `yes`, `on`",
            OffWhen::True => "anything but nothing, `0`, `false`, `no`, `off`",
            _ => "any value",
        };
        let _ = writeln!(text, "Off by `{}`: {off}.", switch.variable);
    }
    match &contract.directory {
        Directory::Home(name) => {
            let _ = writeln!(text, "Off by the file `~/.config/{name}/do_not_track`.");
        }
        Directory::Xdg { variable, name } => {
            let or = variable.as_ref().map(|name| format!("`${name}` or ")).unwrap_or_default();
            let _ = writeln!(
                text,
                "Off by the file `do_not_track` in {or}`${{XDG_CONFIG_HOME:-~/.config}}/{name}`."
            );
        }
        _ => {}
    }
}

fn message(text: &mut String, contract: &Contract, spec: &MessageSpec) {
    let endpoint = if spec.endpoint.is_empty() {
        "the base URL".to_owned()
    } else {
        format!("`{}`", spec.endpoint)
    };
    let _ = write!(
        text,
        "\n### {} `{}`\n\nRecord `{}`, POST to {endpoint}, {}.\n\n",
        contract.id,
        spec.name,
        spec.record,
        when(&spec.trigger)
    );
    text.push_str(
        "| field | type | meaning | source | sanitizers | absent | class | example | since |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for field in spec.fields.iter() {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} | {} | {} | {} |",
            field.name,
            type_and_unit(field),
            cell(&field.doc),
            source(field),
            steps(contract, field),
            if field.optional { "left out".to_owned() } else { value(&field.absent) },
            data_class(contract, field),
            value(&field.example),
            field.since,
        );
    }
}

fn when(trigger: &Trigger) -> String {
    match trigger {
        Trigger::After(kind) => format!("once, after the first `{kind}`"),
        Trigger::Finish => "once, at the end of the run".to_owned(),
        Trigger::Heartbeat { seconds } => format!("every {seconds} s"),
        Trigger::Interval { seconds, schedules } => {
            let after: Vec<String> = schedules
                .iter()
                .map(|one| {
                    let last = if one.last { ", and at the end of the run" } else { "" };
                    match one.first_seconds {
                        Some(first) => format!("`{}` (first after {first} s{last})", one.after),
                        None => format!("`{}` (first after a whole interval{last})", one.after),
                    }
                })
                .collect();
            format!("every {seconds} s from the first {}", after.join(" or "))
        }
        Trigger::Start => "once, before the first record".to_owned(),
        _ => "when the engine records one".to_owned(),
    }
}

pub(crate) fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "boolean",
        Type::Float => "number",
        Type::Histogram => "object of counts",
        Type::Int => "integer",
        Type::Ints => "list of integers",
        Type::Strs => "list of texts",
        _ => "text",
    }
}

fn type_and_unit(field: &Field) -> String {
    let instrument = match field.instrument {
        Some(Instrument::Counter) => ", counter",
        Some(Instrument::Gauge) => ", gauge",
        Some(Instrument::Dimension) => ", one message for each",
        _ => "",
    };
    let unit = if field.unit.is_empty() { String::new() } else { format!(" in {}", field.unit) };
    format!("{}{unit}{instrument}", type_name(field.ty))
}

/// Returns the source of a field, in OpenTelemetry's terms.
pub(crate) fn source(field: &Field) -> String {
    match &field.source {
        Source::Constant(_) => "constant".to_owned(),
        Source::Record(name) => format!("record `{name}`"),
        Source::Resource(name) | Source::ResourceMapped(name, _) => format!("resource `{name}`"),
        Source::ResourceOr { name, fallback, .. } => {
            format!("resource `{name}`, else `{fallback}`")
        }
        Source::ResourceJoined(names) => format!("resource `{}`", names.join("`, `")),
        _ => "time of the record".to_owned(),
    }
}

pub(crate) fn steps(contract: &Contract, field: &Field) -> String {
    let steps = contract.sanitizers_of(field);
    steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the data class of a field, and whether it is free text.
pub(crate) fn data_class(contract: &Contract, field: &Field) -> String {
    let free = if contract.is_free_text(field) { ", free text" } else { "" };
    format!("{}{free}", field.privacy.as_str())
}

fn attributes(text: &mut String, attributes: &[Attribute]) {
    text.push_str(
        "| attribute | type | meaning | sanitizers | class | example |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for attribute in attributes {
        let steps: Vec<String> = attribute.sanitize.iter().map(ToString::to_string).collect();
        let free = if attribute.is_free_text() { ", free text" } else { "" };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {}{free} | {} |",
            attribute.name,
            type_name(attribute.ty),
            cell(&attribute.doc),
            steps.join(", "),
            attribute.privacy.as_str(),
            value(&attribute.example),
        );
    }
}

fn free_text(text: &mut String, contracts: &[Contract]) {
    text.push_str("\n## Free text\n\nFields whose text is sent as it was written:\n\n");
    for contract in contracts {
        let mut names: Vec<String> = Vec::new();
        for field in contract.messages.iter().flat_map(|spec| spec.fields.iter()) {
            let name = format!("`{}`", field.name);
            if contract.is_free_text(field) && !names.contains(&name) {
                names.push(name);
            }
        }
        let _ = writeln!(text, "- {}: {}", contract.id, names.join(", "));
    }
    let free = RESOURCE_ATTRIBUTES.iter().filter(|attribute| attribute.is_free_text());
    let names: Vec<String> = free.map(|attribute| format!("`{}`", attribute.name)).collect();
    let _ = writeln!(text, "- Resource attributes of every contract: {}", names.join(", "));
}

fn value(value: &Literal) -> String {
    format!("`{}`", cell(&literal(value).to_string()))
}

/// Escapes text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
