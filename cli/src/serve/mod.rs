//! `otel-usage serve`: the usage server, and the commands about its file.
//!
//! The package `otel-usage-serve` does the work. Only this module reads the clock.

mod clickhouse;
mod files;
mod welcome;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use otel_usage::Contract;
use otel_usage_bridge::Network;
use otel_usage_serve::questions::Rules;
use otel_usage_serve::store::{Clock, Days, Distrusted};
use otel_usage_serve::{Server, Settings};

use crate::{contract, exit, output, service};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<files::Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, clap::Args)]
struct Run {
    #[command(flatten)]
    file: Data,
    #[command(flatten)]
    store: clickhouse::Store,
    /// Address that receives reports and shows the public page. May be given several times
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address, default_values = ["127.0.0.1:8080"])]
    listen: Vec<SocketAddr>,
    /// Address for maintainers: numbers that are not for the public, and metrics. May be given several times
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address, default_values = ["127.0.0.1:8081"])]
    maintainers: Vec<SocketAddr>,
    /// Peers whose X-Forwarded-For is believed, such as 10.0.0.0/8. May be given several times
    #[arg(long, value_name = "NETWORK")]
    trusted_proxy: Vec<Network>,
    /// Messages a second that one network may send for long; 0 for any number
    #[arg(long, value_name = "N", default_value_t = 60)]
    rate: u32,
    /// Days for which messages are kept
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    keep_messages: u32,
    /// Days for which a session is kept since it was last heard of. Daily counts are kept for ever
    #[arg(long, value_name = "DAYS", default_value_t = 400)]
    keep_sessions: u32,
    /// Engines that a published number needs at least, 10 or more
    #[arg(long, value_name = "ENGINES", default_value_t = 20)]
    k: u32,
    /// Largest request in bytes, as it arrives and after decompression. One message may have 1048576 at most
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    max_body: usize,
    /// Memory in bytes for all requests together
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20)]
    max_memory: usize,
    /// Largest number of open connections. When all are taken, a new one replaces an idle one
    #[arg(long, value_name = "N", default_value_t = 4096)]
    max_connections: usize,
    #[command(flatten)]
    own: Own,
}

/// Contracts beside the built-in ones. Each command that reads messages needs those that the server has.
#[derive(Debug, clap::Args)]
struct Own {
    /// Contract of your own engine, as JSON. May be given several times
    #[arg(long, value_name = "FILE")]
    contract_file: Vec<PathBuf>,
}

impl Own {
    fn contracts(&self) -> anyhow::Result<Vec<Contract>> {
        self.contract_file.iter().map(|path| contract::from_file(path)).collect()
    }
}

/// The file of the store.
#[derive(Debug, clap::Args)]
struct Data {
    /// The file that keeps everything [default: otel-usage/serve/otel-usage.db in $XDG_STATE_HOME, or in ~/.local/state]
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
}

impl Data {
    fn path(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.data {
            return Ok(path.clone());
        }
        let variable = |name: &str| {
            #[expect(clippy::disallowed_methods, reason = "where the file of the server is")]
            let value = std::env::var_os(name).filter(|value| !value.is_empty());
            value.map(PathBuf::from).filter(|path| path.is_absolute())
        };
        let state = variable("XDG_STATE_HOME")
            .or_else(|| Some(variable("HOME")?.join(".local/state")))
            .context("this user has no home: name the file with --data")?;
        Ok(state.join("otel-usage/serve/otel-usage.db"))
    }

    /// Returns the path of a file that is there already, because a command that looks for something must not make an
    /// empty file.
    fn existing(&self) -> anyhow::Result<PathBuf> {
        let path = self.path()?;
        anyhow::ensure!(
            path.exists(),
            "{}: there is no such file: name it with --data",
            path.display()
        );
        Ok(path)
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    // Also for the commands that write, because a limit on the size of files is an error to them too.
    let runtime = service::runtime("serve")?;
    if let Some(command) = &args.command {
        return files::run(command);
    }
    let args = &args.run;
    let mut settings = Settings::new(args.file.path()?);
    settings.listen.clone_from(&args.listen);
    settings.maintainers.clone_from(&args.maintainers);
    settings.trusted_proxies.clone_from(&args.trusted_proxy);
    settings.rate = args.rate;
    settings.keep = Days { batches: args.keep_messages, sessions: args.keep_sessions };
    settings.rules = Rules::with_k(args.k)?;
    settings.contracts = args.own.contracts()?;
    (settings.limits.body_bytes, settings.limits.decoded_bytes) = (args.max_body, args.max_body);
    settings.limits.memory = args.max_memory;
    settings.limits.connections = args.max_connections.max(1);
    settings.clickhouse = args.store.keeper(&settings.contracts)?;
    service::log();
    let finished = match runtime.block_on(serve(&settings)) {
        Err(error) if error.is::<Distrusted>() => {
            output::error(&error);
            return Ok(exit::DISK);
        }
        served => served?,
    };
    if !finished {
        output::note("stopped before all requests were finished; their senders got no answer");
    }
    Ok(exit::SUCCESS)
}

async fn serve(settings: &Settings) -> anyhow::Result<bool> {
    // Signals are handled before the ports open, because an open port shows that the server is ready.
    let stop = service::stop()?;
    let server = Server::bind(settings, clock()).await?;
    for line in welcome::lines(settings, &server.addresses()?, &server.maintainers()?) {
        output::note(&line);
    }
    server.serve(stop).await
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an address and a port, such as 127.0.0.1:8080".to_owned())
}

/// Returns the clock of this machine.
fn clock() -> Clock {
    Arc::new(|| {
        #[expect(clippy::disallowed_methods, reason = "the clock of the usage server")]
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
