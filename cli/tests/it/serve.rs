//! Runs `otel-usage serve` as a process that engines report to, and hurts it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use otel_usage_testing::PATIENCE;
use otel_usage_testing::python::Originals;
use rustix::process::{Pid, Signal, kill_process};

use crate::bridge::command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_otel-usage");

/// A server in its own process. It is killed when a test fails.
struct Serve {
    child: Child,
    address: String,
    folder: PathBuf,
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the command in a folder that holds everything it writes.
fn serve(folder: &Path) -> Command {
    // A process that may not write a large file gets an error, and no signal.
    let mut command = command("/bin/sh");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", PROGRAM, "serve"]);
    command.env("XDG_STATE_HOME", folder);
    command
}

/// Waits until `done` gives a value.
#[expect(clippy::disallowed_methods, reason = "a test waits for another process")]
fn wait<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now().checked_add(PATIENCE).unwrap();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < until, "{what} does not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

impl Serve {
    fn start(folder: &Path) -> Self {
        Self::start_as(serve(folder), folder)
    }

    fn start_as(mut command: Command, folder: &Path) -> Self {
        let log = folder.join("log");
        command.args(["--listen", "127.0.0.1:0", "--maintainers", "127.0.0.1:0", "--rate", "0"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        let mut started = Self { child, address: String::new(), folder: folder.to_owned() };
        started.address = wait("a start", || {
            let text = started.log();
            let line = text.lines().find_map(|line| line.strip_prefix("otel-usage: listening on "));
            text.contains("keeping everything").then_some(line?.to_owned())
        });
        started
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    fn client(&self) -> Client {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(BufReader::new(stream))
    }

    fn terminate(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(command("/bin/kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

/// A connection that posts one message after the other.
struct Client(BufReader<TcpStream>);

impl Client {
    /// Posts a message. Returns the status, or `None` if there was no answer.
    fn post(&mut self, path: &str, body: &str, head: &str) -> Option<u16> {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: usage\r\ncontent-type: application/json\r\n{head}content-length: {length}\r\n\r\n{body}"
        );
        self.0.get_mut().write_all(request.as_bytes()).ok()?;
        let (mut status, mut body) = (None, 0_usize);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            status = status.or_else(|| line.split(' ').nth(1)?.parse().ok());
            if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                body = length.trim().parse().unwrap();
            }
            if line == "\r\n" {
                std::io::Read::read_exact(&mut self.0, &mut vec![0; body]).ok()?;
                return status;
            }
        }
    }

    fn beat(&mut self, session: &str) -> Option<u16> {
        self.post("/", &format!("{{\"uuid\": \"{session}\", \"log_time\": 0}}"), "")
    }
}

fn uuid(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// Returns what a command about the file prints.
fn about(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = serve(folder).args(arguments).output().unwrap();
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.success(), text)
}

/// Returns the sessions whose messages are in the file.
fn kept(folder: &Path) -> BTreeSet<String> {
    let (done, text) = about(folder, &["export", "messages", "--format", "json"]);
    assert!(done, "{text}");
    let ids = text.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        Some(line.get("body")?.get("uuid")?.as_str()?.to_owned())
    });
    ids.collect()
}

/// Posts from many connections until told to stop, and notes what was answered with 200.
struct Load {
    answered: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    /// Posts until told to stop. The server is killed with the answer of this number, if it is given one: at that moment
    /// a message that was answered too early is most likely not in the file yet.
    fn start(server: &Serve, next: &Arc<AtomicUsize>, kill_at: Option<usize>) -> Self {
        let (answered, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let threads = (0..8).map(|_| {
            let (answered, stop) = (Arc::clone(&answered), Arc::clone(&stop));
            let (next, mut client) = (Arc::clone(next), server.client());
            let server = Pid::from_child(&server.child);
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let id = uuid(next.fetch_add(1, Ordering::SeqCst));
                    match client.beat(&id) {
                        Some(200) => {
                            let mut answered = answered.lock().unwrap();
                            answered.push(id);
                            if kill_at == Some(answered.len()) {
                                kill_process(server, Signal::KILL).unwrap();
                            }
                        }
                        _ => break,
                    }
                }
            })
        });
        let threads = threads.collect();
        Self { answered, stop, threads }
    }

    fn wait_for(&self, count: usize) {
        wait("load", || (self.answered.lock().unwrap().len() >= count).then_some(()));
    }

    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        std::mem::take(&mut *self.answered.lock().unwrap())
    }
}

#[test]
fn a_killed_server_has_kept_everything_that_it_answered() {
    let folder = tempfile::tempdir().unwrap();
    let next = Arc::new(AtomicUsize::new(0));
    let mut answered = BTreeSet::new();
    for round in 1..=4 {
        let mut server = Serve::start(folder.path());
        let load = Load::start(&server, &next, Some(40 * round));
        server.child.wait().unwrap();
        answered.extend(load.end());
    }
    assert!(answered.len() >= 400, "{}", answered.len());
    let kept = kept(folder.path());
    let missing: Vec<_> = answered.difference(&kept).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let (sound, text) = about(folder.path(), &["check"]);
    assert!(sound, "{text}");
    // The projection has them too, after the next start.
    assert!(Serve::start(folder.path()).terminate().success());
    let (_, sessions) = about(folder.path(), &["export", "sessions"]);
    assert_eq!(sessions.lines().count() - 1, kept.len());
}

