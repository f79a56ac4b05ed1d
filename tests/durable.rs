//! Kills real engines with SIGKILL while their server is away, and looks at what arrives when it is back.
//!
//! It is a test program of its own, because it starts itself again as those engines.

#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the test starts processes, and fails by panicking"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use otel_usage::Flush;
use otel_usage_testing::receiver::{Answer, Receiver};
use otel_usage_testing::{PATIENCE, numbered, settled, vllm_at};

/// Starts this program as an engine.
fn engine(home: &Path, server: SocketAddr, first: i64, count: i64) -> Child {
    start("an_engine", home, server, ("TEST_NUMBERS", &format!("{first} {count}")))
}

fn start(engine: &str, home: &Path, server: SocketAddr, (name, value): (&str, &str)) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", engine, "--ignored", "--nocapture", "--test-threads=1"])
        .env("TEST_HOME", home)
        .env("TEST_SERVER", format!("http://{server}"))
        .env(name, value)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Reports numbers, and says which of them a flush acknowledged. Then it waits for its end.
#[test]
#[ignore = "a process of another test"]
fn an_engine() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let usage = vllm_at(Path::new(&variable("TEST_HOME")), &variable("TEST_SERVER"));
    let numbers = variable("TEST_NUMBERS");
    let (first, count) = numbers.split_once(' ').unwrap();
    let first: i64 = first.parse().unwrap();
    println!();
    for number in first..first + count.parse::<i64>().unwrap() {
        usage.record(numbered(number));
        if usage.flush(PATIENCE) == Flush::Durable {
            println!("durable {number}");
            std::io::stdout().flush().unwrap();
        }
    }
    loop {
        std::thread::park();
    }
}

/// Reports a number to a server that never answers, and ends as `TEST_END` says.
#[test]
#[ignore = "a process of another test"]
fn an_engine_whose_server_hangs() {
    let variable = |name: &str| std::env::var(name).unwrap();
    // A shell starts what runs in its background without an ear for SIGINT.
    // SAFETY: the default disposition, which runs no code of ours.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
    let usage = vllm_at(Path::new(&variable("TEST_HOME")), &variable("TEST_SERVER"));
    println!();
    usage.record(numbered(7));
    let end = variable("TEST_END");
    if end == "finish" {
        usage.finish();
        // A busy disk may take longer than the 250 ms.
        while usage.stats().exporters.iter().all(|one| one.spooled == 0) {
            std::thread::yield_now();
        }
    } else {
        while usage.flush(Duration::from_millis(300)) != Flush::Durable {}
    }
    println!("durable 7");
    std::io::stdout().flush().unwrap();
    match end.as_str() {
        "finish" => {}
        "abort" => std::process::abort(),
        _ => loop {
            std::thread::park();
        },
    }
}

fn number(body: &[u8]) -> i64 {
    serde_json::from_slice::<serde_json::Value>(body).unwrap()["block_size"].as_i64().unwrap()
}

/// Waits until the engine said `lines` times that a report is safe, kills it, and returns all that it said.
fn kill_after(mut engine: Child, lines: usize) -> Vec<i64> {
    let mut said = BufReader::new(engine.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut number = || {
        let line = said.find(|line| line.starts_with("durable "))?;
        line.strip_prefix("durable ")?.parse::<i64>().ok()
    };
    let mut safe: Vec<i64> = (0..lines).map_while(|_| number()).collect();
    engine.kill().unwrap();
    engine.wait().unwrap();
    safe.extend(std::iter::from_fn(number));
    safe
}

#[test]
fn what_a_server_never_answered_survives_each_end_of_the_engine() {
    for end in ["KILL", "TERM", "INT", "abort", "finish"] {
        let home = tempfile::tempdir().unwrap();
        let server = Receiver::away(Answer::Hang);
        let hangs = "an_engine_whose_server_hangs";
        let mut engine = start(hangs, home.path(), server.address, ("TEST_END", end));
        let mut said = BufReader::new(engine.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(said.any(|line| line == "durable 7"), "{end}");
        if end.chars().all(char::is_uppercase) {
            let kill = Command::new("kill").args(["-s", end, &engine.id().to_string()]).status();
            assert!(kill.unwrap().success());
        }
        engine.wait().unwrap();
        assert_eq!(number(&server.next().body), 7, "{end}");
        server.come_back();
        let usage = vllm_at(home.path(), &server.url());
        usage.record(numbered(-1));
        let mut arrived: Vec<i64> = server.take(2).iter().map(|one| number(&one.body)).collect();
        arrived.sort_unstable();
        assert_eq!(arrived, [-1, 7], "{end}");
        assert_eq!(usage.flush(PATIENCE), Flush::Settled);
    }
}

/// Brings the server back, runs one more engine, and returns what arrives.
fn deliver(home: &Path, address: SocketAddr, wanted: usize) -> Vec<i64> {
    let server =
        Receiver::on(TcpListener::bind(address).unwrap(), Vec::new(), Answer::Status(200, ""));
    let usage = vllm_at(home, &server.url());
    usage.record(numbered(-1));
    let mut arrived: Vec<i64> = (0..wanted).map(|_| number(&server.next().body)).collect();
    // A long queue waits for its server to rest, and is safe meanwhile.
    settled(&usage);
    arrived.extend(server.requests.try_iter().map(|request| number(&request.body)));
    arrived
}

#[test]
fn an_engine_that_is_killed_after_a_durable_flush_reports_at_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.81:0").unwrap().local_addr().unwrap();
    let safe = kill_after(engine(home.path(), address, 7, 1), 1);
    assert_eq!(safe, [7]);
    let mut arrived = deliver(home.path(), address, 2);
    arrived.sort_unstable();
    assert_eq!(arrived, [-1, 7]);
    let left = std::fs::read_dir(home.path().join(".local/state/otel-usage")).unwrap();
    assert_eq!(left.count(), 0);
}
