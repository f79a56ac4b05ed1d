//! Measures what it costs to keep a message on disk, to deliver it later, and to deliver it at once.
//!
//! The engines are made up, and the usage server is a loopback port of this program. The disk is that of the
//! folder for temporary files. The floors are measured in turn with the cases:
//!
//! - a message that is kept (`record` until `flush` says `Durable`) against `write` and `fdatasync` of the same
//!   bytes to a new file;
//! - the delivery of what ended processes left, against the same bodies by a bare connection;
//! - a message from `record` to the server, against a bare connection of its own;
//! - the initialiser beside a spool that is nearly full, against a bare thread spawn (goal: 1.0 times).
//!
//! ```sh
//! cargo bench --bench spool
//! ```

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]
#![expect(clippy::cast_precision_loss, reason = "figures of three digits are printed")]

mod support;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use otel_usage::schema::vllm;
use otel_usage::settings::Env;
use otel_usage::{Flush, Usage};
use otel_usage_testing::receiver::{Answer, Receiver};
use otel_usage_testing::sample;
use support::Times;

type Failure = Box<dyn std::error::Error>;

/// Longest wait for a message that has to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// Messages of an engine that is ended: what two engines leave and one more are sent in one go.
const EACH: usize = 15;

/// Engines that leave messages: three quarters of what the folder holds.
const ENGINES: usize = 13;

/// Waits until an engine may send `messages` again, of which it sends ten a second.
#[expect(
    clippy::disallowed_methods,
    reason = "the pause is what keeps the policy out of the figures"
)]
fn pause(messages: u64) {
    std::thread::sleep(Duration::from_millis(messages.saturating_mul(110)));
}

fn main() -> Result<(), Failure> {
    if support::option("--child").is_some() {
        return leave_messages();
    }
    if !support::is_bench() {
        return Ok(());
    }
    append()?;
    drain()?;
    latency()?;
    initialiser()
}

fn usage(home: &Path, url: &str) -> Result<Usage, Failure> {
    let home = home.to_string_lossy();
    let usage = Usage::builder(&vllm::CURRENT)
        .with_sample_data()
        .with_accelerators(sample::accelerators())
        .with_environment(Env::given([
            ("HOME", home.as_ref()),
            ("OTEL_USAGE_MODE", "on"),
            ("OTEL_USAGE_EXPORTERS", "server"),
            ("VLLM_USAGE_STATS_SERVER", url),
        ]))
        .on_notice(|_, _| {})
        .try_init()?;
    if usage.is_enabled() { Ok(usage) } else { Err("collection is off here".into()) }
}

/// Returns an address without a server.
fn away() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.84:0")?.local_addr()?)
}

/// Returns the wall time of a call. Unit: nanoseconds.
fn timed<T>(call: impl FnOnce() -> Result<T, Failure>) -> Result<f64, Failure> {
    let begun = support::machine_time();
    call()?;
    Ok(support::machine_time().saturating_sub(begun) as f64)
}

/// Wall times of cases that take turns, each with the floor to which it is compared.
#[derive(Default)]
struct Turns(Vec<(&'static str, &'static str, Times)>);

impl Turns {
    fn add(&mut self, name: &'static str, floor: &'static str, time: f64) {
        match self.0.iter_mut().find(|(known, ..)| *known == name) {
            Some((.., times)) => times.0.push(time),
            None => self.0.push((name, floor, Times(vec![time]))),
        }
    }

    fn print(&self, title: &str) {
        println!("\n{title}");
        println!("  {:<58} {:>10} {:>10} {:>7}", "us, wall", "median", "p90", "ratio");
        for (name, floor, times) in &self.0 {
            let floor = self.0.iter().find(|(known, ..)| known == floor);
            let ratio = floor.map_or(1.0, |(.., floor)| times.median() / floor.median());
            println!(
                "  {name:<58} {:>10.1} {:>10.1} {ratio:>7.2}",
                times.median() / 1e3,
                times.quantile(0.9) / 1e3,
            );
        }
    }
}

/// The messages on disk.
fn entries(home: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut entries = Vec::new();
    for file in fs::read_dir(home.join(".local/state/otel-usage"))? {
        let path = file?.path();
        if path.extension().is_some_and(|end| end != "lock") {
            entries.push(path);
        }
    }
    Ok(entries)
}

fn append() -> Result<(), Failure> {
    const ONE: &str = "write + fdatasync of one";
    const EIGHT: &str = "write + fdatasync of eight, one after the other";
    let home = tempfile::tempdir()?;
    let url = format!("http://{}", away()?);
    let mut turns = Turns::default();
    let mut number = 0_usize;
    for _ in 0..60 {
        let usage = usage(home.path(), &url)?;
        let keep = |messages: usize| {
            timed(|| {
                for _ in 0..messages {
                    usage.record(sample::vllm_report());
                }
                match usage.flush(PATIENCE) {
                    Flush::Durable => Ok(()),
                    other => Err(format!("a message is not on disk: {other:?}").into()),
                }
            })
        };
        // The worker and the folder are there.
        keep(1)?;
        let entry = entries(home.path())?.pop().ok_or("a message")?;
        let bytes = fs::read(entry)?;
        let mut floor = |messages: usize| {
            timed(|| {
                for _ in 0..messages {
                    number = number.saturating_add(1);
                    let mut file = File::create_new(home.path().join(number.to_string()))?;
                    file.write_all(&bytes)?;
                    file.sync_data()?;
                }
                Ok(())
            })
        };
        turns.add(ONE, ONE, floor(1)?);
        turns.add("one message, record to `Durable`", ONE, keep(1)?);
        turns.add(EIGHT, EIGHT, floor(8)?);
        turns.add("eight messages, record to `Durable`", EIGHT, keep(8)?);
        usage.withdraw();
        usage.finish();
    }
    turns.print("A message that is kept: the record, an attempt that is refused, files, syncs");
    Ok(())
}

