//! `otel-usage status`: shows what engines would do in this environment. It only reads.
//!
//! The JSON form is part of the interface, and `docs/operator/cli.md` describes it. Within one `format` fields are added,
//! but not renamed or removed.

use std::fmt::Write as _;

use anyhow::Context as _;
use otel_usage::export::ExporterName;
use otel_usage::schema::{Destination, vllm};
use otel_usage::settings::{Inspection, ReceiptsSettings, Settings};
use otel_usage::{Consent, Contract, Usage};
use serde::Serialize;

use crate::contract::{self, Chosen, Subject};
use crate::look::look;
use crate::output::{BAD, CAUTION, GOOD, HEADING, styled};
use crate::words::guessed;
use crate::{check, exit, fails, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Print one JSON object, which docs/operator/cli.md describes
    #[arg(long)]
    json: bool,
    /// Find what would go wrong, and say what to do about it
    #[arg(long)]
    check: bool,
    /// With --check, also ask each destination for the head of its root, which sends no data
    #[arg(long, requires = "check")]
    network: bool,
}

/// Version of the JSON form.
const FORMAT: u32 = 1;

/// The output of `--json`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    format: u32,
    collection: &'static str,
    mode_file: Option<String>,
    config_file: Option<&'a str>,
    spool: Option<&'a str>,
    require_tls: Option<&'a str>,
    receipts: &'static str,
    memory_only: Option<&'a str>,
    contracts: &'a [Status],
}

/// The behaviour of an engine with one contract.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) contract: String,
    #[serde(rename = "collection", serialize_with = "word")]
    pub(crate) consent: Consent,
    pub(crate) because: String,
    exporters: Vec<Destined>,
    pub(crate) warnings: Vec<String>,
    pub(crate) notes: Vec<String>,
    /// The same for every contract, so it is shown once.
    #[serde(skip)]
    config_file: Option<String>,
    /// The folder of messages that wait on disk; the same for every contract, too.
    #[serde(skip)]
    pub(crate) spool: Option<String>,
    /// The setting that requires TLS; the same for every contract, too.
    #[serde(skip)]
    require_tls: Option<String>,
    /// The journal of what is sent; the same for every contract, too.
    #[serde(skip)]
    receipts: ReceiptsSettings,
    /// The reason why they wait in memory only, if they do.
    #[serde(skip)]
    pub(crate) memory_only: Option<String>,
}

/// An exporter and its destination.
#[derive(Debug, Serialize)]
struct Destined {
    name: &'static str,
    /// Whether consent allows it.
    runs: bool,
    destination: String,
    cleartext: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    if args.check {
        let contracts = contract::whole(&args.chosen.subjects()?);
        return check::run(&contracts, args.json, args.network);
    }
    let statuses = here(&args.chosen.subjects()?)?;
    let overall = most_permissive(&statuses);
    if args.json {
        output::print(&json(&statuses, overall)?)?;
    } else {
        output::show(&readable(&statuses))?;
    }
    Ok(exit::of(overall))
}

/// Returns what engines would do in the environment of this process.
pub(crate) fn here(subjects: &[Subject]) -> anyhow::Result<Vec<Status>> {
    of(&contract::whole(subjects))
}

/// Returns what the engines of these contracts would do in the environment of this process.
pub(crate) fn of(contracts: &[Contract]) -> anyhow::Result<Vec<Status>> {
    let of = |contract: &Contract| {
        let inspection = look(Usage::builder(contract))?;
        let mut status = Status::of(contract, &inspection)?;
        status.warnings.extend(fails::misspelt_variables());
        let settings = inspection.settings();
        if status.consent != Consent::Off && settings.exporters.contains(&ExporterName::File) {
            let files = [&settings.local_log, &settings.file].into_iter().flatten();
            status.warnings.extend(files.filter_map(|path| fails::unwritable(path)));
        }
        Ok(status)
    };
    contracts.iter().map(of).collect()
}

/// Returns the most permissive consent, because it decides whether data may leave the machine.
pub(crate) fn most_permissive(statuses: &[Status]) -> Consent {
    statuses.iter().map(|status| status.consent).min().unwrap_or(Consent::Off)
}

impl Status {
    pub(crate) fn of(contract: &Contract, inspection: &Inspection) -> anyhow::Result<Self> {
        let (decision, settings) = (inspection.decision().clone(), inspection.settings().clone());
        let exporters = settings
            .exporters
            .iter()
            .map(|exporter| Destined::of(*exporter, decision.consent, &settings))
            .collect();
        Ok(Self {
            contract: contract.id.to_string(),
            consent: decision.consent,
            because: decision.because,
            exporters,
            warnings: settings.warnings.iter().map(|warning| guessed(warning)).collect(),
            notes: settings.notes,
            config_file: settings.config_file.map(|path| path.display().to_string()),
            spool: settings.spool.map(|path| path.display().to_string()),
            require_tls: settings.require_tls,
            receipts: settings.receipts,
            memory_only: settings.memory_only,
        })
    }
}

