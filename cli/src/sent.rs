//! `otel-usage sent`: shows what left this machine, from the journal that `otel-usage receipts` starts. It only reads.
//!
//! The JSON form is part of the interface, and `docs/operator/cli.md` describes it. Within one `format` fields are added,
//! but not renamed or removed.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use otel_usage::Usage;
use otel_usage::clock::Clock;
use otel_usage::export::{Delivery, DeliveryOutcome, ExporterName};
use otel_usage::receipts::{self, Receipt, Receipts};
use otel_usage::schema::vllm;
use otel_usage::settings::{ReceiptsMode, ReceiptsSettings};
use serde::Serialize;

use crate::contract::{self, Chosen};
use crate::look::{look, within};
use crate::output::{BAD, CAUTION, GOOD, Table, styled};
use crate::{exit, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Show only what was sent since then: 90m, 7d, 2026-11-28, 2026-11-28T08:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<i64>,
    /// Print one JSON object, which docs/operator/cli.md describes
    #[arg(long)]
    json: bool,
    /// Show the body of each message too, if bodies were recorded
    #[arg(long)]
    body: bool,
}

/// Version of the JSON form.
const FORMAT: u32 = 1;

/// The output of `--json`.
#[derive(Debug, Serialize)]
struct Document {
    format: u32,
    receipts: &'static str,
    journal: Option<String>,
    damaged: usize,
    sent: Vec<Sent>,
}

#[derive(Debug, Serialize)]
struct Sent {
    time: String,
    unix_millis: i64,
    contract: String,
    exporter: String,
    message: String,
    destination: String,
    outcome: &'static str,
    status: Option<u16>,
    identity: String,
    instance_id: Option<String>,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Option<String>>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let contracts = contract::whole(&args.chosen.named()?);
    let settings = look(Usage::builder(&vllm::CURRENT))?.settings().receipts.clone();
    let journal = settings
        .journal
        .clone()
        .ok_or_else(|| anyhow!("no home directory is known: set HOME or XDG_STATE_HOME"))?;
    let found = read(&journal)?;
    for note in notes(&settings, &journal, found.as_ref()) {
        output::note(&note);
    }
    let Receipts { mut receipts, damaged, .. } = found.unwrap_or_default();
    receipts.retain(|Receipt { delivery, .. }| {
        (contracts.is_empty() || contracts.iter().any(|one| one.id == delivery.contract))
            && args.since.is_none_or(|since| delivery.unix_millis >= since)
    });
    receipts.reverse();
    if args.json {
        let journal = Some(journal.display().to_string());
        let sent = receipts.into_iter().map(|receipt| Sent::of(receipt, args.body)).collect();
        let receipts = settings.mode.as_str();
        let document = Document { format: FORMAT, receipts, journal, damaged, sent };
        let text =
            serde_json::to_string(&document).context("the list cannot be written as JSON")?;
        output::print(&(text + "\n"))?;
    } else if args.body {
        output::show(&with_bodies(&receipts))?;
    } else if !receipts.is_empty() {
        output::show(&table(&receipts))?;
    }
    Ok(exit::SUCCESS)
}

/// Reads the journal, within a time limit.
fn read(journal: &Path) -> anyhow::Result<Option<Receipts>> {
    let path = journal.to_owned();
    within("the journal of what is sent", move || receipts::read(&path))?
        .with_context(|| format!("{} cannot be read: make it readable", journal.display()))
}

/// Returns what the list does not show by itself.
fn notes(settings: &ReceiptsSettings, journal: &Path, found: Option<&Receipts>) -> Vec<String> {
    let start = "`otel-usage receipts on` or OTEL_USAGE_RECEIPTS=on";
    let path = journal.display();
    let state = match (found, settings.mode) {
        (None, ReceiptsMode::Off) => Some(format!(
            "there is no journal of what is sent; {start} starts one, and `bodies` instead of `on` records the \
             messages too"
        )),
        (None, _) => Some(format!("nothing was sent yet; engines that start now write {path}")),
        (Some(_), ReceiptsMode::Off) => Some(format!(
            "the journal is off now, because of: {}; {start} goes on with it",
            settings.because
        )),
        _ => None,
    };
    let damaged = found.map_or(0, |found| found.damaged);
    let lines = if damaged == 1 { "line is" } else { "lines are" };
    let damage = (damaged > 0)
        .then(|| format!("{damaged} {lines} damaged and left out of the list: {path}"));
    state.into_iter().chain(damage).collect()
}

