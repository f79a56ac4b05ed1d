//! Runs `otel-usage bridge` as a process that receives OTLP and a signal to stop.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use otel_usage::Contract;
use otel_usage::schema::{Field, Literal, MessageSpec, Privacy, Sanitizer, Source, Trigger, Type};

use crate::shell::Shell;

/// A bridge in its own process. It is killed when a test fails.
pub(crate) struct Bridge {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "the library starts no process; this test must")]
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_clear().env("OTEL_USAGE_MODE", "on").env("PATH", "/usr/bin:/bin").current_dir("/");
    command
}

impl Bridge {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut lines = String::new();
        // Notes on its limits may come before.
        let address = loop {
            let start = lines.len();
            assert_ne!(said.read_line(&mut lines).unwrap(), 0, "{lines}");
            if let Some(address) = lines[start..].trim().strip_prefix("otel-usage: listening on ") {
                break address.to_owned();
            }
        };
        // Its output must be read, because a full pipe would stop it.
        thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { child, address }
    }

    /// Posts a request and returns the head and body of the answer.
    fn post(&self, body: &str) -> String {
        post(&self.address, body)
    }

    fn signal(&self, name: &str) {
        let id = self.child.id();
        assert!(
            command("/bin/sh")
                .args(["-c", &format!("kill -{name} {id}")])
                .status()
                .unwrap()
                .success()
        );
    }
}

