//! A stand-in for ClickHouse: it takes inserts of JSON lines over HTTP and keeps the rows of each table.
//!
//! It answers as ClickHouse does where a receiver of usage depends on that: an insert is taken as a whole or not at all,
//! an insert of a known token is done once, and an error has a code. A question has the answer that a test gives, else an
//! empty one.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A text that makes a row bad.
type Bad = Option<&'static str>;

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<String, Vec<serde_json::Value>>,
    tokens: HashSet<String>,
    inserts: usize,
    made: Vec<String>,
    /// Parts of questions, and the answers.
    answers: Vec<(&'static str, String)>,
    bad: Bad,
    busy: bool,
    refused: usize,
}

/// A ClickHouse that can go away and come back with its rows.
#[derive(Debug)]
pub struct ClickHouse {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Default for ClickHouse {
    fn default() -> Self {
        Self::away()
    }
}

impl ClickHouse {
    /// Returns one that does not listen yet.
    #[must_use]
    pub fn away() -> Self {
        // The port is free again at once.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (state, stop) = (Arc::default(), Arc::default());
        Self { address, state, stop, thread: None }
    }

    /// Returns its address for a receiver.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://usage:secret@{}/usage", self.address)
    }

    /// Begins to listen.
    pub fn come(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        let (state, stop) = (Arc::clone(&self.state), Arc::clone(&self.stop));
        stop.store(false, Ordering::SeqCst);
        self.thread = Some(std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let _ = answer(stream.unwrap(), &state);
            }
        }));
    }

    /// Stops to listen.
    pub fn go(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = TcpStream::connect(self.address);
            thread.join().unwrap();
        }
    }

    /// Answers questions that hold this text, one JSON array a line.
    pub fn answer(&self, question: &'static str, answer: String) {
        self.state.lock().unwrap().answers.push((question, answer));
    }

    /// Refuses rows that hold this text.
    pub fn refuse(&self, text: Bad) {
        self.state.lock().unwrap().bad = text;
    }

    /// Refuses everything, as a server with too much to do, or takes it again.
    pub fn be_busy(&self, busy: bool) {
        self.state.lock().unwrap().busy = busy;
    }

    /// Returns how often it was too busy.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.state.lock().unwrap().refused
    }

    /// Returns the rows of a table in the order in which they came.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<serde_json::Value> {
        self.state.lock().unwrap().rows.get(table).cloned().unwrap_or_default()
    }

    /// Returns the values of a key in the rows of a table.
    #[must_use]
    pub fn values(&self, table: &str, key: &str) -> Vec<String> {
        self.rows(table)
            .iter()
            .map(|row| row[key].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Returns how many inserts were taken, and the statements that made tables.
    #[must_use]
    pub fn seen(&self) -> (usize, Vec<String>) {
        let state = self.state.lock().unwrap();
        (state.inserts, state.made.clone())
    }
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        self.go();
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut sql = vec![0; length];
    reader.read_exact(&mut sql)?;
    let (status, code, text) = match state.lock().unwrap().run(&String::from_utf8(sql).unwrap()) {
        Ok(text) => ("200 OK", 0, text),
        Err((status, code, why)) => (status, code, format!("Code: {code}. DB::Exception: {why}")),
    };
    let length = text.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nX-ClickHouse-Exception-Code: {code}\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{text}"
    )
}

impl State {
    fn run(&mut self, sql: &str) -> Result<String, (&'static str, u16, String)> {
        if self.busy {
            self.refused += 1;
            return Err(("500 Internal Server Error", 252, "Too many parts".to_owned()));
        }
        let Some(insert) = sql.strip_prefix("INSERT INTO ") else {
            let known = self.answers.iter().find(|(question, _)| sql.contains(question));
            let answer = known.map(|(_, answer)| answer.clone()).unwrap_or_default();
            self.made.push(sql.to_owned());
            return Ok(answer);
        };
        let (head, rows) = insert.split_once("FORMAT JSONEachRow\n").unwrap();
        if let Some(bad) = self.bad
            && rows.contains(bad)
        {
            return Err(("400 Bad Request", 27, format!("Cannot parse input: {bad}")));
        }
        let table = head.split(' ').next().unwrap();
        let token = head.split('\'').nth(1);
        let is_new = token.is_none_or(|token| self.tokens.insert(format!("{table} {token}")));
        if is_new && !rows.is_empty() {
            self.inserts += 1;
            let rows = rows.lines().map(|row| serde_json::from_str(row).unwrap());
            self.rows.entry(table.to_owned()).or_default().extend(rows);
        }
        Ok(String::new())
    }
}