#[test]
fn a_stopped_server_answers_what_it_was_asked_and_leaves_one_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let server = Serve::start(folder.path());
    let load = Load::start(&server, &Arc::new(AtomicUsize::new(0)), None);
    load.wait_for(50);
    assert!(server.terminate().success());
    let answered: BTreeSet<String> = load.end().into_iter().collect();
    let (kept, data) = (kept(folder.path()), folder.path().join("otel-usage/serve/otel-usage.db"));
    assert!(answered.is_subset(&kept));
    // A request is answered or not begun: none was kept without an answer.
    assert_eq!(answered, kept);
    assert!(data.exists());
    let (_, sessions) = about(folder.path(), &["export", "sessions"]);
    assert_eq!(sessions.lines().count() - 1, kept.len());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_asks_senders_to_wait_and_passes() {
    use rustix::process::{Resource, Rlimit, prlimit};
    let folder = tempfile::tempdir().unwrap();
    let server = Serve::start(folder.path());
    let mut client = server.client();
    assert_eq!(client.beat(&uuid(1)), Some(200));
    let limit = |bytes| {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(Pid::from_child(&server.child)), Resource::Fsize, limit).unwrap();
    };
    limit(Some(8192));
    assert_eq!(client.beat(&uuid(2)), Some(503));
    assert_eq!(client.beat(&uuid(3)), Some(503));
    let log = server.log();
    assert_eq!(log.matches("messages cannot be kept").count(), 1, "{log}");
    assert!(log.contains("make room on the disk"), "{log}");
    limit(None);
    assert_eq!(client.beat(&uuid(4)), Some(200));
    assert!(server.log().contains("messages are kept again"));
    assert!(server.terminate().success());
    assert_eq!(kept(folder.path()), [uuid(1), uuid(4)].into());
}

#[cfg(target_os = "linux")]
#[test]
fn a_failed_sync_stops_the_server_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let (library, fails) = (folder.path().join("failing_sync.so"), folder.path().join("fails"));
    let source = otel_usage_testing::root().join("testing/src/failing_sync.c");
    let built = command("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .arg(source)
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return otel_usage_testing::skipped("there is no C compiler");
    }
    let mut command = serve(folder.path());
    command.env("LD_PRELOAD", &library).env("FAILING_SYNC", &fails);
    let mut server = Serve::start_as(command, folder.path());
    let mut client = server.client();
    assert_eq!(client.beat(&uuid(1)), Some(200));
    File::create(&fails).unwrap();
    // Nothing is promised any more; the server may be gone before it answers.
    assert_ne!(client.beat(&uuid(2)), Some(200));
    let status = wait("an end", || server.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    let log = server.log();
    assert!(log.contains("the file cannot be trusted any more"), "{log}");
    fs::remove_file(&fails).unwrap();
    assert!(kept(folder.path()).contains(&uuid(1)));
}

#[test]
fn a_second_server_on_the_same_file_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = Serve::start(folder.path());
    for arguments in [
        &["--listen", "127.0.0.1:0", "--maintainers", "127.0.0.1:0"][..],
        &["rebuild"],
        &["forget", &uuid(1)],
    ] {
        let (done, text) = about(folder.path(), arguments);
        assert!(
            !done && text.contains("another otel-usage serve uses this file: stop it first"),
            "{text}"
        );
    }
    assert!(server.terminate().success());
    let (done, text) = about(folder.path(), &["forget", &uuid(1)]);
    assert!(done && text.starts_with("deleted 0 sessions and 0 messages"), "{text}");
}

#[test]
fn a_planted_address_is_in_no_log_and_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = serve(folder.path());
    command.args(["--trusted-proxy", "127.0.0.1"]);
    let server = Serve::start_as(command, folder.path());
    let mut client = server.client();
    let head = "x-forwarded-for: 203.0.113.77\r\n";
    let beat = format!("{{\"uuid\": \"{}\", \"log_time\": 0}}", uuid(1));
    assert_eq!(client.post("/", &beat, head), Some(200));
    for body in ["no json", "{\"strange_key\": 1}"] {
        assert_eq!(client.post("/context", body, head), Some(400));
    }
    assert_eq!(client.post("/v1/traces", "{}", head), Some(200));
    assert!(server.terminate().success());
    let mut folders = vec![folder.path().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = fs::read(&path).unwrap();
            for needle in [&b"203.0.113"[..], &[203, 0, 113, 77]] {
                assert!(
                    !bytes.windows(needle.len()).any(|piece| piece == needle),
                    "{}",
                    path.display()
                );
            }
        }
    }
    assert!(files >= 2);
}

#[cfg(target_os = "linux")]
#[test]
fn the_unmodified_originals_report_to_it() {
    let originals = match Originals::wheels() {
        Ok(originals) => originals,
        Err(because) => return otel_usage_testing::skipped(&because),
    };
    let folder = tempfile::tempdir().unwrap();
    let server = Serve::start(folder.path());
    let url = format!("http://{}", server.address);
    for scenario in ["vllm-cuda", "lmcache-single", "lmcache-mp"] {
        let output = originals
            .play(scenario, &url)
            .unwrap()
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(server.terminate().success());
    let (_, messages) = about(folder.path(), &["export", "messages", "--format", "json"]);
    let mut seen = BTreeSet::new();
    for line in messages.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        seen.insert(format!("{} {}", line["contract"], line["message"]).replace('"', ""));
    }
    let expected = [
        "lmcache/1 CacheLifespanMessage",
        "lmcache/1 ContinuousContextMessage",
        "lmcache/1 EngineMessage",
        "lmcache/1 EnvMessage",
        "lmcache/1 L1UsageMessage",
        "lmcache/1 L2ConnectorUsageMessage",
        "lmcache/1 MPServerMessage",
        "lmcache/1 MetadataMessage",
        "vllm/current heartbeat",
        "vllm/current report",
    ];
    assert_eq!(seen, expected.map(str::to_owned).into());
}
