//! The commands about the file of a usage server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use otel_usage::Contract;
use otel_usage_bridge::Importer;
use otel_usage_serve::Receives;
use otel_usage_serve::store::{self, Core, Imported, Taken};

use super::{Data, Own, clickhouse, clock};
use crate::{exit, output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take messages from files: usage_stats.json, the file exporter's lines, a collector's archive (OTLP as JSON). They
    /// may be compressed by gzip or zstd
    ///
    /// A message counts at the time that its engine gave, else at the time of the file. A second import of the same
    /// messages changes nothing.
    Import {
        #[command(flatten)]
        file: Data,
        #[command(flatten)]
        own: Own,
        /// The files
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Print sessions with what they reported, or the messages, for other tools. Not for the public
    Export {
        #[command(flatten)]
        file: Data,
        /// The rows to print
        #[arg(value_enum, default_value = "sessions")]
        rows: Rows,
        /// How to print it
        #[arg(long, value_enum, default_value = "csv")]
        format: Format,
    },
    /// Delete what is known of an identity, and keep it from coming back
    ///
    /// The identity is vLLM's uuid, or LMCache's session_id or machine_id. While a server uses the file, post the
    /// identity to the maintainers' listener instead: curl --data UUID http://127.0.0.1:8081/forget
    Forget {
        #[command(flatten)]
        file: Data,
        #[command(flatten)]
        own: Own,
        /// The identity, a UUID
        identity: String,
    },
    /// Make the tables of the report again from the messages, and save what can be read of a damaged file
    Rebuild {
        #[command(flatten)]
        file: Data,
        #[command(flatten)]
        own: Own,
    },
    /// Look for damage, and name what is lost. Exit code: 0 if nothing is, 1 if something is
    Check {
        #[command(flatten)]
        file: Data,
        #[command(flatten)]
        own: Own,
    },
    /// Copy the file, also while a server uses it
    Backup {
        #[command(flatten)]
        file: Data,
        /// The new file
        to: PathBuf,
    },
    /// Copy what the file holds to ClickHouse, where a server goes on with --store clickhouse
    ///
    /// Stop the server first, and start it with the same file afterwards: closed days stay there. A second copy changes
    /// nothing.
    Copy {
        #[command(flatten)]
        file: Data,
        #[command(flatten)]
        own: Own,
        #[command(flatten)]
        place: clickhouse::Place,
    },
    /// Make this server the one that closes days in ClickHouse, because the file of the one that did is lost
    ///
    /// The published days are read from ClickHouse into the file of this server. Stop it first, and start it afterwards
    /// without --receive-only.
    TakeOver {
        #[command(flatten)]
        file: Data,
        #[command(flatten)]
        own: Own,
        #[command(flatten)]
        place: clickhouse::Place,
    },
    /// Print the statements that make the tables of ClickHouse
    ///
    /// A server with --store clickhouse makes missing tables itself, if its user may.
    Tables {
        #[command(flatten)]
        own: Own,
    },
    /// Write the public pages as files for a static host, also while a server uses the file
    ///
    /// The pages link to each other only, so the folder works at any address, and from a disk. Run it once a day.
    Render {
        #[command(flatten)]
        file: Data,
        /// The folder, which is made if it is missing
        folder: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rows {
    /// One row for each session
    Sessions,
    /// One row for each message
    Messages,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Comma-separated values with a head
    Csv,
    /// One JSON object a line
    Json,
}

pub(super) fn run(command: &Command) -> anyhow::Result<u8> {
    let now = clock()();
    match command {
        Command::Import { file, own, files } => {
            import(&file.path()?, &own.contracts()?, files, now)
        }
        Command::Export { file, rows, format } => {
            let rows = match rows {
                Rows::Sessions => store::Rows::Sessions,
                Rows::Messages => store::Rows::Messages,
            };
            let format = match format {
                Format::Csv => store::Format::Csv,
                Format::Json => store::Format::Json,
            };
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            match store::export(&file.existing()?, rows, format, &mut out) {
                // A reader that has seen enough is no failure.
                Err(error) if is_closed(&error) => {}
                done => done?,
            }
            Ok(exit::SUCCESS)
        }
        Command::Forget { file, own, identity } => {
            let path = file.existing()?;
            let done = Core::open(&path, &own.contracts()?, now)?.forget(identity)?;
            output::print(&format!(
                "deleted {} sessions and {} messages; copies of the file may hold them still\n",
                done.sessions, done.messages
            ))?;
            Ok(exit::SUCCESS)
        }
        Command::Rebuild { file, own } => rebuild(&file.existing()?, &own.contracts()?, now),
        Command::Check { file, own } => check(&file.existing()?, &own.contracts()?),
        Command::Backup { file, to } => {
            store::backup(&file.existing()?, to)?;
            output::print(&format!("copied to {}\n", to.display()))?;
            Ok(exit::SUCCESS)
        }
        Command::Copy { file, own, place } => {
            clickhouse::copy(&file.existing()?, place, &own.contracts()?, now)
        }
        Command::TakeOver { file, own, place } => {
            clickhouse::take_over(&file.path()?, place, &own.contracts()?, now)
        }
        Command::Tables { own } => {
            let statements = clickhouse::statements(&own.contracts()?);
            output::print(&format!("{};\n", statements.join(";\n\n")))?;
            Ok(exit::SUCCESS)
        }
        Command::Render { file, folder } => {
            let files = otel_usage_serve::page::render(&file.existing()?, folder, now)?;
            output::print(&format!("{files} files in {}\n", folder.display()))?;
            Ok(exit::SUCCESS)
        }
    }
}

/// Returns whether an error says that standard output is closed.
fn is_closed(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

fn import(data: &Path, contracts: &[Contract], files: &[PathBuf], now: i64) -> anyhow::Result<u8> {
    // A name with a mistake in it must be noticed before the first file is taken.
    for path in files {
        let found = std::fs::metadata(path).with_context(|| {
            format!("{}: cannot be read: check the path and its permissions", path.display())
        })?;
        anyhow::ensure!(found.is_file(), "{}: it is no file: name files", path.display());
    }
    let importer = Importer::new(contracts, Arc::new(Receives))?;
    let mut core = Core::open(data, contracts, now)?;
    let (mut done, mut strange) = (Imported::default(), false);
    for path in files {
        let named = || format!("{}: cannot be read", path.display());
        let written =
            std::fs::metadata(path).and_then(|data| data.modified()).with_context(named)?;
        let written = written.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let written = i64::try_from(written.as_millis()).unwrap_or(now);
        let mut told = 0;
        let shown = path.display();
        let taken =
            core.import(&importer, path, (written, now), &mut done, &mut |read, total| {
                let percent = read.saturating_mul(100).checked_div(total).unwrap_or(100);
                if percent >= told {
                    output::note(&format!("{shown}: {percent} %"));
                    told = percent.saturating_add(10);
                }
            })?;
        match taken {
            Taken::Strange { line, why } => {
                output::note(&format!("{shown}: nothing in it is understood: line {line}: {why}"));
                strange = true;
            }
            Taken::Empty => output::note(&format!("{shown}: it is empty")),
            _ => {}
        }
    }
    if strange {
        output::note(
            "import takes lines, each a message or a request of OTLP as JSON; messages of your own engine need its \
             --contract-file; what is not understood may be imported again",
        );
    }
    output::print(&format!(
        "{} lines, {} messages kept, {} lines not understood, {} messages of deleted identities, {} files known already\n",
        done.lines, done.messages, done.unknown, done.deleted, done.known_files
    ))?;
    Ok(if strange { exit::ERROR } else { exit::SUCCESS })
}

fn rebuild(path: &Path, contracts: &[Contract], now: i64) -> anyhow::Result<u8> {
    let health = store::check(path, contracts)?;
    if !health.pages.is_empty() {
        let (lost, damaged) = store::save(path)?;
        output::note(&format!("the damaged file is now {}", damaged.display()));
        for what in lost {
            output::note(&format!("lost: {what}"));
        }
    }
    for lost in &health.lost {
        output::note(&format!("lost: {lost}"));
    }
    for line in strange(&health) {
        output::note(&format!("left as it was: {line}"));
    }
    let messages = Core::open(path, contracts, now)?.rebuild(now)?;
    output::print(&format!("made again from {messages} messages\n"))?;
    Ok(exit::SUCCESS)
}

/// Says which messages no contract reads here.
fn strange(health: &store::Health) -> impl Iterator<Item = String> {
    health.strange.iter().map(|(contract, messages)| {
        format!(
            "{messages} messages of {contract}, which is not known here: name its --contract-file"
        )
    })
}

fn check(path: &Path, contracts: &[Contract]) -> anyhow::Result<u8> {
    let health = store::check(path, contracts)?;
    let mut text =
        format!("{} batches with {} messages can be read\n", health.batches, health.messages);
    for line in &health.pages {
        text.push_str(&format!("damaged: {line}\n"));
    }
    for lost in &health.lost {
        text.push_str(&format!("lost: {lost}\n"));
    }
    for line in strange(&health) {
        text.push_str(&format!("not looked at: {line}\n"));
    }
    if !health.is_sound() {
        text.push_str("`otel-usage serve rebuild` saves the rest\n");
    }
    output::print(&text)?;
    Ok(if health.is_sound() { exit::SUCCESS } else { exit::ERROR })
}
