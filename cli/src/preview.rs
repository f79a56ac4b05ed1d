//! `otel-usage preview`. In: a contract, this machine, the sample engine. Out: the payloads.
//!
//! Everything comes from [`Builder::preview_run`], which is what the engine's own worker would
//! make; nothing here can start, write or send anything.

use std::fmt::Write as _;

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use otel_usage::config::Settings;
use otel_usage::schema::{Trigger, lmcache};
use otel_usage::{Builder, Clock, Consent, Decision, Report, Usage};

use crate::contract::Name;
use crate::destination::Destination;
use crate::{exit, output, sample};

/// What is said before the payloads, whatever their form.
const SAMPLE: &str = "engine values come from a built-in sample engine, hardware values from this \
                      machine; nothing is sent";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to show; a contract's full id (vllm/current) is understood too
    #[arg(long, value_enum, value_name = "NAME")]
    contract: Name,
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
    let builder = builder(args);
    let (decision, settings) = (builder.decision(), builder.settings());
    let reports = reports(args.contract, &builder).context("the preview cannot be made")?;
    let text = if args.otlp {
        otlp(&reports)?
    } else if args.json {
        wire(&reports)
    } else {
        readable(&reports, &decision, &settings) + &outlook(args.contract)
    };

    output::note(SAMPLE);
    if decision.consent != Consent::Granted {
        output::note(&format!(
            "{}: this is what would be sent if it were on",
            collection(&decision)
        ));
    }
    for warning in &settings.warnings {
        output::note(&format!("warning: {warning}"));
    }
    output::print(&text)?;
    Ok(exit::SUCCESS)
}

fn builder(args: &Args) -> Builder {
    let mut builder = Usage::builder(args.contract.contract());
    builder = match args.contract {
        Name::Vllm | Name::VllmHeartbeat => builder.with_version(sample::VLLM_VERSION),
        Name::Vllm040 => builder.with_version(sample::VLLM_DOCUMENTED_VERSION),
        Name::Lmcache | Name::LmcacheDoc => builder
            .with_version(sample::LMCACHE_VERSION)
            .with_attribute(lmcache::DEPLOYMENT_MODE, "single_process"),
        Name::LmcacheMp => builder
            .with_version(sample::LMCACHE_VERSION)
            .with_attribute(lmcache::DEPLOYMENT_MODE, "mp_server"),
    };
    if let Some(nanos) = args.clock {
        builder = builder.with_clock(Clock::fixed(nanos));
    }
    if let Some(id) = &args.instance_id {
        builder = builder.with_instance_id(id);
    }
    builder
}

/// The reports of a run, in order; only the heartbeat where that was asked for.
fn reports(name: Name, builder: &Builder) -> Result<Vec<Report>, otel_usage::Error> {
    let run = match name {
        Name::Vllm | Name::Vllm040 | Name::VllmHeartbeat => {
            builder.preview_run(sample::vllm_report())
        }
        Name::Lmcache | Name::LmcacheDoc => builder.preview_run(sample::lmcache_engine()),
        Name::LmcacheMp => builder.preview_run(sample::lmcache_mp_server()),
    }?;
    Ok(match name {
        Name::VllmHeartbeat => run.heartbeat.into_iter().collect(),
        _ => run.start.into_iter().chain(run.finish).collect(),
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

/// What follows by itself and is not shown.
fn outlook(name: Name) -> String {
    let seconds = name.contract().messages.iter().find_map(|spec| match spec.trigger {
        Trigger::Heartbeat { seconds } => Some(seconds),
        _ => None,
    });
    match seconds {
        Some(seconds) if name != Name::VllmHeartbeat => {
            format!("Every {seconds} s after that, a heartbeat: --contract vllm-heartbeat\n")
        }
        _ => String::new(),
    }
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