impl Status {
    /// Returns whether messages may leave the machine.
    pub(crate) fn sends(&self) -> bool {
        self.exporters.iter().any(|one| one.runs && matches!(one.name, "otlp" | "server"))
    }
}

impl Destined {
    fn of(exporter: ExporterName, consent: Consent, settings: &Settings) -> Self {
        let runs = consent.allows(exporter.is_network());
        let url = match exporter {
            ExporterName::Otlp => settings.otlp.as_ref().map(|otlp| otlp.endpoint.as_str()),
            ExporterName::Server => settings.server.as_deref(),
            _ => None,
        };
        let url = url.and_then(Destination::parse);
        let destination = match (exporter, &url) {
            (_, Some(url)) => url.to_string().trim_end_matches('/').to_owned(),
            (ExporterName::Console, _) => "standard error of the engine".to_owned(),
            (ExporterName::File, _) => {
                let path = settings.local_log.as_ref().or(settings.file.as_ref());
                path.map(|path| path.display().to_string()).unwrap_or_default()
            }
            _ => String::new(),
        };
        let cleartext = url.is_some_and(|url: Destination| url.is_cleartext());
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
        mode_file: look(Usage::builder(&vllm::CURRENT))?
            .mode_file()
            .map(|path| path.display().to_string()),
        config_file: config_file(statuses),
        spool: spool(statuses),
        require_tls: require_tls(statuses),
        receipts: receipts(statuses).mode.as_str(),
        memory_only: memory_only(statuses),
        contracts: statuses,
    };
    Ok(serde_json::to_string(&document).context("the status cannot be written as JSON")? + "\n")
}

fn config_file(statuses: &[Status]) -> Option<&str> {
    statuses.iter().find_map(|status| status.config_file.as_deref())
}

fn spool(statuses: &[Status]) -> Option<&str> {
    statuses.iter().find_map(|status| status.spool.as_deref())
}

fn require_tls(statuses: &[Status]) -> Option<&str> {
    statuses.iter().find_map(|status| status.require_tls.as_deref())
}

fn receipts(statuses: &[Status]) -> ReceiptsSettings {
    statuses.first().map(|status| status.receipts.clone()).unwrap_or_default()
}

fn memory_only(statuses: &[Status]) -> Option<&str> {
    statuses.iter().find_map(|status| status.memory_only.as_deref())
}

fn readable(statuses: &[Status]) -> String {
    let mut text = pipelines(statuses);
    if let Some(path) = config_file(statuses) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "configuration file: {path}");
    }
    if statuses.iter().any(Status::sends) {
        let place = match memory_only(statuses) {
            Some(why) => format!("memory only ({why})"),
            None => spool(statuses).unwrap_or("memory only").to_owned(),
        };
        let _ = writeln!(text, "messages that cannot be delivered wait in: {place}");
        let settings = receipts(statuses);
        if let Some(journal) = fails::recorded(&settings) {
            let shown = journal.display();
            let _ = match fails::no_journal(journal) {
                None => {
                    let mode = settings.mode.as_str();
                    writeln!(text, "what is sent is recorded in: {shown} ({mode})")
                }
                Some(why) => writeln!(text, "what is sent may not be recorded in {shown}: {why}"),
            };
        }
    }
    if let Some(place) = require_tls(statuses) {
        let _ = writeln!(text, "TLS is required by: {place}");
    }
    // Most mistakes affect every contract in the same way.
    for warning in each_once(statuses.iter().flat_map(|status| &status.warnings)) {
        let _ = writeln!(text, "{} {warning}", styled(CAUTION, "warning:"));
    }
    for note in each_once(statuses.iter().flat_map(|status| &status.notes)) {
        let _ = writeln!(text, "{} {note}", styled(HEADING, "note:"));
    }
    text
}

/// Returns the lines without repetitions, in their order.
pub(crate) fn each_once<'a>(lines: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    let mut once: Vec<&str> = Vec::new();
    for line in lines {
        if !once.contains(&line.as_str()) {
            once.push(line);
        }
    }
    once
}

/// Returns the word for `consent` in its colour.
pub(crate) fn mode(consent: Consent) -> String {
    let style = match consent {
        Consent::Granted => GOOD,
        Consent::Local => CAUTION,
        Consent::Off => BAD,
    };
    styled(style, consent.as_str())
}

/// Returns the exporters of each contract as text.
pub(crate) fn pipelines(statuses: &[Status]) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    for status in statuses {
        let Status { contract, consent, because, exporters, .. } = status;
        let _ = writeln!(text, "{}: {} ({because})", styled(HEADING, contract), mode(*consent));
        let (running, stopped): (Vec<_>, Vec<_>) = exporters.iter().partition(|one| one.runs);
        for Destined { name, destination, cleartext, .. } in &running {
            let mark = match cleartext {
                true => format!(" {}", styled(CAUTION, "(cleartext)")),
                false => String::new(),
            };
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
    text
}
