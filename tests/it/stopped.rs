//! An engine that stands still while its answer arrives, as it does on a machine that is suspended.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use otel_usage_mock_server::{Connection, status};
use otel_usage_testing::{PATIENCE, numbered, vllm_at};

/// Longer than the time of a request, which is five seconds.
const STANDSTILL: Duration = Duration::from_secs(6);

/// Reports once, and says what became of it.
#[test]
#[ignore = "a process of another test"]
fn an_engine() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let usage = vllm_at(Path::new(&variable("TEST_HOME")), &variable("TEST_SERVER"));
    usage.record(numbered(1));
    println!("\nflushed {:?}", usage.flush(PATIENCE));
}

#[test]
fn an_answer_that_came_while_the_process_stood_still_counts() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stopped::an_engine", "--ignored", "--nocapture", "--test-threads=1"])
        .env("TEST_HOME", home.path())
        .env("TEST_SERVER", format!("http://{}", listener.local_addr().unwrap()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let tell = |signal: &str| {
        let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    };
    let (mut stream, _) = listener.accept().unwrap();
    let request = Connection::new(&stream.try_clone().unwrap()).request();
    tell("STOP");
    assert!(request.unwrap().is_some());
    stream.write_all(&status(200, "")).unwrap();
    // The clock of the engine has to pass the end of its request.
    std::thread::sleep(STANDSTILL);
    tell("CONT");
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let flushed = said.find_map(|line| Some(line.strip_prefix("flushed ")?.to_owned()));
    assert_eq!(flushed.as_deref(), Some("Settled"));
    assert!(child.wait().unwrap().success());
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "the message was sent again");
}
