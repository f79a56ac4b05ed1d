//! `otel-usage status`. In: contracts, environment, switches. Out: what an engine would do here.
//!
//! Reads only. The JSON form is part of the interface: `docs/cli.md` documents it, fields are
//! added but neither renamed nor removed within one `format`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Context as _;
use otel_usage::config::Settings;
use otel_usage::schema::{lmcache, vllm};
use otel_usage::{Consent, Contract, Exporter, Usage};
use serde::Serialize;

use crate::contract::Name;
use crate::destination::Destination;
use crate::{exit, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this contract [default: vllm/current and lmcache/1]
    #[arg(long, value_enum, value_name = "NAME")]
    contract: Option<Name>,
    /// One JSON object, as docs/cli.md describes it
    #[arg(long)]
    json: bool,
}

/// Version of the JSON form.
const FORMAT: u32 = 1;

/// Everything `--json` says.
#[derive(Debug, Serialize)]
struct Document<'a> {
    format: u32,
    collection: &'static str,
    mode_file: Option<String>,
    contracts: &'a [Status],
}

/// What an engine with one contract would do.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) contract: String,
    #[serde(rename = "collection", serialize_with = "word")]
    pub(crate) consent: Consent,
    pub(crate) because: String,
    exporters: Vec<Destined>,
    warnings: Vec<String>,
}

/// An exporter and where it leads.
#[derive(Debug, Serialize)]
struct Destined {
    name: &'static str,
    /// Whether consent lets it run.
    runs: bool,
    destination: String,
    cleartext: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let statuses = match args.contract {
        Some(name) => vec![Status::of(name.contract())],
        None => default(),
    };
    let overall = most_permissive(&statuses);
    let text = if args.json { json(&statuses, overall)? } else { readable(&statuses) };
    output::print(&text)?;
    Ok(exit::of(overall))
}

/// The contracts of the engines as they are today.
pub(crate) fn default() -> Vec<Status> {
    [&vllm::CURRENT, &lmcache::V1].into_iter().map(Status::of).collect()
}

/// On if any is on: then something may leave the machine.
pub(crate) fn most_permissive(statuses: &[Status]) -> Consent {
    statuses.iter().map(|status| status.consent).min().unwrap_or(Consent::Off)
}

impl Status {
    fn of(contract: &Contract) -> Self {
        let builder = Usage::builder(contract);
        let decision = builder.decision();
        let settings = builder.settings();
        let runs = |exporter: Exporter| match decision.consent {
            Consent::Granted => true,
            Consent::Local => !exporter.is_network(),
            Consent::Off => false,
        };
        let exporters = settings
            .exporters
            .iter()
            .map(|exporter| Destined::of(*exporter, runs(*exporter), &settings))
            .collect();
        Self {
            contract: contract.id.to_string(),
            consent: decision.consent,
            because: decision.because,
            exporters,
            warnings: settings.warnings,
        }
    }
}

impl Destined {
    fn of(exporter: Exporter, runs: bool, settings: &Settings) -> Self {
        let url = match exporter {
            Exporter::Otlp => settings.otlp.as_ref().map(|otlp| otlp.endpoint.as_str()),
            Exporter::Server => settings.server.as_deref(),
            _ => None,
        };
        let url = url.and_then(Destination::parse);
        let destination = match (exporter, &url) {
            (_, Some(url)) => url.shown(),
            (Exporter::Console, _) => "standard error of the engine".to_owned(),
            (Exporter::File, _) => {
                let path = settings.local_log.as_ref().or(settings.file.as_ref());
                path.map(|path| path.display().to_string()).unwrap_or_default()
            }
            _ => String::new(),
        };
        let cleartext = url.is_some_and(|url| url.is_cleartext());
        Self { name: exporter.as_str(), runs, destination, cleartext }
    }
}

fn word<S: serde::Serializer>(consent: &Consent, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(consent.as_str())
}

fn json(statuses: &[Status], overall: Consent) -> anyhow::Result<String> {
    let document = Document {
        format: FORMAT,
        collection: overall.as_str(),
        mode_file: Usage::builder(&vllm::CURRENT)
            .mode_file()
            .map(|path| path.display().to_string()),
        contracts: statuses,
    };
    Ok(serde_json::to_string(&document).context("the status cannot be written as JSON")? + "\n")
}

fn readable(statuses: &[Status]) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    for status in statuses {
        let Status { contract, consent, because, exporters, .. } = status;
        let _ = writeln!(text, "{contract}: {} ({because})", consent.as_str());
        let (running, stopped): (Vec<_>, Vec<_>) = exporters.iter().partition(|one| one.runs);
        for Destined { name, destination, cleartext, .. } in &running {
            let mark = if *cleartext { " (cleartext)" } else { "" };
            let _ = writeln!(text, "  {name:<8}{destination}{mark}");
        }
        if *consent == Consent::Local {
            for Destined { name, .. } in &stopped {
                let _ = writeln!(text, "  {name:<8}not while collection is local");
            }
        }
        match consent {
            Consent::Off => text.push_str("  nothing is recorded, written or sent\n"),
            _ if running.is_empty() => text.push_str("  no exporter: nothing is written or sent\n"),
            _ => {}
        }
    }
    // Most mistakes concern every contract alike.
    let warnings: BTreeSet<&String> = statuses.iter().flat_map(|status| &status.warnings).collect();
    for warning in warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}
