//! `otel-usage config check`. In: a configuration file. Out: the pipeline that engines would run with it
//! here, and every mistake in it.
//!
//! The mistakes come without a prefix, as `FILE:LINE:COLUMN what`, which editors can follow.

use std::fmt::Write as _;
use std::path::PathBuf;

use otel_usage::{Env, Usage};

use crate::contract::Name;
use crate::status::{self, Status};
use crate::{exit, output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show what engines would do here with this file, and every mistake in it
    ///
    /// Reads the file as an engine does that is started in the environment of this shell with
    /// OTEL_USAGE_CONFIG=FILE. Nothing is written, no socket is opened.
    ///
    /// Exit code: 0 nothing is wrong; 1 something is, in the file or in the variables beside it.
    Check(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file, in the form that docs/configuration.md describes
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only this contract [default: vllm/current and lmcache/1]
    #[arg(long, value_enum, value_name = "NAME")]
    contract: Option<Name>,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<u8> {
    let Command::Check(Args { file, contract }) = command;
    let statuses: Vec<Status> = status::contracts(*contract)
        .into_iter()
        .map(|contract| {
            let environment = Env::process(contract).with("OTEL_USAGE_CONFIG", file);
            Status::of(contract, &Usage::builder(contract).with_environment(environment))
        })
        .collect();
    let mistakes = status::each_once(statuses.iter().flat_map(|status| &status.warnings));
    let mut text = status::pipelines(&statuses);
    for note in status::each_once(statuses.iter().flat_map(|status| &status.notes)) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "note: {note}");
    }
    for mistake in &mistakes {
        let _ = writeln!(text, "{mistake}");
    }
    let _ = match mistakes.len() {
        0 => writeln!(text, "{}: nothing is wrong", file.display()),
        1 => writeln!(text, "{}: 1 mistake", file.display()),
        many => writeln!(text, "{}: {many} mistakes", file.display()),
    };
    output::print(&text)?;
    Ok(if mistakes.is_empty() { exit::SUCCESS } else { exit::ERROR })
}