impl Sent {
    fn of(Receipt { delivery, body, .. }: Receipt, with_body: bool) -> Self {
        Self {
            time: time(&delivery),
            outcome: delivery.outcome.as_str(),
            unix_millis: delivery.unix_millis,
            contract: delivery.contract,
            exporter: delivery.exporter,
            message: delivery.message,
            destination: delivery.destination,
            status: delivery.status,
            identity: delivery.identity,
            instance_id: delivery.instance_id,
            bytes: delivery.bytes,
            body: with_body.then_some(body),
        }
    }
}

fn table(receipts: &[Receipt]) -> String {
    let heading = ["time", "contract", "message", "bytes", "identity", "destination", "outcome"];
    let mut table = Table::new(heading).wide();
    for Receipt { delivery, .. } in receipts {
        table.row([
            time(delivery),
            plain(&delivery.contract),
            plain(&delivery.message),
            delivery.bytes.to_string(),
            plain(identity(delivery)),
            plain(&delivery.destination),
            outcome(delivery),
        ]);
    }
    table.text()
}

/// Returns a line for each delivery, and its body below it.
fn with_bodies(receipts: &[Receipt]) -> String {
    let of = |Receipt { delivery, body, .. }: &Receipt| {
        let body = body.as_deref().map_or_else(|| "(no body is recorded)".to_owned(), plain);
        format!(
            "{}  {}  {}  {} bytes  {}  {}\n{}\n{body}\n",
            time(delivery),
            plain(&delivery.contract),
            plain(&delivery.message),
            delivery.bytes,
            plain(&delivery.destination),
            outcome(delivery),
            plain(&format!("identity {}", identity(delivery))),
        )
    };
    receipts.iter().map(of).collect::<Vec<_>>().join("\n")
}

/// Returns the identity by which the receiver knows the message. Its journal may be of an earlier version.
fn identity(delivery: &Delivery) -> &str {
    let otlp = delivery.exporter == ExporterName::Otlp.as_str();
    let record = if otlp { delivery.identity.as_str() } else { "-" };
    delivery.instance_id.as_deref().unwrap_or(record)
}

fn outcome(delivery: &Delivery) -> String {
    let answer = |none: &str| match delivery.status {
        Some(status) => format!(" ({status})"),
        None => none.to_owned(),
    };
    match delivery.outcome {
        DeliveryOutcome::Delivered => styled(GOOD, format!("delivered{}", answer(""))),
        DeliveryOutcome::Refused => styled(BAD, format!("refused{}", answer(""))),
        DeliveryOutcome::Failed => styled(CAUTION, format!("failed{}", answer(" (no answer)"))),
        _ => styled(CAUTION, "no answer is recorded"),
    }
}

/// Returns the time of the attempt, in UTC.
fn time(delivery: &Delivery) -> String {
    let since = Duration::from_millis(u64::try_from(delivery.unix_millis).unwrap_or(0));
    let time = UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Returns text without characters that would change a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Reads a time, or how long ago it was, as milliseconds since the Unix epoch.
fn since(word: &str) -> Result<i64, String> {
    let time = || {
        let midnight = format!("{word}T00:00:00Z");
        let time = humantime::parse_rfc3339_weak(word)
            .or_else(|_| humantime::parse_rfc3339_weak(&midnight))
            .ok()?;
        i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
    };
    let ago = || {
        let ago = i64::try_from(humantime::parse_duration(word).ok()?.as_millis()).ok()?;
        Clock::system().unix_nanos().div_euclid(1_000_000).checked_sub(ago)
    };
    ago().or_else(time).ok_or_else(|| {
        "it is neither a time nor a duration; write 90m, 7d, 2026-11-28 or 2026-11-28T08:00:00Z"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_a_duration() {
        for (word, millis) in [
            ("2026-11-28", 1_795_824_000_000),
            ("2026-11-28T08:00:00Z", 1_795_852_800_000),
            ("2026-11-28 08:00:00", 1_795_852_800_000),
        ] {
            assert_eq!(since(word), Ok(millis), "{word}");
        }
        let now = Clock::system().unix_nanos() / 1_000_000;
        for (word, ago) in [("90m", 5400), ("7d", 7 * 86_400), ("1h 30m", 5400)] {
            let passed = now - ago * 1000;
            assert!((passed..passed + 600_000).contains(&since(word).unwrap()), "{word}");
        }
        for word in ["", "soon", "7", "-1h", "2026-13-01"] {
            assert!(since(word).unwrap_err().contains("90m"), "{word}");
        }
    }
}
