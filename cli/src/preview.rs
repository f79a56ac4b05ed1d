//! `otel-usage preview`: prints the payloads that an engine would send from this machine.
//!
//! [`Inspection::preview_run`](otel_usage::settings::Inspection::preview_run) makes them in the way of an engine's worker, but starts, writes and sends nothing.

use std::fmt::Write as _;

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use otel_usage::clock::Clock;
use otel_usage::export::ExportRecord;
use otel_usage::schema::{Decision, Destination, Sanitizer, WireValue, lmcache};
use otel_usage::settings::Settings;
use otel_usage::{Builder, Consent, Contract};

use crate::contract::{Chosen, Subject};
use crate::look::look;
use crate::output::{CAUTION, HEADING, styled};
use crate::schema::markdown;
use crate::words::guessed;
use crate::{exit, output, status};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Show the meaning, source and sanitizers of each value
    #[arg(long, conflicts_with_all = ["json", "otlp"])]
    explain: bool,
    /// Print only the bytes that would be sent, one object per line
    #[arg(long, conflicts_with = "otlp")]
    json: bool,
    /// Print the OTLP/JSON that an OTLP exporter would send, one request per line
    #[arg(long)]
    otlp: bool,
    /// Use this time instead of the current one, to get reproducible bytes
    #[arg(long, value_name = "UNIX_NANOSECONDS")]
    clock: Option<i64>,
    /// Use this instance id instead of a random one
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    instance_id: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let mut text = String::new();
    let mut notes = Vec::new();
    for subject in args.chosen.subjects()? {
        text += &shown(args, &subject, &mut notes)?;
    }
    for note in status::each_once(notes.iter()) {
        output::note(note);
    }
    if args.json || args.otlp {
        output::print(&text)?;
    } else {
        output::show(&text)?;
    }
    Ok(exit::SUCCESS)
}

/// Returns the payloads of one contract, and adds what people should know about them.
fn shown(args: &Args, subject: &Subject, notes: &mut Vec<String>) -> anyhow::Result<String> {
    let inspection = look(builder(args, subject))?;
    let (decision, settings) = (inspection.decision(), inspection.settings());
    let records = subject.records(&inspection);
    if records.iter().any(|record| record.message().is_some()) {
        notes.push(subject.values());
    } else {
        notes.push(subject.nothing());
    }
    if decision.consent != Consent::Granted {
        notes.push(format!(
            "{}: the payloads show what would be sent if it were on",
            collection(decision)
        ));
    }
    if lacks_machine_id(&records) {
        let note = "machine_id is empty, because the first message that is sent creates it";
        notes.push(note.to_owned());
    }
    let told = settings
        .warnings
        .iter()
        .map(|warning| format!("{} {}", styled(CAUTION, "warning:"), guessed(warning)));
    notes.extend(told.chain(settings.notes.iter().map(|note| format!("note: {note}"))));
    Ok(if args.otlp {
        otlp(&records)?
    } else if args.json {
        wire(&records)
    } else if args.explain {
        explained(subject.contract(), &records) + &subject.outlook()
    } else {
        readable(&records, decision, settings) + &subject.outlook()
    })
}

fn builder(args: &Args, subject: &Subject) -> Builder {
    let mut builder = subject.builder();
    if let Some(nanos) = args.clock {
        builder = builder.with_clock(Clock::fixed(nanos));
    }
    if let Some(id) = &args.instance_id {
        builder = builder.with_instance_id(id);
    }
    builder
}

/// Returns whether a message contains an empty machine id, which only sending would create.
fn lacks_machine_id(records: &[ExportRecord]) -> bool {
    records
        .iter()
        .filter_map(ExportRecord::message)
        .flat_map(|message| message.fields().collect::<Vec<_>>())
        .any(|(field, value)| {
            field.source.resources() == [lmcache::MACHINE_ID] && value == WireValue::Str("".into())
        })
}

/// Returns the bytes that would be sent, one message per line.
fn wire(records: &[ExportRecord]) -> String {
    // The span of the run has no message, because only OTLP carries it.
    records
        .iter()
        .filter_map(ExportRecord::message)
        .map(|message| message.to_json() + "\n")
        .collect()
}

/// Returns each message below a line that names its destination.
fn readable(records: &[ExportRecord], decision: &Decision, settings: &Settings) -> String {
    let base = settings.server.as_deref().and_then(Destination::parse);
    let mut text = String::new();
    for message in records.iter().filter_map(ExportRecord::message) {
        let to = match (&base, decision.consent) {
            (Some(base), Consent::Granted) => match base.below(message.endpoint()) {
                Some(url) => format!("POST {}", url),
                None => "not sent: the endpoint is not a path".to_owned(),
            },
            (None, Consent::Granted) => "not sent: there is no usage server".to_owned(),
            _ => format!("not sent: {}", collection(decision)),
        };
        // Writing to a `String` cannot fail.
        let heading = styled(HEADING, format!("{to}  {}", message.name()));
        let _ = write!(text, "{heading}\n{}\n\n", message.to_pretty_json());
    }
    text
}

fn collection(decision: &Decision) -> String {
    format!("collection is {} ({})", decision.consent.as_str(), decision.because)
}

/// Returns each value with its meaning, data class, source and sanitizers.
fn explained(contract: &Contract, records: &[ExportRecord]) -> String {
    let mut text = String::new();
    for message in records.iter().filter_map(ExportRecord::message) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{}", styled(HEADING, message.name()));
        for (field, value) in message.fields() {
            let value = serde_json::to_string(&value).unwrap_or_default();
            let _ = writeln!(text, "  {}: {value}", field.name);
            let steps = markdown::steps(contract, field);
            let steps = if steps.is_empty() { steps } else { format!("; sanitized by {steps}") };
            let (class, source) = (markdown::data_class(contract, field), markdown::source(field));
            let _ = writeln!(text, "      {} [{class}; {source}{steps}]", field.doc);
        }
        text.push('\n');
    }
    text
}

/// Returns the requests of the `otlp` exporter, one per line.
fn otlp(records: &[ExportRecord]) -> anyhow::Result<String> {
    let mut text = String::new();
    for record in records {
        let resource = (&record.resource()).into();
        let resource_spans = group_spans_by_resource_and_scope(vec![record.span()], &resource);
        let request = ExportTraceServiceRequest { resource_spans };
        text += &serde_json::to_string(&request).context("the OTLP/JSON cannot be written")?;
        text.push('\n');
    }
    Ok(text)
}

/// Parses an instance id. An id of another form would be left out of every message.
fn uuid(text: &str) -> Result<String, String> {
    let id = Sanitizer::Uuid.text(text);
    if id.is_empty() {
        return Err("write a UUID, for example b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10".to_owned());
    }
    Ok(id.into_owned())
}