fn post(address: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /v1/traces HTTP/1.1\r\nhost: bridge\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// One heartbeat as OTLP/JSON and as flat JSON.
fn heartbeat() -> (String, String) {
    let line = |form: &str| {
        let options =
            "--clock 1787206513123456789 --instance-id b1946ac9-2a4e-4d2a-9c55-0d6a2c8e11f0";
        // The engine does not post it by itself.
        let shell = Shell::new().with("OTEL_USAGE_EXPORTERS", "otlp");
        let ran = shell.run(&format!("preview --contract vllm-heartbeat {form} {options}"));
        ran.out.lines().next().unwrap().to_owned()
    };
    (line("--otlp"), line("--json"))
}

#[test]
fn a_stopped_bridge_answers_open_requests_and_exits_with_0() {
    // A usage server that holds the request until the test releases it.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let (arrived, has_arrived) = mpsc::channel();
    let (answer, may_answer) = mpsc::channel::<()>();
    thread::spawn(move || {
        let mut stream = server.accept().unwrap().0;
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        while !request.ends_with(b"}") {
            let read = stream.read(&mut buffer).unwrap();
            request.extend_from_slice(&buffer[..read]);
        }
        arrived.send(String::from_utf8(request).unwrap()).unwrap();
        may_answer.recv().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    });

    let mut bridge = Bridge::start(command(env!("CARGO_BIN_EXE_otel-usage")).args([
        "bridge",
        "--exporter",
        "server",
        "--listen",
        "127.0.0.1:0",
        "--server",
        &format!("vllm={url}"),
    ]));
    let (otlp, flat) = heartbeat();
    let address = bridge.address.clone();
    let sender = thread::spawn(move || post(&address, &otlp));
    let request: String = has_arrived.recv().unwrap();
    assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with(&flat), "{request}");

    bridge.signal("TERM");
    while TcpStream::connect(&bridge.address).is_ok() {
        thread::yield_now();
    }
    assert!(bridge.child.try_wait().unwrap().is_none(), "it left its work behind");
    answer.send(()).unwrap();
    let told = sender.join().unwrap();
    assert!(told.starts_with("HTTP/1.1 200 OK\r\n"), "{told}");
    assert_eq!(bridge.child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_bridge_runs_without_home_rights_or_writable_files() {
    // Another user must be able to run the program.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("otel-usage");
    fs::copy(env!("CARGO_BIN_EXE_otel-usage"), &program).unwrap();
    for path in [folder.path(), &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut shell = command("/bin/sh");
    // No file can grow, as on a read-only root.
    shell.args(["-c", "ulimit -f 0; exec \"$0\" bridge --exporter console --listen 127.0.0.1:0"]);
    // A folder that cannot be there. The home of the user `nobody` may exist, because a program of root made it.
    shell.arg(&program).env("HOME", folder.path().join("none"));
    if fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
        shell.uid(65_534).gid(65_534);
    }
    let mut bridge = Bridge::start(&mut shell);
    let (otlp, flat) = heartbeat();
    let told = bridge.post(&otlp);
    assert!(told.starts_with("HTTP/1.1 200 OK\r\n"), "{told}");
    // A second message does not give a second line.
    assert!(bridge.post(&otlp).starts_with("HTTP/1.1 200 OK\r\n"));
    bridge.signal("INT");
    let mut out = String::new();
    bridge.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, format!("{flat}\n"));
    assert_eq!(bridge.child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_bridge_reads_the_variables_of_the_engines() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/base", server.local_addr().unwrap());
    let bridge = Bridge::start(
        command(env!("CARGO_BIN_EXE_otel-usage"))
            .args(["bridge", "--exporter", "server", "--listen", "127.0.0.1:0"])
            .env("VLLM_USAGE_STATS_SERVER", url),
    );
    let (otlp, _) = heartbeat();
    let sender = thread::spawn(move || bridge.post(&otlp));
    let mut head = [0; 18];
    let mut stream = server.accept().unwrap().0;
    stream.read_exact(&mut head).unwrap();
    assert_eq!(String::from_utf8_lossy(&head), "POST /base HTTP/1.");
    drop((stream, server));
    assert!(sender.join().unwrap().starts_with("HTTP/1.1 503 "));
}

#[test]
fn each_mistake_is_one_line_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    for (line, code, thing, remedy) in [
        ("bridge".to_owned(), 2, "--exporter <EXPORTER>", "Usage"),
        ("bridge --exporter nowhere".to_owned(), 2, "nowhere", "server, file, console"),
        ("bridge --exporter file".to_owned(), 1, "--exporter file", "--file PATH"),
        ("bridge --exporter console --file /tmp/x".to_owned(), 1, "--file", "add --exporter file"),
        (
            "bridge --exporter file --file /".to_owned(),
            1,
            "file /",
            "a directory that this user can write",
        ),
        ("bridge --exporter server --server vllm".to_owned(), 2, "vllm", "CONTRACT=URL"),
        (
            "bridge --exporter server --server x=http://127.0.0.1:1".to_owned(),
            1,
            "server for x",
            "known are vllm/current",
        ),
        (
            "bridge --exporter server --server vllm=ftp://u:secret@x".to_owned(),
            1,
            "--server",
            "http://host:port",
        ),
        (
            "bridge --exporter console --server vllm=http://127.0.0.1:1".to_owned(),
            1,
            "--server",
            "--exporter server",
        ),
        (
            "bridge --exporter console --contract-file /no/such/contract.json".to_owned(),
            1,
            "/no/such/contract.json",
            "check the path",
        ),
        ("bridge --exporter console --max-posts 0".to_owned(), 2, "--max-posts", "from 1"),
        (format!("bridge --exporter console --listen {taken}"), 1, &taken.to_string(), "--listen"),
    ] {
        let ran = Shell::new().with("OTEL_USAGE_MODE", "on").run(&line);
        assert_eq!(ran.code, code, "{line}: {ran:?}");
        assert!(ran.err.contains(thing) && ran.err.contains(remedy), "{line}: {}", ran.err);
        assert!(code == 2 || ran.err.lines().count() == 1, "{line}: {}", ran.err);
        assert!(!ran.err.contains("secret"), "{}", ran.err);
    }
    let ran = Shell::new()
        .with("DO_NOT_TRACK", "1")
        .run("bridge --exporter console --listen 127.0.0.1:0");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("DO_NOT_TRACK"), "{}", ran.err);
}

