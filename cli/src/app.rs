//! The command line. In: arguments. Out: the exit code of the subcommand they name.

use std::ffi::OsString;

use clap::{ColorChoice, CommandFactory as _, Parser, Subcommand};
use otel_usage::Consent;

use crate::{bridge, completions, config, exit, mode, output, preview, probe, schema, status};

/// Shown when `otel-usage` is called alone: the three things an operator wants.
const SHORT_HELP: &str = "\
otel-usage: see and control the anonymous usage telemetry of inference engines

  see what would be sent         otel-usage preview --contract vllm
  see what is on, where to, why  otel-usage status
  switch it off                  otel-usage off      (also: local, on)

More: otel-usage help, otel-usage help status
";

/// See and control the anonymous usage telemetry of inference engines.
///
/// No command but `bridge` sends anything; only `bridge`, `on`, `local`, `off`, `probe --record` and
/// `schema --out` write files.
#[derive(Debug, Parser)]
#[command(name = "otel-usage", version, color = ColorChoice::Never, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, or collection is on; 1 an error; 2 a wrong command line; \
3 collection is local; 4 collection is off; schema diff: 5 more is sent, 6 a new kind of data is";

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the exact payloads this machine would send, without sending them
    ///
    /// They come in the order in which they would be sent. The hardware is this machine's; what
    /// only an engine knows comes from a built-in sample engine. Nothing is written, no socket is
    /// opened, and it works when collection is off.
    Preview(preview::Args),
    /// Say whether collection is on, which switch decided it, and where data would go
    ///
    /// Names what an engine would do that is started in the environment of this shell. A service
    /// or a container may have another environment, and an engine can narrow what its operator
    /// allows, or choose other destinations in its own configuration.
    ///
    /// Exit code: 0 on, 3 local, 4 off. Of several contracts the most permissive one decides: 0
    /// means that something may leave this machine.
    Status(status::Args),
    /// Check a configuration file, which OTEL_USAGE_CONFIG gives to engines
    #[command(subcommand)]
    Config(config::Command),
    /// Show each fact about this machine, where it was read, and how long that took
    ///
    /// Says of what is absent why. Works when collection is off; the engine's own facts (its
    /// accelerators as its framework counts them) are not known here.
    Probe(probe::Args),
    /// Show what the contracts say: dictionary, JSON Schemas, tables, allow-list
    ///
    /// Every value that may leave is in a contract's table; this writes what follows from the tables.
    /// Reads nothing of this machine.
    Schema(schema::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Allow collection: reports are made and sent, unless another switch says otherwise
    ///
    /// Writes the mode file of this user. Exit code: 0 if collection is on now, else as `status`.
    On,
    /// Keep reports on this machine: local files and console, no network
    ///
    /// Writes the mode file of this user. Exit code: 0 if collection is local now, else as
    /// `status`.
    Local,
    /// Switch collection off: nothing is recorded, written or sent
    ///
    /// Writes the mode file of this user. Engines that run now stop before their next report.
    Off,
    /// Take OTLP from collectors and engines, and deliver it as flat JSON
    ///
    /// Runs until SIGTERM or SIGINT, then finishes what is at work. What cannot be delivered now is
    /// answered "later" and has to be sent again: a collector with a queue does that.
    /// docs/bridge.md explains every flag, answer and metric.
    Bridge(Box<bridge::Args>),
}

/// Runs the command line `arguments` and returns the exit code.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<u8> {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too. A reader that is gone is no failure.
            let _ = error.print();
            return Ok(if error.use_stderr() { exit::USAGE } else { exit::SUCCESS });
        }
    };
    match cli.command {
        None => output::print(SHORT_HELP).map(|()| exit::SUCCESS),
        Some(Command::Preview(args)) => preview::run(&args),
        Some(Command::Status(args)) => status::run(&args),
        Some(Command::Config(command)) => config::run(&command),
        Some(Command::Probe(args)) => probe::run(&args),
        Some(Command::Schema(args)) => schema::run(&args),
        Some(Command::Completions(args)) => completions::run(&args, &mut Cli::command()),
        Some(Command::On) => mode::run(Consent::Granted),
        Some(Command::Local) => mode::run(Consent::Local),
        Some(Command::Off) => mode::run(Consent::Off),
        Some(Command::Bridge(args)) => bridge::run(&args),
    }
}
