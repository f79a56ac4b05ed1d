//! `otel-usage config check`: shows what engines would do with a configuration file, and its mistakes.
//!
//! Mistakes are printed as `FILE:LINE:COLUMN text`, which editors can follow.

use std::fmt::Write as _;
use std::path::PathBuf;

use otel_usage::Usage;
use otel_usage::settings::Env;

use crate::contract::{self, Chosen};
use crate::look::look;
use crate::status::{self, Status};
use crate::{exit, output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show what engines would do with this file, and every mistake in it
    ///
    /// Reads the file like an engine that is started in the environment of this shell with
    /// OTEL_USAGE_CONFIG=FILE. Writes no file and opens no socket.
    ///
    /// Exit code: 0 no mistakes; 1 mistakes in the file or in the other variables.
    Check(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file, whose format docs/operator/configuration.md describes
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    chosen: Chosen,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<u8> {
    let Command::Check(Args { file, chosen }) = command;
    let statuses = contract::whole(&chosen.subjects()?)
        .iter()
        .map(|contract| {
            let environment = Env::process(contract).with("OTEL_USAGE_CONFIG", file);
            Status::of(contract, &look(Usage::builder(contract).with_environment(environment))?)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
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
    output::show(&text)?;
    Ok(if mistakes.is_empty() { exit::SUCCESS } else { exit::ERROR })
}
