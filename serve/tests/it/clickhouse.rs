//! Both databases answer alike. ClickHouse's own engine (chDB) plays ClickHouse, and the HTTP before it is ours.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::future::join_all;
use otel_usage_bridge::{Received, Store as _};
use otel_usage_serve::clickhouse::{ClickHouse, TABLES};
use otel_usage_serve::questions::{self as serve, counts};
use otel_usage_serve::store::Store;

use otel_usage_testing::fleet::{Fleet, Plan, Sent};
use rusqlite::Connection;
use serde_json::Value;

use crate::fleet::DAY;

const BEGIN: i64 = 20_003;
/// Time limit of the start on a slow machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// A ClickHouse process with an HTTP port. It ends when dropped.
pub(crate) struct Server(Child, pub(crate) SocketAddr);

impl Server {
    pub(crate) fn start(python: &str, folder: &Path) -> Self {
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/collector/clickhouse.py");
        let child = Command::new(python)
            .arg(script)
            .arg(at.port().to_string())
            .arg(folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let until = std::time::Instant::now() + PATIENCE;
        while TcpStream::connect(at).is_err() {
            assert!(std::time::Instant::now() < until, "ClickHouse does not listen");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Self(child, at)
    }
}

impl Server {
    /// Kills it.
    pub(crate) fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a statement and returns the answer.
pub(crate) fn ask(at: SocketAddr, sql: &str) -> anyhow::Result<String> {
    ask_at(at, "/", sql)
}

/// Runs a statement at an address with options of the server.
pub(crate) fn ask_at(at: SocketAddr, path: &str, sql: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(at)?;
    write!(stream, "POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{sql}", sql.len())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    anyhow::ensure!(head.contains(" 200 "), "{body}: {sql:.2000}");
    Ok(body.to_owned())
}

fn table(contract: &str, message: &str) -> String {
    let name = format!("usage_{contract}_{message}");
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Returns the generated statements that make the tables of messages.
pub(crate) fn tables() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../otel-collector/clickhouse");
    let mut tables = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "sql") {
            let text = std::fs::read_to_string(path).unwrap();
            let parts = text.split(";\n").filter(|part| part.contains("CREATE TABLE"));
            tables.extend(parts.map(str::to_owned));
        }
    }
    tables
}

/// Makes the tables.
fn create(at: SocketAddr) {
    for table in tables().iter().map(String::as_str).chain(TABLES) {
        ask(at, table).unwrap();
    }
}

/// Rows that wait for their insert, by table.
#[derive(Default)]
struct Rows {
    waiting: BTreeMap<String, String>,
}

impl Rows {
    /// Bytes of an insert.
    const MANY: usize = 8 << 20;

    fn add(&mut self, at: SocketAddr, sent: &Sent, time: i64) {
        let mut row: Value = serde_json::from_str(&sent.body).unwrap();
        row["received"] = format!("{}.{:03}", time / 1_000, time % 1_000).into();
        let rows = self.waiting.entry(table(sent.contract, sent.message)).or_default();
        rows.push_str(&row.to_string());
        rows.push('\n');
        if rows.len() > Self::MANY {
            self.insert(at);
        }
    }

