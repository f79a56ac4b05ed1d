//! Parses the command line and runs the subcommand.

use std::ffi::OsString;

use clap::{CommandFactory as _, Parser, Subcommand};
use otel_usage::Consent;

use crate::{
    bridge, completions, config, contract, exit, forget, man, mock_server, mode, output, preview,
    probe, receipts, schema, sent, serve, spool, status,
};

/// The help of `otel-usage` without arguments: the three commands that operators need most.
const SHORT_HELP: &str = "\
otel-usage: see and control the anonymous usage telemetry of inference engines

  see what would be sent         otel-usage preview
  see what is on, where to, why  otel-usage status
  switch it off                  otel-usage off      (also: local, on)

More: otel-usage help, otel-usage help status
";

/// See and control the anonymous usage telemetry of inference engines.
///
/// Only `bridge`, `spool flush` and `status --check --network` open a connection, and only `bridge`, `serve` and
/// `mock-server` listen; only `bridge`, `serve`, `contract add` and `remove`, `man`, `on`, `local`, `off`, `probe
/// --record`, `receipts` and `schema --out` write files, and only `off`, `serve`, `spool` and `forget` delete any.
#[derive(Debug, Parser)]
#[command(name = "otel-usage", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    color: colorchoice_clap::Color,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, or collection is on; 1 an error; 2 a wrong command line; \
3 collection is local; 4 collection is off; schema diff: 5 more is sent, 6 a new class of data is sent; \
7 spool flush: messages are left, status --check: something would go wrong, receipts: another setting \
overrules it";

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the exact payloads this machine would send, without sending them
    ///
    /// Prints them in the order in which they would be sent, of every engine that is known here unless
    /// one is named. Hardware values are those of this machine, engine values those of a built-in sample
    /// engine or the examples in a contract file. Writes no file, opens no socket, and also works if
    /// collection is off.
    Preview(preview::Args),
    /// Show whether collection is on, which switch decided it, and where data would go
    ///
    /// Shows what an engine would do if it started in the environment of this shell. A service
    /// or a container may have another environment, and an engine can restrict what its operator
    /// allows or choose other destinations in its own configuration.
    ///
    /// Exit code: 0 on, 3 local, 4 off. The most permissive contract decides it, so 0 means that
    /// data may leave this machine. With --check: 0 nothing would go wrong, 7 something would.
    Status(status::Args),
    /// List what left this machine, newest first, from the journal that `receipts` starts
    ///
    /// Each attempt to send a message is one line: time, contract, message, size, destination, and what
    /// became of it. Reads the journal only, and also works if collection is off.
    Sent(sent::Args),
    /// Record what is sent in a journal on this machine, or stop that
    ///
    /// Writes a file of this user, which engines read when they start. Exit code: 0 if that is in force
    /// now, 1 if the journal cannot be kept in its place, 7 if the environment or a configuration file
    /// overrules it.
    Receipts(receipts::Args),
    /// List the contracts that are known here, and make that of another engine known
    #[command(subcommand)]
    Contract(contract::Command),
    /// Check a configuration file, which engines read if OTEL_USAGE_CONFIG names it
    #[command(subcommand)]
    Config(config::Command),
    /// Show each fact about this machine, where it was read, and how long that took
    ///
    /// Also shows why a fact is absent. Works if collection is off. Facts that only an engine knows,
    /// such as the accelerators that its framework counts, are not shown.
    Probe(probe::Args),
    /// Print texts generated from the contracts: dictionary, JSON Schemas, tables, allow-list
    ///
    /// The contracts list every value that may leave. Reads nothing from this machine.
    Schema(schema::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Write the manual pages, for packages
    Man(man::Args),
    /// Allow collection: usage data is sent unless another switch prevents it
    ///
    /// Writes the mode file of this user. Exit code: 0 if collection is on now, else as `status`.
    On,
    /// Keep usage data on this machine: local files and console, no network
    ///
    /// Writes the mode file of this user. Exit code: 0 if collection is local now, else as
    /// `status`.
    Local,
    /// Switch collection off: nothing is recorded, written or sent
    ///
    /// Writes the mode file of this user. Running engines stop before they send again.
    Off,
    /// Forget this machine: remove its identity, the messages that wait, and the journal of what was sent
    ///
    /// Prints first the identities that a receiver needs to delete what it has. It cannot delete what
    /// was sent. Without --engine or --contract it is about every engine of this user.
    Forget(forget::Args),
    /// Show, delete or send the messages that wait on disk
    #[command(subcommand)]
    Spool(spool::Command),
    /// Take OTLP from collectors and engines, and deliver it as flat JSON
    ///
    /// Runs until SIGTERM or SIGINT, then finishes the current requests. A request that cannot be
    /// delivered now gets an answer that asks the sender to repeat it later, as a collector with a
    /// queue does. docs/receiver/bridge.md explains every flag, answer and metric.
    Bridge(Box<bridge::Args>),
    /// Run a usage server: receive what engines report, keep it in one file, show a public page
    ///
    /// Without an argument it listens on the loopback. It takes what engines post today, and OTLP. It keeps no address
    /// of a sender. A published count stands for at least --k engines in three networks. Runs until SIGTERM or SIGINT. docs/receiver/serve.md
    /// explains how to run it, to publish, and to answer a request for deletion.
    Serve(Box<serve::Args>),
    /// Run a usage server for tests: it prints each message, and misbehaves on request
    ///
    /// It accepts every request and prints its message, a line for each key, until it is stopped. Each
    /// `--fault` is for one connection, in their order; the last one repeats.
    MockServer(mock_server::Args),
}

/// Runs the command line `arguments` and returns the exit code.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<u8> {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are printed here too. A closed pipe is not a failure.
            let _ = error.print();
            return Ok(if error.use_stderr() { exit::USAGE } else { exit::SUCCESS });
        }
    };
    cli.color.write_global();
    match cli.command {
        None => output::print(SHORT_HELP).map(|()| exit::SUCCESS),
        Some(Command::Preview(args)) => preview::run(&args),
        Some(Command::Status(args)) => status::run(&args),
        Some(Command::Sent(args)) => sent::run(&args),
        Some(Command::Receipts(args)) => receipts::run(&args),
        Some(Command::Contract(command)) => contract::run(&command),
        Some(Command::Config(command)) => config::run(&command),
        Some(Command::Probe(args)) => probe::run(&args),
        Some(Command::Schema(args)) => schema::run(&args),
        Some(Command::Completions(args)) => completions::run(&args, &mut Cli::command()),
        Some(Command::Man(args)) => man::run(&args, Cli::command()),
        Some(Command::On) => mode::run(Consent::Granted),
        Some(Command::Local) => mode::run(Consent::Local),
        Some(Command::Off) => mode::run(Consent::Off),
        Some(Command::Forget(args)) => forget::run(&args),
        Some(Command::Spool(command)) => spool::run(&command),
        Some(Command::Bridge(args)) => bridge::run(&args),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::MockServer(args)) => mock_server::run(&args),
    }
}
