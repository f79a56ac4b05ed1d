//! `otel-usage spool`: shows, deletes and sends the messages that wait on disk.

mod flush;
mod ls;
mod purge;
mod why;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use otel_usage::Usage;
use otel_usage::clock::Clock;
use otel_usage::schema::vllm;
use otel_usage::settings::{Inspection, SpoolFile, SpoolFolder};

use crate::contract::{self, Chosen};
use crate::exit;
use crate::look::{look, within};

pub(crate) use purge::{forbid_older, purge, told};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the messages that wait on disk, and what becomes of them
    ///
    /// Shows of each group its contract, number, size, age and owner, and whether engines that are
    /// started in the environment of this shell would send it. Writes and sends nothing.
    #[command(alias = "list")]
    Ls(ls::Args),
    /// Delete the messages that wait on disk, without a question
    ///
    /// Without --contract also running engines drop what they made until now. With it, a running
    /// engine still has its messages in memory and sends them.
    Purge(purge::Args),
    /// Send the messages that wait on disk now
    ///
    /// Sends what engines that are started in the environment of this shell would send, each message
    /// once. Messages of a running engine are left to it. Refuses if collection is off or local.
    ///
    /// Exit code: 0 nothing is left that these settings would send; 3 collection is local; 4
    /// collection is off; 7 messages are left that these settings would send.
    Flush(flush::Args),
}

pub(crate) fn run(command: &Command) -> anyhow::Result<u8> {
    match command {
        Command::Ls(args) => ls::run(args).map(|()| exit::SUCCESS),
        Command::Purge(args) => purge::run(args),
        Command::Flush(args) => flush::run(args),
    }
}

/// Returns what an engine would do here, for the settings that do not depend on the contract.
fn here() -> anyhow::Result<Inspection> {
    look(Usage::builder(&vllm::CURRENT))
}

/// Returns the folder of this user's messages that wait. `None`: there is none.
fn folder(inspection: &Inspection) -> Option<PathBuf> {
    inspection.settings().spool.clone()
}

/// Says that messages wait in memory only, and why.
fn memory_only(inspection: &Inspection) -> String {
    let why = inspection.settings().memory_only.as_deref();
    let why = why.unwrap_or("no home directory is known; name a folder in OTEL_USAGE_SPOOL_DIR");
    format!("messages that cannot be delivered wait in memory only ({why})")
}

/// Returns the messages that wait, of these contracts or of all.
pub(crate) fn list(folder: &Path, contracts: Option<&[String]>) -> anyhow::Result<Vec<SpoolFile>> {
    let path = folder.to_owned();
    let files = within(WHAT, move || SpoolFolder::new(&path).list())?;
    let mut files = files
        .with_context(|| format!("{} cannot be read: correct its permissions", folder.display()))?;
    if let Some(ids) = contracts {
        files.retain(|file| {
            file.message.as_ref().is_ok_and(|message| ids.contains(&message.contract))
        });
    }
    Ok(files)
}

/// The words for the folder if it does not answer.
const WHAT: &str = "the folder of messages that wait";

/// Returns the ids of the contracts that the options name. `None`: all.
fn ids(chosen: &Chosen) -> anyhow::Result<Option<Vec<String>>> {
    let named = contract::whole(&chosen.named()?);
    let ids: Vec<String> = named.iter().map(|contract| contract.id.to_string()).collect();
    Ok((!ids.is_empty()).then_some(ids))
}

/// Returns the whole seconds of the wall time.
pub(crate) fn now() -> i64 {
    Clock::system().unix_nanos().div_euclid(1_000_000_000)
}

/// Returns `1 message`, `2 messages`.
pub(crate) fn many(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