    fn insert(&mut self, at: SocketAddr) {
        for (table, rows) in std::mem::take(&mut self.waiting) {
            // A retry inserts rows a second time.
            for _ in 0..2 {
                let insert = format!(
                    "INSERT INTO {table} SETTINGS input_format_skip_unknown_fields = 1 FORMAT JSONEachRow {rows}"
                );
                ask(at, &insert).unwrap();
            }
        }
    }
}

/// Puts the networks of the sessions, which only the file has, into ClickHouse.
fn copy_origins(connection: &Connection, at: SocketAddr) {
    let mut origins = connection
        .prepare("SELECT day, uuid, key, origin FROM origin JOIN session ON id = session")
        .unwrap();
    let origins = origins.query_map([], |row| {
        let uuid = uuid::Uuid::from_slice(&row.get::<_, Vec<u8>>(1)?).unwrap();
        let (day, key, origin): (i64, i64, i64) = (row.get(0)?, row.get(2)?, row.get(3)?);
        Ok(format!("({day}, '{uuid}', {key}, {origin})"))
    });
    let origins: Vec<String> = origins.unwrap().map(Result::unwrap).collect();
    for some in origins.chunks(5_000) {
        let insert = format!("INSERT INTO usage_origin FORMAT Values {}", some.join(", "));
        ask(at, &insert).unwrap();
    }
    let mut starts = connection
        .prepare(
            "SELECT day, e.text, c.text, key, origin, count FROM start \
             JOIN word e ON e.id = engine JOIN word c ON c.id = contract",
        )
        .unwrap();
    let starts = starts.query_map([], |row| {
        let (engine, contract): (String, String) = (row.get(1)?, row.get(2)?);
        let (day, key, origin, count): (i64, i64, i64, i64) =
            (row.get(0)?, row.get(3)?, row.get(4)?, row.get(5)?);
        Ok(format!("({day}, '{engine}', '{contract}', {key}, {origin}, {count})"))
    });
    let starts: Vec<String> = starts.unwrap().map(Result::unwrap).collect();
    if !starts.is_empty() {
        let insert = format!("INSERT INTO usage_start FORMAT Values {}", starts.join(", "));
        ask(at, &insert).unwrap();
    }
}

/// Gives both databases the same records of a made-up fleet, and asks both every question for each day.
async fn compare(plan: Plan, least: usize) {
    let Ok(python) = std::env::var("OTEL_USAGE_E2E_PYTHON") else {
        eprintln!("not tested: ClickHouse; run `cargo xtask e2e --all`");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&python, &folder.path().join("clickhouse"));
    let at = server.1;
    create(at);
    let now = Arc::new(AtomicI64::new(plan.begin));
    let clock = Arc::clone(&now);
    let file = folder.path().join("store.db");
    let store =
        Store::open(&file, &[], 0, Arc::new(move || clock.load(Ordering::Relaxed))).unwrap();
    let (mut rows, mut records, days) = (Rows::default(), 0, plan.days);
    let mut fleet = Fleet::new(7, plan);
    for time in fleet.slots() {
        now.store(time, Ordering::Relaxed);
        let mut answers = Vec::new();
        for sent in fleet.arriving(time) {
            records += 1;
            rows.add(at, &sent, time);
            let received = Received {
                contract: sent.contract.into(),
                message: sent.message.into(),
                body: sent.body.into(),
                time_nanos: sent.time_nanos,
            };
            answers.push(store.keep(sent.from, vec![received]));
        }
        assert!(join_all(answers).await.iter().all(Result::is_ok));
    }
    store.close();
    rows.insert(at);
    assert!(records > least, "{records}");
    let connection = Connection::open(&file).unwrap();
    copy_origins(&connection, at);
    let clickhouse = ClickHouse::new(Box::new(move |sql| ask(at, sql)));
    let mut compared = 0;
    for day in BEGIN..BEGIN + days {
        let one = counts(serve::Rows::Sqlite(&connection), day).unwrap();
        let other = counts(serve::Rows::ClickHouse(&clickhouse), day).unwrap();
        let only = |these: &[String], those: &[String]| -> Vec<String> {
            let those: BTreeSet<&String> = those.iter().collect();
            these.iter().filter(|line| !those.contains(line)).take(10).cloned().collect()
        };
        let (less, more) = (only(&one, &other), only(&other, &one));
        assert!(less.is_empty() && more.is_empty(), "day {day}: {less:#?} or {more:#?}");
        compared += one.len();
    }
    assert!(compared > 500, "{compared}");
    eprintln!("{records} records, {compared} groups of engines on {days} days are the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_databases_answer_alike_on_the_same_records() {
    compare(Plan { begin: BEGIN * DAY, days: 3, starts: 120, flood: 0 }, 10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes minutes: cargo xtask e2e --clickhouse-million"]
async fn both_databases_answer_alike_on_a_million_records() {
    compare(Plan { begin: BEGIN * DAY, days: 7, starts: 5_000, flood: 0 }, 1_000_000).await;
}
