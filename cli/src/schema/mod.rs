//! `otel-usage schema`. In: contracts. Out: everything that follows from their tables.
//!
//! The data dictionary, JSON Schemas, tables for ClickHouse and the collector's allow-list are all written
//! from here, and checked in where they are used; `cargo xtask generate` keeps them so.

mod clickhouse;
mod collector;
mod diff;
mod json_schema;
pub(crate) mod markdown;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use otel_usage::Contract;

use crate::contract::{self, Given};
use crate::{exit, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only this contract, by its id (vllm/current) [default: all that are built in]
    #[arg(long, value_name = "ID")]
    contract: Vec<String>,
    /// A contract of an engine of your own, as `Contract::to_json` writes it
    #[arg(long, value_name = "FILE")]
    contract_file: Vec<PathBuf>,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    format: Format,
    /// Write files into this folder instead of printing: a JSON Schema a message, or table definitions a contract
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what differs in what is sent between two contracts, and whether it is a new kind of data
    ///
    /// Exit code: 0 nothing more or other is sent, 5 something is, 6 a new kind of data or free text is.
    Diff(diff::Args),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The contract file that `--contract-file` takes
    Contract,
    /// Tables for ClickHouse, and views that read its stock OpenTelemetry trace table
    Clickhouse,
    /// The attribute names that a collector lets through
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
            _ => bail!("--format contract prints one contract: name it with --contract"),
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
            bail!("--out is for several files; {} is one: print it", name.unwrap_or_default());
        }
    }
    Ok(exit::SUCCESS)
}

fn chosen(args: &Args) -> anyhow::Result<Vec<Contract>> {
    let mut contracts = Vec::new();
    for id in &args.contract {
        contracts.push(contract::built_in(id)?.clone());
    }
    for path in &args.contract_file {
        contracts.push(contract::from_file(path)?);
    }
    if contracts.is_empty() {
        contracts.extend(Contract::built_in().into_iter().cloned());
    }
    Ok(contracts)
}

/// Every message with its contract.
fn messages(
    contracts: &[Contract],
) -> impl Iterator<Item = (&Contract, &otel_usage::schema::MessageSpec)> {
    contracts.iter().flat_map(|contract| contract.messages.iter().map(move |spec| (contract, spec)))
}

/// A contract's id as a folder or a part of a name.
fn plain(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect()
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, text))
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// A contract that `diff` compares: an id or a file.
pub(crate) fn given(word: &str) -> anyhow::Result<Contract> {
    match Given::of(word) {
        Given::BuiltIn(contract) => Ok(contract.clone()),
        Given::File(path) => contract::from_file(&path),
    }
}