/// Leaves the messages of an engine on disk.
fn leave_messages() -> Result<(), Failure> {
    let home = support::option("--home").unwrap_or_default();
    let usage = usage(Path::new(&home), &support::option("--url").unwrap_or_default())?;
    for _ in 0..EACH {
        usage.record(sample::vllm_report());
    }
    if usage.flush(PATIENCE) == Flush::Durable { Ok(()) } else { Err("not on disk".into()) }
}

fn fill(home: &Path, address: SocketAddr, engines: usize) -> Result<(), Failure> {
    let (home, url) = (home.to_string_lossy(), format!("http://{address}"));
    for _ in 0..engines {
        let status =
            support::again(&["--child", "leave", "--home", &home, "--url", &url])?.status()?;
        if !status.success() {
            return Err("an engine left nothing".into());
        }
    }
    Ok(())
}

/// Sends a body as a request on a connection, and waits for the end of the answer's head.
fn post(connection: &mut TcpStream, body: &[u8]) -> Result<(), Failure> {
    let mut request = format!(
        "POST / HTTP/1.1\r\nHost: usage\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    connection.write_all(&request)?;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = connection.read(&mut part)?;
        answer.extend_from_slice(part.get(..count).filter(|part| !part.is_empty()).ok_or("end")?);
    }
    Ok(())
}

fn drain() -> Result<(), Failure> {
    const POSTED: &str = "30 bodies by a bare connection";
    let mut turns = Turns::default();
    for _ in 0..7 {
        let home = tempfile::tempdir()?;
        let address = away()?;
        fill(home.path(), address, 2)?;
        let left = entries(home.path())?.len();
        if left != EACH.saturating_mul(2) {
            return Err(format!("{left} messages are on disk").into());
        }
        let server = Receiver::on(TcpListener::bind(address)?, Vec::new(), Answer::Status(200, ""));
        let usage = usage(home.path(), &server.url())?;
        let mut bodies = Vec::new();
        let time = timed(|| {
            usage.record(sample::vllm_report());
            for _ in 0..=left {
                bodies.push(server.requests.recv_timeout(PATIENCE)?.body);
            }
            Ok(())
        })?;
        usage.finish();
        bodies.truncate(left);
        let floor = timed(|| {
            let mut connection = TcpStream::connect(address)?;
            connection.set_nodelay(true)?;
            bodies.iter().try_for_each(|body| post(&mut connection, body))
        })?;
        turns.add(POSTED, POSTED, floor);
        turns.add("30 messages of ended processes, record to arrival", POSTED, time);
        let synced = timed(|| {
            for (number, body) in bodies.iter().enumerate() {
                let mut file = File::create_new(home.path().join(number.to_string()))?;
                file.write_all(body)?;
                file.sync_data()?;
            }
            Ok(())
        })?;
        turns.add("for comparison: 30 times write + fdatasync", POSTED, synced);
        pause(32);
    }
    turns.print("Delivery of what two ended processes left");
    Ok(())
}

fn latency() -> Result<(), Failure> {
    const BARE: &str = "a bare connection: connect, POST, arrival";
    let home = tempfile::tempdir()?;
    let server = Receiver::start();
    let usage = usage(home.path(), &server.url())?;
    let mut turns = Turns::default();
    usage.record(sample::vllm_report());
    let body = server.requests.recv_timeout(PATIENCE)?.body;
    for number in 0..200_usize {
        let _ = usage.flush(PATIENCE);
        pause(1);
        let time = timed(|| {
            let mut connection = TcpStream::connect(server.address)?;
            post(&mut connection, &body)?;
            Ok(server.requests.recv_timeout(PATIENCE)?)
        })?;
        turns.add(BARE, BARE, time);
        let time = timed(|| {
            usage.record(sample::vllm_report());
            Ok(server.requests.recv_timeout(PATIENCE)?)
        })?;
        turns.add("record to arrival", BARE, time);
        let path = home.path().join(number.to_string());
        let time = timed(|| {
            let mut file = File::create_new(path)?;
            file.write_all(&body)?;
            Ok(file.sync_data()?)
        })?;
        turns.add("for comparison: write + fdatasync of the body", BARE, time);
    }
    turns.print("A message while the server answers, which touches no disk");
    Ok(())
}

fn initialiser() -> Result<(), Failure> {
    const BARE: &str = "a bare thread that waits";
    let (home, empty) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let address = away()?;
    fill(home.path(), address, ENGINES)?;
    let url = format!("http://{address}");
    let mut turns = Turns::default();
    for round in 0..1000_usize {
        let (sender, receiver) = mpsc::channel::<()>();
        let mut thread = None;
        let time = timed(|| {
            thread = Some(std::thread::Builder::new().spawn(move || receiver.recv().is_ok())?);
            Ok(())
        })?;
        turns.add(BARE, BARE, time);
        drop(sender);
        let _ = thread.ok_or("a thread")?.join();
        // The case after the bare thread pays for the work that the thread leaves behind.
        let mut cases = [
            ("init, no spool", empty.path()),
            ("init beside a spool of 195 messages", home.path()),
        ];
        cases.rotate_left(round % 2);
        for (name, home) in cases {
            let mut made = None;
            let time = timed(|| {
                made = Some(usage(home, &url)?);
                Ok(())
            })?;
            turns.add(name, BARE, time);
            made.ok_or("a handle")?.finish();
        }
    }
    turns.print("The initialiser: it does not look for a spool, the worker does");
    println!("  {} messages are left", entries(home.path())?.len());
    Ok(())
}
