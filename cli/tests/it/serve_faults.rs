//! Hurts a usage server that runs as a process.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::bridge::command;
use crate::serve_process::{PROGRAM, Serve, about, kept, serve, uuid, wait};

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
    // Pages read through connections of their own, which are still open at the end.
    assert!(!server.page("/").is_empty() && !server.for_maintainers("/").is_empty());
    assert!(server.terminate().success());
    let answered: BTreeSet<String> = load.end().into_iter().collect();
    // The file is whole without its log, so that a copy of it alone is a copy of everything.
    let data = folder.path().join("otel-usage/serve/otel-usage.db");
    let copy = folder.path().join("copy.db");
    fs::copy(&data, &copy).unwrap();
    let (done, copied) =
        about(folder.path(), &["export", "sessions", "--data", copy.to_str().unwrap()]);
    assert!(done, "{copied}");
    assert_eq!(copied.lines().count() - 1, answered.len());
    let kept = kept(folder.path());
    // A request is answered or not begun: none was kept without an answer.
    assert_eq!(answered, kept);
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
    // The unit for systemd does not start it again after this one.
    assert_eq!(status.code(), Some(8));
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

#[cfg(unix)]
#[test]
fn the_file_and_its_copies_are_for_their_user_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let mut command = command("/bin/sh");
    command.args(["-c", "umask 0; exec \"$@\"", "sh", PROGRAM, "serve"]);
    command.env("XDG_STATE_HOME", folder.path());
    let server = Serve::start_as(command, folder.path());
    assert_eq!(server.client().beat(&uuid(1)), Some(200));
    let copy = folder.path().join("otel-usage/serve/copy.db");
    assert!(about(folder.path(), &["backup", copy.to_str().unwrap()]).0);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let place = folder.path().join("otel-usage/serve");
    assert_eq!(mode(&place), 0o700);
    let files: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The file, its log, the index of the log, the lock, and the copy.
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    assert!(server.terminate().success());
}

#[cfg(target_os = "linux")]
#[test]
fn no_bomb_takes_more_memory_than_the_bridge_allows() {
    use crate::bridge_limits::{
        DECODED, JSON, MEMORY, bombs, growth, gzip, gzip_of_spaces, limits, post, repeated,
    };
    let check =
        |name: &str, limits: [String; 4], to: (&str, &str), body: &[u8], answers: &[&str]| {
            // Memory that an earlier request has left to the process would hide growth.
            let folder = tempfile::tempdir().unwrap();
            let mut command = serve(folder.path());
            command.args(limits);
            let server = Serve::start_as(command, folder.path());
            // The first request brings code into memory.
            assert_eq!(server.client().beat(&uuid(1)), Some(200));
            let grown = growth(server.child.id(), || {
                let answer = post(&server.address, to.0, to.1, body);
                assert!(answers.contains(&answer.as_str()), "{name}: {answer}");
            });
            assert!(grown <= 4 * DECODED, "{name}: {} KiB", grown / 1024);
        };
    // Each limit alone holds a request that is small on the wire and has no end.
    let (large, endless) = (1 << 30, gzip_of_spaces(128 << 20));
    assert!(endless.len() < DECODED / 4, "the bomb itself is too large");
    for path in ["/", "/v1/traces"] {
        let refused = ["HTTP/1.1 413 Payload Too Large"];
        check("the limit on a request", limits(DECODED, large), (path, JSON), &endless, &refused);
        let later = ["HTTP/1.1 503 Service Unavailable"];
        check("the limit on all requests", limits(large, MEMORY), (path, JSON), &endless, &later);
    }
    // Within the limits, a request becomes no large structure.
    let keys = [&b"{\"a\":0"[..], &repeated(b",\"a\":0"), b"}"].concat();
    let numbers = [&b"{\"uuid\":[0"[..], &repeated(b",0"), b"]}"].concat();
    let flat = [("keys", keys), ("numbers", numbers), ("open lists", repeated(b"["))];
    let flat = flat.map(|(name, body)| (name, "/", JSON, body));
    let answered =
        ["HTTP/1.1 200 OK", "HTTP/1.1 413 Payload Too Large", "HTTP/1.1 400 Bad Request"];
    for (name, path, media_type, body) in flat.into_iter().chain(bombs()) {
        check(name, limits(DECODED, MEMORY), (path, media_type), &gzip(&body), &answered);
    }
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

#[test]
fn a_second_signal_ends_a_server_that_waits_for_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Serve::start(folder.path());
    assert_eq!(server.client().beat(&uuid(1)), Some(200));
    // Its body never comes, and a stop waits eight seconds for it.
    let mut begun = TcpStream::connect(&server.address).unwrap();
    begun.write_all(b"POST / HTTP/1.1\r\nhost: usage\r\ncontent-length: 9\r\n\r\n").unwrap();
    let id = Pid::from_child(&server.child);
    for said in ["stopping when the requests in progress are answered", "stopped at once"] {
        kill_process(id, Signal::TERM).unwrap();
        wait(said, || server.log().contains(said).then_some(()));
    }
    assert_eq!(server.child.wait().unwrap().code(), Some(1));
    drop(begun);
    assert_eq!(kept(folder.path()).len(), 1);
}
