//! `otel-usage bridge`: the flags of the bridge, its log on standard error, and the signals that stop it.
//!
//! The package `otel-usage-bridge` does the work.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum;
use otel_usage::schema::Decision;
use otel_usage::settings::{Env, Inspection};
use otel_usage::{Consent, Contract, Usage};
use otel_usage_bridge::{Bridge, Config, FileExporter, Limits, Operator};

use crate::look::look;
use crate::{contract, exit, output, service};

/// Where the bridge delivers messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExporterName {
    /// One POST a message to the contract's usage server
    Server,
    /// JSON lines in the file of --file
    File,
    /// JSON lines on standard output
    Console,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where flat messages go. May be given several times; there is no default
    #[arg(long, value_enum, value_name = "EXPORTER", required = true)]
    exporter: Vec<ExporterName>,
    /// Address to listen on, for OTLP over HTTP and gRPC. May be given several times
    #[arg(long, value_name = "ADDRESS:PORT", default_values = ["127.0.0.1:4318", "127.0.0.1:4317"])]
    listen: Vec<SocketAddr>,
    /// Usage server of a contract (`vllm/current`) or an engine (`vllm`). Overrides the environment
    #[arg(long, value_name = "CONTRACT=URL", value_parser = server)]
    server: Vec<(String, String)>,
    /// The file of `--exporter file`
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Size in bytes after which a new file begins
    #[arg(long, value_name = "BYTES", default_value_t = 100 << 20)]
    file_rotate: u64,
    /// Number of older files to keep
    #[arg(long, value_name = "FILES", default_value_t = 5)]
    file_keep: u32,
    /// Contract of your own engine, as JSON. May be given several times
    #[arg(long, value_name = "FILE")]
    contract_file: Vec<PathBuf>,
    /// Also post records that their engine posts itself
    #[arg(long)]
    forward_direct: bool,
    /// Largest request in bytes, as it arrives
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body_bytes)]
    max_body: usize,
    /// Largest request in bytes, after decompression
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().decoded_bytes)]
    max_decoded: usize,
    /// Memory in bytes for all requests together
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().memory)]
    max_memory: usize,
    /// Largest number of open connections. A further one takes the place of one that says nothing
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections, value_parser = at_least_one)]
    max_connections: usize,
    /// Largest number of concurrent requests. Further senders are asked to repeat theirs later
    #[arg(long, value_name = "N", default_value_t = Limits::default().requests, value_parser = at_least_one)]
    max_requests: usize,
    /// Largest number of concurrent POSTs to all usage servers together
    #[arg(long, value_name = "N", default_value_t = Limits::default().posts, value_parser = at_least_one)]
    max_posts: usize,
    /// Time limit for the head of a request, and the same for its body
    #[arg(long, value_name = "SECONDS", default_value = "8", value_parser = seconds)]
    read_timeout: Duration,
    /// Time limit for one POST to a usage server
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    post_timeout: Duration,
    /// Time limit for delivering the records of one request
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    deliver_timeout: Duration,
    /// Time limit for finishing the current requests after SIGTERM
    #[arg(long, value_name = "SECONDS", default_value = "25", value_parser = seconds)]
    drain_timeout: Duration,
    /// Number of delivered records to remember, so that a repeated request is not sent twice
    #[arg(long, value_name = "N", default_value_t = Limits::default().window)]
    window: usize,
    /// Time for which they are remembered
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = seconds)]
    window_age: Duration,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let config = config(args)?;
    service::log();
    let runtime = service::runtime("bridge")?;
    let finished = runtime.block_on(serve(&config))?;
    // A blocked write to a file must not keep the process alive.
    runtime.shutdown_background();
    if !finished {
        output::note(
            "stopped before all requests were finished; their senders got no answer and will repeat them",
        );
    }
    Ok(exit::SUCCESS)
}

async fn serve(config: &Config) -> anyhow::Result<bool> {
    // Signals are handled before the ports open, because an open port shows that the bridge is ready.
    let stop = service::stop()?;
    let bridge = Bridge::bind(config).await?;
    for address in bridge.addresses()? {
        output::note(&format!("listening on {address}"));
    }
    for line in bridge.destinations() {
        output::note(&format!("delivering {line}"));
    }
    Ok(bridge.serve(stop).await)
}

fn config(args: &Args) -> anyhow::Result<Config> {
    let mut config = Config::default();
    config.operator = Arc::new(ThisMachine::default());
    config.listen.clone_from(&args.listen);
    config.servers.clone_from(&args.server);
    config.forward_direct = args.forward_direct;
    config.contracts = args
        .contract_file
        .iter()
        .map(|path| contract::from_file(path))
        .collect::<anyhow::Result<_>>()?;
    config.exporters.server = args.exporter.contains(&ExporterName::Server);
    config.exporters.console = args.exporter.contains(&ExporterName::Console);
    config.exporters.file = match (args.exporter.contains(&ExporterName::File), &args.file) {
        (true, Some(path)) => {
            let mut file = FileExporter::new(path);
            (file.rotate_bytes, file.keep) = (args.file_rotate, args.file_keep);
            Some(file)
        }
        (true, None) => bail!("--exporter file needs a file: add --file PATH"),
        (false, Some(_)) => {
            bail!("--file has no effect without --exporter file: add --exporter file")
        }
        (false, None) => None,
    };
    if !config.exporters.server && !args.server.is_empty() {
        bail!("--server has no effect without --exporter server: add --exporter server");
    }
    let limits = &mut config.limits;
    limits.body_bytes = args.max_body;
    limits.decoded_bytes = args.max_decoded;
    limits.memory = args.max_memory;
    limits.connections = args.max_connections;
    limits.requests = args.max_requests;
    limits.posts = args.max_posts;
    limits.read = args.read_timeout;
    limits.post = args.post_timeout;
    limits.deliver = args.deliver_timeout;
    limits.drain = args.drain_timeout;
    limits.window = args.window;
    limits.window_age = args.window_age;
    Ok(config)
}

/// The operator of this machine, by its environment and files.
#[derive(Debug, Default)]
struct ThisMachine {
    /// One look for each contract, which asks the switches again.
    inspected: Mutex<HashMap<String, Inspection>>,
}

impl Operator for ThisMachine {
    fn decision(&self, contract: &Contract) -> Decision {
        let mut inspected = self.inspected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inspection) = inspected.get(contract.id.as_ref()) {
            return inspection.decide_again();
        }
        match look(Usage::builder(contract)) {
            Ok(inspection) => {
                let decision = inspection.decision().clone();
                inspected.insert(contract.id.to_string(), inspection);
                decision
            }
            Err(error) => Decision { consent: Consent::Off, because: error.to_string() },
        }
    }

    fn server(&self, contract: &Contract) -> Option<(String, String)> {
        let variable = contract.server_variable.as_deref()?;
        Env::process(contract).pairs().find(|(name, _)| name == variable)
    }
}

fn server(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((contract, url)) if !contract.is_empty() => Ok((contract.to_owned(), url.to_owned())),
        _ => Err("write CONTRACT=URL, for example vllm=http://127.0.0.1:8080".to_owned()),
    }
}

/// Parses a limit. The upper bound keeps it within what a semaphore of tokio can count.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1_000_000) => Ok(number),
        _ => Err("write a whole number from 1 to 1000000".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("write seconds, more than 0 and at most 86400".to_owned()),
    }
}