#[test]
fn the_start_names_addresses_contracts_and_destinations_without_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(env!("CARGO_BIN_EXE_otel-usage"));
    command.args(["bridge", "--exporter", "server", "--exporter", "file", "--exporter", "console"]);
    command.args([
        "--listen",
        "127.0.0.1:0",
        "--server",
        "vllm=http://me:hunter2@127.0.0.1:9/a?k=hunter2",
    ]);
    command.arg("--file").arg(folder.path().join("out.jsonl"));
    command.env("HOME", folder.path()).env("LMCACHE_USAGE_TRACK_URL", "http://127.0.0.1:7");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    let mut lines: Vec<String> = Vec::new();
    for line in said.lines().map(Result::unwrap) {
        let last = line.ends_with("to standard output");
        lines.push(line);
        if last {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let text = lines.join("\n");
    for words in [
        "listening on 127.0.0.1:",
        "delivering vllm/current, vllm/0.11, vllm/0.7, vllm/0.4.0 to http://127.0.0.1:9/a\n",
        "delivering lmcache/1, lmcache/doc, lmcache/legacy to http://127.0.0.1:7\n",
        "delivering every contract to the file ",
        "/out.jsonl\n",
        "delivering every contract to standard output",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn every_flag_and_default_is_documented() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/receiver/bridge.md");
    let page = fs::read_to_string(page).unwrap();
    let help = Shell::new().run("help bridge").out;
    let flags: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim().strip_prefix("--"))
        .filter(|line| line.contains('<') || line.starts_with("forward"))
        .collect();
    assert!(flags.len() > 15, "{help}");
    for flag in flags {
        let name = flag.split(' ').next().unwrap();
        let row = page.lines().find(|line| line.starts_with(&format!("| `--{name}")));
        assert!(row.is_some(), "--{name} is not in docs/receiver/bridge.md");
    }
    for default in help.split("[default: ").skip(1).map(|rest| rest.split(']').next().unwrap()) {
        for value in default.split_whitespace() {
            assert!(
                page.contains(&format!("| {value} |")) || page.contains(&format!("`{value}`")),
                "{value}"
            );
        }
    }
}

#[test]
fn the_bridge_delivers_an_engine_from_its_contract_file() {
    let shell = Shell::new().with("OTEL_USAGE_EXPORTERS", "otlp");
    let mut message = MessageSpec::new("report", "third.report", Trigger::Record);
    message.fields.to_mut().extend([
        Field::new("at", Type::Int, Source::Time, Privacy::Envelope, "When."),
        Field::record("layers", Type::Int, "third.layers", "Layers.").example(Literal::Int(32)),
        Field::record("remote", Type::Str, "third.remote", "Where the cache lives.")
            .sanitized(&[Sanitizer::SchemeOnly])
            .example(Literal::text("redis://host")),
    ]);
    let contract = Contract::new("third/1", "third").with_message(message);
    let (file, lines) = (shell.home().join("third.json"), shell.home().join("lines.jsonl"));
    fs::write(&file, contract.to_json()).unwrap();
    let bridge = Bridge::start(command(env!("CARGO_BIN_EXE_otel-usage")).args([
        "bridge",
        "--exporter",
        "file",
        "--file",
        lines.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--contract-file",
        file.to_str().unwrap(),
    ]));
    let line = format!("preview --contract-file {} --clock 7", file.display());
    let otlp = shell.run(&format!("{line} --otlp")).out;
    // The record, and the span of the run, which has no message.
    for request in otlp.lines() {
        assert!(bridge.post(request).starts_with("HTTP/1.1 200 OK\r\n"));
    }
    let flat = shell.run(&format!("{line} --json")).out;
    assert_eq!(flat, "{\"at\": 7, \"layers\": 32, \"remote\": \"redis://\"}\n");
    assert_eq!(fs::read_to_string(&lines).unwrap(), flat);
}
