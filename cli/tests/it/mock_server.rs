//! Runs `otel-usage mock-server` as a process, and an engine that sends to it.

use std::io::BufReader;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use otel_usage::schema::vllm;
use otel_usage_mock_server::FAULTS;
use otel_usage_testing::{Operator, PATIENCE, sample, settled};

use crate::shell::Shell;

/// A server in its own process. It is killed when a test ends.
struct Server {
    child: Child,
    url: String,
    out: mpsc::Receiver<String>,
    err: mpsc::Receiver<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(options: &str) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the library starts no process; this test must"
        )]
        let mut command = Command::new(env!("CARGO_BIN_EXE_otel-usage"));
        command.args(["mock-server", "--listen", "127.0.0.1:0"]).args(options.split_whitespace());
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = lines(BufReader::new(child.stdout.take().unwrap()));
        let err = lines(BufReader::new(child.stderr.take().unwrap()));
        let first = err.recv_timeout(PATIENCE).unwrap();
        let url = first.split(&[' ', ';']).find(|word| word.starts_with("http://")).unwrap();
        Self { child, url: url.to_owned(), out, err }
    }

    /// Waits for a line that contains `text`, and returns it.
    fn until(lines: &mpsc::Receiver<String>, text: &str) -> String {
        loop {
            let line = lines.recv_timeout(PATIENCE).unwrap();
            if line.contains(text) {
                return line;
            }
        }
    }
}

fn lines(reader: impl std::io::BufRead + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in reader.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

#[test]
fn each_message_is_printed_a_line_a_key() {
    let server = Server::start("");
    for name in ["VLLM_USAGE_STATS_SERVER", "LMCACHE_USAGE_TRACK_URL", "OTEL_USAGE_OTLP_ENDPOINT"] {
        assert!(Server::until(&server.err, name).ends_with(&server.url));
    }
    for (exporter, path, rows) in [
        ("server", "1. POST /", ["  model_architecture ", "  uuid "]),
        ("otlp", "2. POST /v1/traces", ["  resource: service.name ", "model.architecture "]),
    ] {
        let operator = Operator::new()
            .with("VLLM_USAGE_STATS_SERVER", &server.url)
            .with("OTEL_USAGE_OTLP_ENDPOINT", &server.url)
            .with("OTEL_USAGE_EXPORTERS", exporter);
        let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
        usage.record(sample::vllm_report());
        settled(&usage);
        assert_eq!(Server::until(&server.out, "POST"), path);
        let printed: Vec<String> = server.out.iter().take_while(|line| !line.is_empty()).collect();
        for row in rows {
            assert!(printed.iter().any(|line| line.contains(row)), "{row}: {printed:?}");
        }
        drop(usage);
    }
}

#[test]
fn faults_come_in_their_order_and_the_last_one_repeats() {
    let server = Server::start("--json --fault status:503:0 --fault close --fault ok");
    let operator = Operator::new()
        .with("VLLM_USAGE_STATS_SERVER", &server.url)
        .with("OTEL_USAGE_EXPORTERS", "server");
    let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    for _ in 0..3 {
        let _ = usage.flush(PATIENCE);
    }
    settled(&usage);
    for said in ["connection 1: status:503:0", "connection 2: close"] {
        assert_eq!(Server::until(&server.err, "connection"), format!("otel-usage: {said}"));
    }
    let bodies: Vec<String> = (0..2).map(|_| server.out.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!(bodies[0], bodies[1]);
    assert!(bodies[0].starts_with("{\"uuid\":"), "{}", bodies[0]);
}

#[test]
fn help_and_page_list_every_fault() {
    let help = Shell::new().run("help mock-server").out;
    let page = include_str!("../../../docs/operator/cli.md");
    for (form, what) in FAULTS {
        let row = format!("| `{form}` | {what} |");
        assert!(page.contains(&row), "docs/operator/cli.md lacks: {row}");
        assert!(help.contains(form) && help.contains(what), "{help}");
    }
}

#[test]
fn a_wrong_fault_is_one_error_with_a_guess() {
    for (options, said) in [
        ("--fault hang-boddy", "did you mean `hang-body`?"),
        ("--fault status:7", "status:503:120"),
        ("--fault hang-connect --fault ok", "use it alone"),
    ] {
        let ran = Shell::new().run(&format!("mock-server --listen 127.0.0.1:0 {options}"));
        assert!(ran.code != 0 && ran.err.contains(said), "{}", ran.err);
        assert_eq!(ran.out, "");
    }
}
