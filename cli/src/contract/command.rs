//! `otel-usage contract`: lists the contracts that are known on this machine, and adds and removes contract files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::ValueEnum as _;
use otel_usage::Contract;
use serde::Serialize;

use super::known::{self, Installed, Known, from_file};
use super::name::Name;
use crate::words::did_you_mean;
use crate::{exit, files, output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make the contract of an engine known to `preview` and `status`
    ///
    /// Checks the file and copies it to $XDG_DATA_HOME/otel-usage/contracts/. A file with the id of a
    /// contract that is known already replaces it for this user.
    Add {
        /// Contract file, as `Contract::to_json` writes it
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Check contract files, and write nothing
    Check {
        /// Contract file, as `Contract::to_json` writes it
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// List the contracts that are known on this machine, and where they come from
    #[command(alias = "list")]
    Ls {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Remove contract files that `contract add` has written
    #[command(alias = "rm")]
    Remove {
        /// Contract by its engine (my_engine) or id (my_engine/1)
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
}

/// Version of the JSON form.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    contracts: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    contract: &'a str,
    engine: &'a str,
    file: Option<String>,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<u8> {
    let text = match command {
        Command::Add { files } => each(files, |path| add(path))?,
        Command::Check { files } => each(files, |path| {
            let contract = from_file(path)?;
            Ok(format!("{}: a valid contract, {}\n", path.display(), summary(&contract)))
        })?,
        Command::Ls { json } => list(*json)?,
        Command::Remove { names } => each(names, |name| remove(name))?,
    };
    if let Command::Ls { json: true } = command {
        output::print(&text)?;
    } else {
        output::show(&text)?;
    }
    Ok(exit::SUCCESS)
}

fn each<T>(things: &[T], one: impl Fn(&T) -> anyhow::Result<String>) -> anyhow::Result<String> {
    things.iter().map(one).collect()
}

fn summary(contract: &Contract) -> String {
    let messages: Vec<&str> = contract.messages.iter().map(|spec| spec.name.as_ref()).collect();
    let messages = match messages.as_slice() {
        [] => "no messages".to_owned(),
        [one] => format!("message {one}"),
        several => format!("messages {}", several.join(", ")),
    };
    format!("{} of {}: {messages}", contract.id, contract.system)
}

fn add(path: &Path) -> anyhow::Result<String> {
    let contract = from_file(path)?;
    let folder = own_folder()?;
    let place = folder.join(file_name(&contract.id));
    let there = place.exists();
    if there && from_file(&place).is_ok_and(|other| other.id != contract.id) {
        bail!("{} holds another contract: give this one another id", place.display());
    }
    files::replace(&place, &contract.to_json())
        .with_context(|| format!("{} cannot be written: make it writable", place.display()))?;
    let id = &contract.id;
    let built_in = Contract::built_in().iter().any(|known| known.id == *id);
    let done = match (there, built_in) {
        (true, _) => "replaced",
        (false, true) => "added in the place of the built-in contract",
        (false, false) => "added",
    };
    Ok(format!(
        "{done} {}\n  {}\nSee what it would send: otel-usage preview --contract {id}\n",
        summary(&contract),
        place.display(),
    ))
}

fn remove(word: &str) -> anyhow::Result<String> {
    let folder = own_folder()?;
    let installed = Installed::read();
    let found = match Name::from_str(word, false) {
        Ok(name) => installed.with_id(&name.contract().id),
        Err(_) => installed.named(word).map_err(|what| anyhow!(what))?,
    };
    let Some(Known { contract, file: Some(path) }) = found else {
        if Name::from_str(word, false).is_ok() {
            bail!(
                "{word} is built in and cannot be removed: `otel-usage off` turns collection off"
            );
        }
        let ids = installed.contracts.iter().map(|known| known.contract.id.as_ref());
        bail!(
            "no contract file holds {word}{}; `otel-usage contract ls` lists the contracts",
            did_you_mean(word, ids)
        );
    };
    let id = &contract.id;
    if !path.starts_with(&folder) {
        bail!("{id} belongs to a package and cannot be removed here: remove {}", path.display());
    }
    fs::remove_file(path)
        .with_context(|| format!("{} cannot be removed: check its permissions", path.display()))?;
    Ok(format!("removed {id}\n  {}\n", path.display()))
}

fn list(json: bool) -> anyhow::Result<String> {
    let installed = Installed::read();
    for mistake in &installed.mistakes {
        output::warning(mistake);
    }
    let all = installed.every_contract();
    let shown = |known: &Known| known.file.as_ref().map(|path| path.display().to_string());
    if json {
        let contracts = all.iter().map(|known| Row {
            contract: &known.contract.id,
            engine: &known.contract.system,
            file: shown(known),
        });
        let document = Document { format: FORMAT, contracts: contracts.collect() };
        let text =
            serde_json::to_string(&document).context("the list cannot be written as JSON")?;
        return Ok(text + "\n");
    }
    let mut table = output::Table::new(["contract", "engine", "from"]);
    for known in &all {
        let from = shown(known).unwrap_or_else(|| "built in".to_owned());
        table.row([known.contract.id.to_string(), known.contract.system.to_string(), from]);
    }
    Ok(table.text())
}

fn own_folder() -> anyhow::Result<PathBuf> {
    known::own_folder().ok_or_else(|| {
        anyhow!("no home directory is known: set HOME, or XDG_DATA_HOME to an absolute path")
    })
}

/// Returns the id of a contract as a file name. One that began with a dot would be hidden.
fn file_name(id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._".contains(c) { c } else { '-' };
    let name: String = id.chars().map(plain).collect();
    let (hidden, rest) = name.strip_prefix('.').map_or(("", name.as_str()), |rest| ("-", rest));
    format!("{hidden}{rest}.json")
}
