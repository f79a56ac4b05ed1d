//! `otel-usage forget`: removes the identity of the machine, the messages that wait and the journal of what was
//! sent.
//!
//! It prints first the identities that a receiver needs to delete what it has, because afterwards nothing here
//! knows them.

mod identities;
mod journal;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use otel_usage::schema::vllm;
use otel_usage::settings::Env;
use otel_usage::{Contract, Usage};

use self::identities::{Identities, Place};
use self::journal::Journal;
use crate::contract::{self, Chosen, Installed};
use crate::look::look;
use crate::output::{Failures, HEADING, styled};
use crate::words::did_you_mean;
use crate::{exit, output, spool};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Engine whose contracts are meant (vllm); the others keep theirs. May be given several times
    #[arg(long = "engine", value_name = "NAME")]
    engines: Vec<String>,
    #[command(flatten)]
    chosen: Chosen,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

/// The contracts whose identities are removed.
struct Subject {
    contracts: Vec<Contract>,
    /// Whether these are all that are known here.
    all: bool,
}

/// Longest text of an identity that is shown.
const SHOWN: usize = 64;

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let Subject { contracts, all } = match subject(args)? {
        Ok(subject) => subject,
        Err(unknown) => {
            output::error(&unknown);
            return Ok(exit::USAGE);
        }
    };
    let ids: Vec<String> = contracts.iter().map(|contract| contract.id.to_string()).collect();
    let only = (!all).then_some(ids.as_slice());
    let inspection = look(Usage::builder(&vllm::CURRENT))?;
    let folder = inspection.settings().spool.clone();
    // Nothing that fails keeps the rest from being removed.
    let mut failed = Failures::default();
    let waiting = folder.as_deref().map(|folder| spool::list(folder, only));
    let waiting = failed.of(waiting.transpose()).flatten().unwrap_or_default();
    let mut journal = Journal::unread(inspection.settings().receipts.journal.as_deref());
    failed.of(journal.read(only));
    let machine_ids = machine_ids(&contracts);

    let mut identities = Identities::of(&contracts);
    for path in &machine_ids {
        identities.add("machine_id", read_id(path), &Place::At(path.display().to_string()));
    }
    for file in &waiting {
        if let Ok(message) = &file.message {
            identities.add_message(message);
        }
    }
    journal.show(&mut identities);
    // It must be on its way to the reader before anything is removed.
    output::show(&identities.text())?;

    let mut text = String::new();
    if !args.dry_run && all {
        // Running engines then drop what they have in memory.
        failed.of(spool::forbid_older(&inspection));
    }
    let done = if args.dry_run { "would remove" } else { "removed" };
    let of_journal: Vec<PathBuf> = if all { journal.files().collect() } else { Vec::new() };
    for path in machine_ids.iter().chain(&of_journal) {
        let removed = if args.dry_run { Ok(()) } else { fs::remove_file(path) };
        let removed = removed.with_context(|| {
            format!("{} cannot be removed: correct the permissions of its folder", path.display())
        });
        if failed.of(removed).is_some() {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{done} {}", path.display());
        }
    }
    if !all && journal.count() > 0 {
        let removed = if args.dry_run { Ok(()) } else { journal.remove(&ids) };
        if failed.of(removed).is_some() {
            let lines = spool::many(journal.count(), "attempt");
            let _ = writeln!(text, "{done} {lines} to send from the journal of what was sent");
        }
    }
    if args.dry_run {
        let wait = if waiting.len() == 1 { "waits" } else { "wait" };
        let _ = writeln!(text, "{done} {} that {wait}", spool::many(waiting.len(), "message"));
    } else if let Some(gone) =
        failed.of(spool::purge(folder.as_deref(), only.map(<[String]>::to_vec)))
    {
        text += &spool::told(&gone, &inspection);
    }
    text += LIMITS;
    output::show(&text)?;
    Ok(failed.code())
}

const LIMITS: &str = "\
This deletes nothing that was sent. Ask the receivers, and name the identities above.
Identities of earlier runs are random, and are known here only from waiting messages, the journal, and the local
file of an engine (usage_stats.json), which stays.
An engine that runs keeps its identities until it ends. LMCache makes a new machine_id unless collection is off.
";

/// Returns what the options name, else everything that is known here. The inner error is a wrong command line.
fn subject(args: &Args) -> anyhow::Result<Result<Subject, anyhow::Error>> {
    let known: Vec<Contract> =
        Installed::read().every_contract().into_iter().map(|known| known.contract).collect();
    let mut contracts = contract::whole(&args.chosen.named()?);
    for engine in &args.engines {
        let of_engine = known.iter().filter(|contract| contract.system == engine.as_str());
        let of_engine: Vec<&Contract> = of_engine.collect();
        if of_engine.is_empty() {
            let names = known.iter().map(|contract| contract.system.as_ref());
            return Ok(Err(anyhow!(
                "no engine `{}` is known here{}; `otel-usage contract ls` lists the names",
                engine.chars().take(60).filter(|c| !c.is_control()).collect::<String>(),
                did_you_mean(engine, names)
            )));
        }
        for contract in of_engine {
            if !contracts.contains(contract) {
                contracts.push(contract.clone());
            }
        }
    }
    if contracts.is_empty() {
        return Ok(Ok(Subject { contracts: known, all: true }));
    }
    Ok(Ok(Subject { contracts, all: false }))
}

/// Returns the files with an identity of the machine that are there.
fn machine_ids(contracts: &[Contract]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for contract in contracts {
        let path = Env::process(contract).machine_id_file(contract);
        if let Some(path) = path.filter(|path| fs::symlink_metadata(path).is_ok())
            && !found.contains(&path)
        {
            found.push(path);
        }
    }
    found
}

/// Returns the text of the file, shortened.
fn read_id(path: &Path) -> String {
    let text = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() < 4096 => {
            fs::read_to_string(path).ok()
        }
        _ => None,
    };
    match text {
        Some(text) if text.trim().is_empty() => "(empty)".to_owned(),
        Some(text) => text.trim().chars().take(SHOWN).filter(|c| !c.is_control()).collect(),
        None => "(cannot be read)".to_owned(),
    }
}

/// Returns the heading above the identities.
fn heading(text: &str) -> String {
    styled(HEADING, text)
}
