//! `otel-usage status --check`: finds what would go wrong, and says how to mend it.
//!
//! It writes nothing. It opens a connection only with `--network`, and not while collection is off or local.

mod files;
mod machine;
mod network;

use std::fmt::Write as _;

use anyhow::Context as _;
use otel_usage::settings::Inspection;
use otel_usage::{Consent, Contract, Usage};
use serde::Serialize;

use crate::look::{look, within};
use crate::output::{BAD, CAUTION, GOOD, HEADING, styled};
use crate::status::{self, Status};
use crate::{exit, output};

/// Version of the JSON form.
const FORMAT: u32 = 1;

/// How much something matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// It works.
    Fine,
    /// It may not be meant. It does not change the exit code.
    Note,
    /// Something would go wrong.
    Problem,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    /// The thing that was checked, as one word.
    check: &'static str,
    level: Level,
    what: String,
    /// The remedy, if there is something to mend.
    hint: Option<String>,
}

impl Finding {
    fn fine(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, level: Level::Fine, what: what.into(), hint: None }
    }

    fn note(check: &'static str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, level: Level::Note, what: what.into(), hint: Some(hint.into()) }
    }

    fn problem(check: &'static str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, level: Level::Problem, what: what.into(), hint: Some(hint.into()) }
    }
}

/// The output of `--json`.
#[derive(Debug, Serialize)]
struct Document {
    format: u32,
    problems: usize,
    network: bool,
    findings: Vec<Finding>,
}

pub(crate) fn run(contracts: &[Contract], json: bool, network: bool) -> anyhow::Result<u8> {
    let statuses = status::of(contracts)?;
    let look = |contract| look(Usage::builder(contract));
    let seen: Vec<Inspection> = contracts.iter().map(look).collect::<anyhow::Result<_>>()?;
    let overall = status::most_permissive(&statuses);
    let mut findings = settings(&statuses);
    // The files may be below a mount whose server is gone.
    let local = within("the files and folders of this user", {
        let inspections: Vec<_> = seen.iter().map(files::Places::of).collect();
        let last_off = seen.first().map(Inspection::last_off);
        move || {
            let last_off = last_off.map_or(Ok(None), |read| read());
            let mut findings = files::check(&inspections, last_off);
            findings.extend(machine::check(&inspections));
            findings
        }
    })?;
    findings.extend(local);
    findings.extend(network::routes(&seen, overall));
    if network {
        findings.extend(network::reach(&seen, overall));
    }
    let problems = findings.iter().filter(|one| one.level == Level::Problem).count();
    if json {
        let document = Document { format: FORMAT, problems, network, findings };
        let json =
            serde_json::to_string(&document).context("the findings cannot be written as JSON")?;
        output::print(&(json + "\n"))?;
    } else {
        output::show(&readable(&findings, problems))?;
    }
    Ok(if problems == 0 { exit::SUCCESS } else { exit::ATTENTION })
}

/// Returns what the settings say, and their mistakes.
fn settings(statuses: &[Status]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = statuses
        .iter()
        .map(|status| {
            let Status { contract, consent, because, .. } = status;
            let what = format!("{contract}: {} ({because})", consent.as_str());
            match consent {
                Consent::Granted => Finding::fine("consent", what),
                Consent::Local => {
                    Finding::note("consent", what, "nothing is sent, which may be meant")
                }
                Consent::Off => {
                    Finding::note("consent", what, "nothing is recorded, which may be meant")
                }
            }
        })
        .collect();
    // Each warning names its remedy after a semicolon.
    // The check of the folder tells why it is not used.
    let of_folder = |status: &&Status| status.sends() && status.spool.is_some();
    let of_folder =
        statuses.iter().find(of_folder).and_then(|status| status.memory_only.as_deref());
    for warning in status::each_once(statuses.iter().flat_map(|status| &status.warnings)) {
        if of_folder.is_some_and(|why| warning.starts_with(why)) {
            continue;
        }
        let (what, hint) = warning
            .split_once("; ")
            .filter(|(_, hint)| !hint.ends_with(" is off"))
            .unwrap_or((warning, "correct what it names, or unset it"));
        findings.push(Finding::problem("settings", what, hint));
    }
    for note in status::each_once(statuses.iter().flat_map(|status| &status.notes)) {
        let (what, hint) = note.split_once("; ").unwrap_or((note, "look whether it is meant"));
        findings.push(Finding::note("settings", what, hint));
    }
    findings
}

fn readable(findings: &[Finding], problems: usize) -> String {
    let wide = findings.iter().map(|one| one.check.len()).max().unwrap_or_default();
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    for Finding { check, level, what, hint } in findings {
        let (style, word) = match level {
            Level::Fine => (GOOD, "fine   "),
            Level::Note => (CAUTION, "note   "),
            Level::Problem => (BAD, "problem"),
        };
        let _ = writeln!(text, "{}  {check:<wide$}  {what}", styled(style, word));
        if let Some(hint) = hint {
            let _ = writeln!(text, "         {:<wide$}  {} {hint}", "", styled(HEADING, "→"));
        }
    }
    let _ = match problems {
        0 => writeln!(text, "nothing would go wrong"),
        1 => writeln!(text, "1 problem"),
        many => writeln!(text, "{many} problems"),
    };
    text
}
