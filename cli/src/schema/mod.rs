//! `otel-usage schema`: prints the texts that are generated from the tables of the contracts.
//!
//! `cargo xtask generate` writes them to their checked-in files.

mod clickhouse;
mod collector;
mod diff;
mod json_schema;
pub(crate) mod markdown;

#[cfg(feature = "serve")]
pub(crate) use self::clickhouse::tables;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use otel_usage::Contract;

use crate::contract::{self, Chosen};
use crate::{exit, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    chosen: Chosen,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    format: Format,
    /// Write into this folder: a JSON Schema for each message, or the tables of each contract
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show how two contracts differ in what is sent, and whether that is a new class of data
    ///
    /// Exit code: 0 nothing more is sent; 5 more or other data is sent; 6 a new class of data or free text is sent.
    Diff(diff::Args),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The contract file that `--contract-file` reads
    Contract,
    /// Tables for ClickHouse, and views that read its stock OpenTelemetry trace table
    Clickhouse,
    /// The attribute names that a collector accepts
    Collector,
    /// A JSON Schema (draft 2020-12) for each message
    JsonSchema,
    /// The data dictionary
    Markdown,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    if let Some(Command::Diff(args)) = &args.command {
        return diff::run(args);
    }
    let contracts = chosen(args)?;
    match (&args.out, args.format) {
        (None, Format::Contract) => match contracts.as_slice() {
            [one] => output::print(&one.to_json())?,
            _ => bail!("--format contract prints one contract: add --contract ID"),
        },
        (None, Format::Clickhouse) => output::print(&clickhouse::all(&contracts))?,
        (None, Format::Collector) => output::print(&collector::list(&contracts))?,
        (None, Format::JsonSchema) => output::print(&json_schema::all(&contracts)?)?,
        (None, Format::Markdown) => output::print(&markdown::dictionary(&contracts))?,
        (Some(folder), Format::JsonSchema) => {
            for (contract, spec) in messages(&contracts) {
                let text = json_schema::text(contract, spec)?;
                let folder = folder.join(plain(&contract.id));
                write(&folder, &format!("{}.json", plain(&spec.name)), &text)?;
            }
        }
        (Some(folder), Format::Clickhouse) => {
            for contract in &contracts {
                let text = clickhouse::all(std::slice::from_ref(contract));
                write(folder, &format!("{}.sql", plain(&contract.id)), &text)?;
            }
        }
        (Some(_), other) => {
            let name = other.to_possible_value().map(|value| value.get_name().to_owned());
            bail!(
                "--out has no effect for {}, which is one file: redirect the output",
                name.unwrap_or_default()
            );
        }
    }
    Ok(exit::SUCCESS)
}

/// Returns the chosen contracts, else the built-in ones: the generated files must not depend on this machine.
fn chosen(args: &Args) -> anyhow::Result<Vec<Contract>> {
    let contracts = contract::whole(&args.chosen.named()?);
    Ok(if contracts.is_empty() {
        Contract::built_in().into_iter().cloned().collect()
    } else {
        contracts
    })
}

/// Returns every message with its contract.
fn messages(
    contracts: &[Contract],
) -> impl Iterator<Item = (&Contract, &otel_usage::schema::MessageSpec)> {
    contracts.iter().flat_map(|contract| contract.messages.iter().map(move |spec| (contract, spec)))
}

/// Returns the id of a contract as a file name.
fn plain(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect()
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, text))
        .with_context(|| format!("{} cannot be written: check its permissions", path.display()))
}
