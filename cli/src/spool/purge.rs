//! `otel-usage spool purge`, and what `off` and `forget` do with messages that wait.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use otel_usage::settings::{Inspection, SpoolFile, SpoolFolder};

use super::{WHAT, folder, here, ids, many, memory_only, now};
use crate::contract::Chosen;
use crate::look::within;
use crate::output::Failures;
use crate::{files, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let inspection = here()?;
    let contracts = ids(&args.chosen)?;
    let partly = contracts.is_some();
    let mut failed = Failures::default();
    if !partly {
        failed.of(forbid_older(&inspection));
    }
    if let Some(gone) = failed.of(purge(folder(&inspection).as_deref(), contracts)) {
        let mut text = told(&gone, &inspection);
        if partly && gone.iter().any(|file| file.owner.is_some()) {
            text += "Running engines have theirs in memory too, and send them unless you stop the engines.\n";
        }
        output::show(&text)?;
    }
    Ok(failed.code())
}

/// Notes that no message made until now may ever be sent, also by engines that have it in memory.
pub(crate) fn forbid_older(inspection: &Inspection) -> anyhow::Result<()> {
    let path = inspection.cutoff_file().ok_or_else(|| {
        anyhow!("no home directory is known: set HOME or XDG_CONFIG_HOME, for the engines too")
    })?;
    files::replace(path, &format!("{}\n", now()))
        .with_context(|| format!("{} cannot be written: make it writable", path.display()))
}

/// Deletes the messages of these contracts, or all, of this user. Returns them.
pub(crate) fn purge(
    folder: Option<&Path>,
    contracts: Option<Vec<String>>,
) -> anyhow::Result<Vec<SpoolFile>> {
    let Some(folder) = folder else { return Ok(Vec::new()) };
    let path = folder.to_owned();
    let purged = within(WHAT, move || {
        let folder = SpoolFolder::new(&path);
        let there = folder.list();
        let ids: Option<Vec<&str>> =
            contracts.as_ref().map(|ids| ids.iter().map(String::as_str).collect());
        let gone = folder.purge(ids.as_deref())?;
        // After the purge, because a folder that is too full for a list is emptied by several.
        Ok::<_, std::io::Error>(
            there?.into_iter().filter(|file| gone.contains(&file.name)).collect(),
        )
    })?;
    purged.with_context(|| {
        format!(
            "{}: messages that wait cannot be deleted: make the folder writable, or remove it",
            folder.display()
        )
    })
}

/// Says what was deleted: a line for each contract below the number.
pub(crate) fn told(gone: &[SpoolFile], inspection: &Inspection) -> String {
    let Some(folder) = folder(inspection) else {
        return format!("no message waits on disk: {}\n", memory_only(inspection));
    };
    let folder = folder.display();
    if gone.is_empty() {
        return format!("no message waits in {folder}\n");
    }
    let living = match gone.iter().filter(|file| file.owner.is_some()).count() {
        0 => String::new(),
        count => format!(", {count} of them of running engines"),
    };
    let mut text =
        format!("deleted {} that waited in {folder}{living}\n", many(gone.len(), "message"));
    let mut contracts: Vec<&str> = Vec::new();
    for file in gone {
        let id = file.message.as_ref().map_or("unreadable", |message| &message.contract);
        contracts.push(id);
    }
    contracts.sort_unstable();
    for of_one in contracts.chunk_by(|one, other| one == other) {
        if let Some(id) = of_one.first() {
            text += &format!("  {id}: {}\n", of_one.len());
        }
    }
    text
}
