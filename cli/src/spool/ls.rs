//! `otel-usage spool ls`: shows the messages that wait on disk.

use std::collections::BTreeMap;

use anyhow::Context as _;
use bytesize::ByteSize;
use otel_usage::settings::SpoolFile;
use serde::Serialize;

use super::why::{Judge, Why, span};
use super::{folder, here, ids, list, many, memory_only};
use crate::contract::Chosen;
use crate::output::{self, HEADING, Table, styled};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Print one JSON object, which docs/operator/cli.md describes
    #[arg(long)]
    json: bool,
}

/// Version of the JSON form.
const FORMAT: u32 = 1;

/// The output of `--json`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    format: u32,
    folder: Option<String>,
    messages: Vec<Row<'a>>,
}

/// A message that waits.
#[derive(Debug, Serialize)]
struct Row<'a> {
    file: &'a str,
    contract: Option<&'a str>,
    message: Option<&'a str>,
    identity: Option<String>,
    time: Option<i64>,
    age: Option<i64>,
    bytes: u64,
    destination: Option<String>,
    owner_runs: bool,
    owner: Option<u32>,
    sends_to: Option<String>,
    why: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let inspection = here()?;
    let folder = folder(&inspection);
    let files = match &folder {
        Some(folder) => list(folder, ids(&args.chosen)?.as_deref())?,
        None => Vec::new(),
    };
    let judge = Judge::of(&files)?;
    let folder = folder.map(|folder| folder.display().to_string());
    if args.json {
        let messages = files.iter().map(|file| row(file, &judge)).collect();
        let document = Document { format: FORMAT, folder, messages };
        let json =
            serde_json::to_string(&document).context("the list cannot be written as JSON")?;
        return output::print(&(json + "\n"));
    }
    let Some(folder) = folder else {
        return output::show(&format!("{}\n", memory_only(&inspection)));
    };
    if files.is_empty() {
        return output::show(&format!("no message waits in {folder}\n"));
    }
    let bytes = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.bytes));
    let heading =
        format!("{folder}: {}, {}", many(files.len(), "message"), ByteSize(bytes).display().iec());
    output::show(&format!("{}\n{}", styled(HEADING, heading), table(&files, &judge)))
}

fn row<'a>(file: &'a SpoolFile, judge: &Judge) -> Row<'a> {
    let message = file.message.as_ref().ok();
    let why = judge.why(file);
    Row {
        file: &file.name,
        contract: message.map(|message| message.contract.as_str()),
        message: message.map(|message| message.message.as_str()),
        identity: message
            .map(|message| message.identity.map(|byte| format!("{byte:02x}")).concat()),
        time: message.map(|message| message.time),
        age: message.map(|message| judge.age(message.time)),
        bytes: file.bytes,
        destination: message.map(otel_usage::settings::SpoolMessage::destination),
        owner_runs: file.owner.is_some(),
        owner: file.owner.filter(|id| *id != 0),
        why: why.words(),
        sends_to: if let Why::Sent(to) = why { Some(to) } else { None },
    }
}

/// The sums of a group of messages.
#[derive(Default)]
struct Sum {
    count: usize,
    bytes: u64,
    oldest: Option<i64>,
}

/// Returns a line for each contract, owner and reason.
fn table(files: &[SpoolFile], judge: &Judge) -> String {
    let mut groups: BTreeMap<(String, String, Why), Sum> = BTreeMap::new();
    for file in files {
        let message = file.message.as_ref().ok();
        let contract = message.map_or_else(|| "-".to_owned(), |message| message.contract.clone());
        let owner = match file.owner {
            None => "ended".to_owned(),
            Some(0) => "runs".to_owned(),
            Some(id) => format!("process {id}"),
        };
        let age = message.map(|message| judge.age(message.time));
        let sum = groups.entry((contract, owner, judge.why(file))).or_default();
        sum.count = sum.count.saturating_add(1);
        sum.bytes = sum.bytes.saturating_add(file.bytes);
        sum.oldest = sum.oldest.max(age);
    }
    let mut table =
        Table::new(["contract", "messages", "size", "oldest", "owner", "what becomes of them"]);
    for ((contract, owner, why), Sum { count, bytes, oldest }) in groups {
        table.row([
            contract,
            count.to_string(),
            ByteSize(bytes).display().iec().to_string(),
            oldest.map_or_else(|| "-".to_owned(), span),
            owner,
            why.words(),
        ]);
    }
    table.text()
}
