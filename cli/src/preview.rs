//! `otel-usage preview`. In: a contract, this machine, the sample engine. Out: the payloads.
//!
//! Everything comes from [`Builder::preview_run`], which is what the engine's own worker would
//! make; nothing here can start, write or send anything.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use otel_usage::config::Settings;
use otel_usage::schema::lmcache;
use otel_usage::{Builder, Clock, Consent, Contract, Decision, Json, Report};

use crate::contract::Name;
use crate::destination::Destination;
use crate::schema::markdown;
use crate::subject::Subject;
use crate::{exit, output};

/// What is said before the payloads, whatever their form.
const SAMPLE: &str = "engine values come from a built-in sample engine, hardware values from this \
                      machine; nothing is sent";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to show; a contract's full id (vllm/current) is understood too
    #[arg(long, value_enum, value_name = "NAME", required_unless_present = "contract_file")]
    contract: Option<Name>,
    /// A contract of an engine of your own, as `Contract::to_json` writes it; its examples are the engine's
    /// values
    #[arg(long, value_name = "FILE", conflicts_with = "contract")]
    contract_file: Option<PathBuf>,
    /// Say beside each value what it means, where it comes from and what was done to it
    #[arg(long, conflicts_with_all = ["json", "otlp"])]
    explain: bool,
    /// One object per line: the very bytes of the wire, and nothing else
    #[arg(long, conflicts_with = "otlp")]
    json: bool,
    /// The OTLP/JSON that an OTLP exporter would send, one request per line
    #[arg(long)]
    otlp: bool,
    /// Let the wall clock stand at this time, to get the same bytes twice
    #[arg(long, value_name = "UNIX_NANOSECONDS")]
    clock: Option<i64>,
    /// Use this instance id instead of a random one
    #[arg(long, value_name = "UUID")]
    instance_id: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let subject = Subject::of(args.contract, args.contract_file.as_deref())?;
    let builder = builder(args, &subject);
    let (decision, settings) = (builder.decision(), builder.settings());
    let reports = subject.reports(&builder)?;
    let text = if args.otlp {
        otlp(&reports)?
    } else if args.json {
        wire(&reports)
    } else if args.explain {
        explained(subject.contract(), &reports) + &subject.outlook()
    } else {
        readable(&reports, &decision, &settings) + &subject.outlook()
    };

    output::note(SAMPLE);
    if decision.consent != Consent::Granted {
        output::note(&format!(
            "{}: this is what would be sent if it were on",
            collection(&decision)
        ));
    }
    if lacks_machine_id(&reports) {
        output::note("machine_id is shown empty: there is none yet, and the first report makes it");
    }
    for warning in &settings.warnings {
        output::note(&format!("warning: {warning}"));
    }
    output::print(&text)?;
    Ok(exit::SUCCESS)
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

/// Whether a message says a machine id that only a real report would make.
fn lacks_machine_id(reports: &[Report]) -> bool {
    reports
        .iter()
        .filter_map(Report::message)
        .flat_map(|message| message.fields().collect::<Vec<_>>())
        .any(|(field, value)| {
            field.source.resources() == [lmcache::MACHINE_ID] && value == Json::Str("".into())
        })
}

/// The very bytes of the wire, a message a line.
fn wire(reports: &[Report]) -> String {
    // The span of the run has no message: it travels by OTLP only.
    reports.iter().filter_map(Report::message).map(|message| message.to_json() + "\n").collect()
}

/// Each message with a line above it that says where it would go.
fn readable(reports: &[Report], decision: &Decision, settings: &Settings) -> String {
    let base = settings.server.as_deref().and_then(Destination::parse);
    let mut text = String::new();
    for message in reports.iter().filter_map(Report::message) {
        let to = match (&base, decision.consent) {
            (Some(base), Consent::Granted) => format!("POST {}", base.below(message.endpoint())),
            (None, Consent::Granted) => "not sent: there is no usage server".to_owned(),
            _ => format!("not sent: {}", collection(decision)),
        };
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{to}  {}\n{}\n\n", message.name(), message.to_pretty_json());
    }
    text
}

fn collection(decision: &Decision) -> String {
    format!("collection is {} ({})", decision.consent.as_str(), decision.because)
}

/// Each value with its meaning, where it comes from, what was done to it, and what kind of data it is.
fn explained(contract: &Contract, reports: &[Report]) -> String {
    let mut text = String::new();
    for message in reports.iter().filter_map(Report::message) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{}", message.name());
        for (field, value) in message.fields() {
            let value = serde_json::to_string(&value).unwrap_or_default();
            let _ = writeln!(text, "  {}: {value}", field.name);
            let steps = markdown::steps(contract, field);
            let steps = if steps.is_empty() { steps } else { format!("; sanitized by {steps}") };
            let (kind, source) = (markdown::kind(contract, field), markdown::source(field));
            let _ = writeln!(text, "      {} [{kind}; {source}{steps}]", field.doc);
        }
        text.push('\n');
    }
    text
}

/// One OTLP request a line, as the `otlp` exporter makes them.
fn otlp(reports: &[Report]) -> anyhow::Result<String> {
    let mut text = String::new();
    for report in reports {
        let resource = (&report.resource()).into();
        let resource_spans = group_spans_by_resource_and_scope(vec![report.span()], &resource);
        let request = ExportTraceServiceRequest { resource_spans };
        text += &serde_json::to_string(&request).context("OTLP/JSON cannot be made")?;
        text.push('\n');
    }
    Ok(text)
}
