//! A usage server as a process, and clients that post to it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use otel_usage_testing::PATIENCE;

use crate::bridge::command;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_otel-usage");

/// A server in its own process. It is killed when a test fails.
pub(crate) struct Serve {
    pub(crate) child: Child,
    pub(crate) address: String,
    /// The address for maintainers.
    maintainers: String,
    folder: PathBuf,
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the command in a folder that holds everything it writes.
pub(crate) fn serve(folder: &Path) -> Command {
    let mut command = command(PROGRAM);
    command.arg("serve");
    command.env("XDG_STATE_HOME", folder);
    command
}

/// Waits until `done` gives a value.
#[expect(clippy::disallowed_methods, reason = "a test waits for another process")]
pub(crate) fn wait<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
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
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_as(serve(folder), folder)
    }

    pub(crate) fn start_as(mut command: Command, folder: &Path) -> Self {
        command.args(["--rate", "0"]);
        Self::start_as_it_is(command, folder)
    }

    /// Starts a server with nothing but ports that are free.
    pub(crate) fn start_as_it_is(mut command: Command, folder: &Path) -> Self {
        let log = folder.join("log");
        command.args(["--listen", "127.0.0.1:0", "--maintainers", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        let (address, folder) = (String::new(), folder.to_owned());
        let mut started = Self { child, address, maintainers: String::new(), folder };
        (started.address, started.maintainers) = wait("a start", || {
            let text = started.log();
            let after = |words| {
                let line = text.lines().find_map(|line| line.strip_prefix(words))?;
                line.trim_start().strip_prefix("http://")?.split(' ').next()
            };
            let address = after("otel-usage: engines report to ")?;
            let maintainers = after("otel-usage: maintainers' page ")?;
            text.contains("otel-usage: ready;")
                .then(|| (address.to_owned(), maintainers.to_owned()))
        });
        started
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(BufReader::new(stream))
    }

    /// Returns a public page.
    pub(crate) fn page(&self, path: &str) -> String {
        get(&self.address, path)
    }

    /// Returns a page of the maintainers.
    pub(crate) fn for_maintainers(&self, path: &str) -> String {
        get(&self.maintainers, path)
    }

    pub(crate) fn terminate(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(command("/bin/kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

/// Returns the answer to a GET with its head.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}

/// A connection that posts one message after the other.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    /// Posts a message. Returns the status, or `None` if there was no answer.
    pub(crate) fn post(&mut self, path: &str, body: &str, head: &str) -> Option<u16> {
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

    pub(crate) fn beat(&mut self, session: &str) -> Option<u16> {
        self.post("/", &format!("{{\"uuid\": \"{session}\", \"log_time\": 0}}"), "")
    }
}

pub(crate) fn uuid(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// Returns what a command about the file prints.
pub(crate) fn about(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = serve(folder).args(arguments).output().unwrap();
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.success(), text)
}

/// Returns the sessions whose messages are in the file.
pub(crate) fn kept(folder: &Path) -> BTreeSet<String> {
    let (done, text) = about(folder, &["export", "messages", "--format", "json"]);
    assert!(done, "{text}");
    let ids = text.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        Some(line.get("body")?.get("uuid")?.as_str()?.to_owned())
    });
    ids.collect()
}
