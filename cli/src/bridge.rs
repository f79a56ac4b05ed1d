//! `otel-usage bridge`. In: arguments. Out: a bridge that serves until it is asked to stop.
//!
//! Everything it does is in the package `otel-usage-bridge`; here are its flags, its log on
//! standard error, and the signals that stop it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use otel_usage_bridge::{Bridge, Config, FileSink, Limits};

use crate::{contract, exit, output};

/// Where flat messages may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sink {
    /// One POST a message to the contract's usage server
    Server,
    /// JSON lines in the file of --file
    File,
    /// JSON lines on standard output
    Console,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where flat messages go; may be given several times. There is no default
    #[arg(long, value_enum, value_name = "SINK", required = true)]
    sink: Vec<Sink>,
    /// Address to listen on; may be given several times. Each takes OTLP over HTTP and gRPC
    #[arg(long, value_name = "ADDRESS:PORT", default_values = ["127.0.0.1:4318", "127.0.0.1:4317"])]
    listen: Vec<SocketAddr>,
    /// Usage server of a contract (`vllm/current`) or an engine (`vllm`); wins over the environment
    #[arg(long, value_name = "CONTRACT=URL", value_parser = server)]
    server: Vec<(String, String)>,
    /// The file of `--sink file`
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Bytes after which the file is put aside
    #[arg(long, value_name = "BYTES", default_value_t = 100 << 20)]
    file_rotate: u64,
    /// Older files that are kept
    #[arg(long, value_name = "FILES", default_value_t = 5)]
    file_keep: u32,
    /// Contract of an engine of your own, as JSON; may be given several times
    #[arg(long, value_name = "FILE")]
    contract_file: Vec<PathBuf>,
    /// Post also records whose engine has posted them itself
    #[arg(long)]
    forward_direct: bool,
    /// Largest request, in bytes as they arrive
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body_bytes)]
    max_body: usize,
    /// Largest request, in bytes after decompression
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().decoded_bytes)]
    max_decoded: usize,
    /// Open connections
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections, value_parser = at_least_one)]
    max_connections: usize,
    /// Requests at work at once; further ones are answered "later"
    #[arg(long, value_name = "N", default_value_t = Limits::default().requests, value_parser = at_least_one)]
    max_requests: usize,
    /// POSTs in flight at once, to all usage servers together
    #[arg(long, value_name = "N", default_value_t = Limits::default().posts, value_parser = at_least_one)]
    max_posts: usize,
    /// Time for the head of a request, and again for its body
    #[arg(long, value_name = "SECONDS", default_value = "8", value_parser = seconds)]
    read_timeout: Duration,
    /// Time for one POST to a usage server
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    post_timeout: Duration,
    /// Time to deliver the records of one request
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    deliver_timeout: Duration,
    /// Time to finish what is at work after SIGTERM
    #[arg(long, value_name = "SECONDS", default_value = "25", value_parser = seconds)]
    drain_timeout: Duration,
    /// Delivered records that are remembered, so that a repeated request sends none twice
    #[arg(long, value_name = "N", default_value_t = Limits::default().window)]
    window: usize,
    /// How long they are remembered
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = seconds)]
    window_age: Duration,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let config = config(args)?;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::INFO)
        .with_target(false)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("bridge")
        .build()
        .context("cannot start threads; raise the limit on processes")?;
    let finished = runtime.block_on(serve(&config))?;
    // A write that hangs must not keep the process.
    runtime.shutdown_background();
    if !finished {
        output::note(
            "stopped with requests at work; their senders were not answered and send them again",
        );
    }
    Ok(exit::SUCCESS)
}

async fn serve(config: &Config) -> anyhow::Result<bool> {
    // Before the ports open: whoever sees them open may stop us.
    let stop = stop()?;
    let bridge = Bridge::bind(config).await?;
    for address in bridge.addresses()? {
        output::note(&format!("listening on {address}"));
    }
    Ok(bridge.serve(stop).await)
}

/// Ready when somebody asks this process to stop.
#[cfg(unix)]
fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

fn config(args: &Args) -> anyhow::Result<Config> {
    let mut config = Config::default();
    config.listen.clone_from(&args.listen);
    config.servers.clone_from(&args.server);
    config.forward_direct = args.forward_direct;
    config.contracts = args
        .contract_file
        .iter()
        .map(|path| contract::from_file(path))
        .collect::<anyhow::Result<_>>()?;
    config.sinks.server = args.sink.contains(&Sink::Server);
    config.sinks.console = args.sink.contains(&Sink::Console);
    config.sinks.file = match (args.sink.contains(&Sink::File), &args.file) {
        (true, Some(path)) => {
            let mut file = FileSink::new(path);
            (file.rotate_bytes, file.keep) = (args.file_rotate, args.file_keep);
            Some(file)
        }
        (true, None) => bail!("--sink file: name the file with --file PATH"),
        (false, Some(_)) => {
            bail!("--file: without --sink file nothing is written to it; add --sink file")
        }
        (false, None) => None,
    };
    if !config.sinks.server && !args.server.is_empty() {
        bail!("--server: without --sink server nothing is sent to it; add --sink server");
    }
    let limits = &mut config.limits;
    limits.body_bytes = args.max_body;
    limits.decoded_bytes = args.max_decoded;
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

fn server(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((contract, url)) if !contract.is_empty() => Ok((contract.to_owned(), url.to_owned())),
        _ => Err("write CONTRACT=URL, for example vllm=http://127.0.0.1:8080".to_owned()),
    }
}

/// More places than a semaphore has are a mistake too.
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
