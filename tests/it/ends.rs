//! The end of an engine while its server hangs, at each stage of a request.
//!
//! `cargo xtask exit-delay` measures the same beside the originals. Here only the kind of wait is checked: an end
//! that waited for the client's own time limit would take five seconds.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use otel_usage::Usage;
use otel_usage::schema::vllm;
use otel_usage::settings::Env;
use otel_usage_mock_server::{Event, MockServer, Script};
use otel_usage_testing::resolver::NeverResolves;
use otel_usage_testing::{PATIENCE, sample, skipped, turns};

/// An end may take 250 ms, which are 25 turns. This leaves a loaded machine time, and is less than the client's limit
/// of five seconds.
const BOUND: u64 = 400;

/// Reports once, and ends as it is told when its standard input ends.
#[test]
#[ignore = "a process of another test"]
fn an_engine_that_ends() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let environment = Env::given([
        ("HOME", variable("TEST_HOME").as_str()),
        ("OTEL_USAGE_MODE", "on"),
        ("VLLM_USAGE_STATS_SERVER", variable("TEST_SERVER").as_str()),
    ]);
    // Its data may go beyond this machine as far as it knows, but the name is never found.
    let builder = Usage::builder(&vllm::CURRENT).with_environment(environment);
    let usage = builder.on_notice(|_, _| println!("\nnotice")).try_init().unwrap();
    usage.record(sample::vllm_report());
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().lines().count();
    let ((), waited) = turns(move || {
        match variable("TEST_END").as_str() {
            "finish" => usage.finish(),
            "drop" => {}
            // The process ends with the handle as it is.
            _ => std::process::exit(0),
        }
        drop(usage);
    });
    println!("\nended {waited}");
}

/// Runs an engine that ends in this way while `hangs` says that its request hangs.
fn end(how: &str, url: &str, environment: &[(&str, &Path)], hangs: impl FnOnce()) {
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ends::an_engine_that_ends", "--ignored", "--nocapture"])
        .args(["--test-threads=1"])
        .env("TEST_HOME", home.path())
        .env("TEST_SERVER", url)
        .env("TEST_END", how)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    // The first attempt follows the notice.
    assert!(said.any(|line| line == "notice"), "{how} {url}");
    hangs();
    let ((took, ended), waited) = turns(|| {
        drop(child.stdin.take());
        let took = said.find_map(|line| line.strip_prefix("ended ")?.parse::<u64>().ok());
        (took, child.wait().unwrap())
    });
    assert!(ended.success(), "{how} {url}");
    assert!(waited < BOUND, "{how} {url}: the process took {waited} turns");
    assert_eq!(took.is_some(), how != "exit");
    let took = took.unwrap_or_default();
    assert!(took < BOUND, "{how} {url}: the call took {took} turns");
}

/// Runs an engine whose server hangs at this stage.
fn end_at(fault: &str, how: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (sender, events) = mpsc::channel();
    let tell = move |event| {
        let _ = sender.send(event);
    };
    let script = Script::new([fault.parse().unwrap()]).unwrap();
    let server = MockServer::start(listener, script, tell).unwrap();
    let scheme = if fault == "hang-tls" { "https:" } else { "http:" };
    end(how, &server.url().replace("http:", scheme), &[], || {
        // A connection that is never accepted is not seen.
        if fault != "hang-connect" {
            assert!(matches!(events.recv_timeout(PATIENCE), Ok(Event::Begins(..))), "{fault}");
        }
    });
}

#[test]
fn finish_drop_and_exit_do_not_wait_for_a_server_that_hangs_at_any_stage() {
    thread::scope(|scope| {
        for how in ["finish", "drop", "exit"] {
            for fault in [
                "hang-connect",
                "hang-accept",
                "hang-tls",
                "hang-head",
                "hang-body",
                "hang-answer",
                "slow",
                "continue",
            ] {
                scope.spawn(move || end_at(fault, how));
            }
        }
    });
}

#[test]
fn finish_drop_and_exit_do_not_wait_for_a_name_server_that_never_answers() {
    for how in ["finish", "drop", "exit"] {
        let folder = tempfile::tempdir().unwrap();
        let Some(resolver) = NeverResolves::build(folder.path()) else {
            return skipped("no C compiler `cc` builds the resolver");
        };
        end(how, "http://stats.invalid:8080", &resolver.environment(), || {
            assert!(resolver.is_asked(PATIENCE), "{how}: no name is looked up");
        });
    }
}
