//! ClickHouse behind a proxy that ends it in the middle of a statement, and starts it again on the same folder.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clickhouse::{Server, ask};

/// When ClickHouse is killed, by the statement that holds the text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    /// It has not seen it.
    Before(&'static str),
    /// It has done it, and nobody is told.
    After(&'static str),
}

impl When {
    fn text(self) -> &'static str {
        let (Self::Before(text) | Self::After(text)) = self;
        text
    }
}

struct State {
    python: String,
    folder: PathBuf,
    server: Server,
    /// The cuts that are left, in their order.
    cuts: Vec<When>,
    seen: Vec<String>,
}

/// A ClickHouse that is killed at some statements.
pub(crate) struct Cut {
    pub(crate) at: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Cut {
    pub(crate) fn start(python: &str, folder: &Path) -> Self {
        let server = Server::start(python, folder);
        let (python, folder) = (python.to_owned(), folder.to_owned());
        let state = State { python, folder, server, cuts: Vec::new(), seen: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            // It ends with the process of the tests.
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream, &state));
            }
        });
        Self { at, state }
    }

    /// Names the statements at which ClickHouse is killed, one after the other.
    pub(crate) fn cut(&self, cuts: &[When]) {
        let mut state = self.state.lock().unwrap();
        assert!(state.cuts.is_empty(), "{:?} did not happen", state.cuts);
        state.cuts = cuts.to_vec();
    }

    /// Returns the cuts that did not happen yet.
    pub(crate) fn left(&self) -> usize {
        self.state.lock().unwrap().cuts.len()
    }

    /// Returns every statement so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.state.lock().unwrap().seen.clone()
    }

    /// Returns the number that a question has as its answer.
    pub(crate) fn number(&self, question: &str) -> i64 {
        let state = self.state.lock().unwrap();
        let answer = ask(state.server.1, &format!("{question} FORMAT TabSeparated")).unwrap();
        answer.trim().parse().unwrap()
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        // The threads hold the state until the process of the tests ends. A test that failed may have poisoned it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner).server.end();
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut sql = vec![0; length];
    reader.read_exact(&mut sql).ok()?;
    let answer = state.lock().unwrap().run(&String::from_utf8(sql).unwrap())?;
    let (status, text) = match answer {
        Ok(text) => ("200 OK", text),
        Err(error) => ("500 Internal Server Error", format!("{error:#}")),
    };
    let mut stream = stream;
    let length = text.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{text}"
    )
    .ok()
}

impl State {
    /// Returns the answer, or `None` if ClickHouse is killed before it gives one.
    fn run(&mut self, sql: &str) -> Option<anyhow::Result<String>> {
        let cut = self.cuts.first().copied().filter(|cut| sql.contains(cut.text()));
        if cut.is_some() {
            self.cuts.remove(0);
        }
        self.seen.push(sql.to_owned());
        if matches!(cut, None | Some(When::After(_))) {
            let answer = ask(self.server.1, sql);
            if cut.is_none() {
                return Some(answer);
            }
            answer.unwrap();
        }
        self.server.end();
        self.server = Server::start(&self.python, &self.folder);
        None
    }
}
