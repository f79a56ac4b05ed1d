//! `clickhouse.yaml`: records become rows of a real ClickHouse, also after an outage.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use otel_usage::Contract;
use otel_usage::schema::{lmcache, vllm};
use otel_usage_testing::sample;
use serde_json::Value;

use crate::otelcol::{Otelcol, find, free, root};
use crate::{client, peers};

/// Time limit of a query on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A ClickHouse process with an HTTP port. It ends when dropped, and its tables stay in `folder`.
struct Server(Child);

impl Server {
    fn start(python: &str, at: SocketAddr, folder: &Path) -> Self {
        let child = Command::new(python)
            .arg(root().join("tests/collector/clickhouse.py"))
            .arg(at.port().to_string())
            .arg(folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self(child);
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(at).is_err() {
            assert!(Instant::now() < until, "ClickHouse does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn query(at: SocketAddr, sql: &str) -> Option<String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let url = format!("http://{at}/?default_format=JSONEachRow");
    agent.post(&url).send(sql).ok()?.body_mut().read_to_string().ok()
}

/// The names of the attributes of each span.
type Names = BTreeMap<String, BTreeSet<String>>;

/// Returns the rows, once there are `count`.
fn rows(at: SocketAddr, count: usize) -> Names {
    let sql = "SELECT SpanId, mapKeys(ResourceAttributes) AS resource, mapKeys(SpanAttributes) AS span \
               FROM usage.otel_traces";
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = query(at, sql).unwrap_or_default();
        if answer.lines().count() >= count {
            return answer.lines().map(row).collect();
        }
        assert!(Instant::now() < until, "ClickHouse has {answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn row(line: &str) -> (String, BTreeSet<String>) {
    let row: Value = serde_json::from_str(line).unwrap();
    let names = ["resource", "span"].into_iter().flat_map(|kind| {
        let names = row[kind].as_array().unwrap().iter();
        names.map(move |name| format!("{kind} {}", name.as_str().unwrap()))
    });
    (row["SpanId"].as_str().unwrap().to_owned(), names.collect())
}

fn names(sent: &client::Records) -> Names {
    let name = |attribute: &String| attribute.split('=').next().unwrap().to_owned();
    sent.iter()
        .map(|(id, attributes)| (id.clone(), attributes.iter().map(name).collect()))
        .collect()
}

#[test]
fn clickhouse_stores_every_record_as_a_row() {
    let (Some(binary), Some(python)) = (find(), peers::python("ClickHouse")) else { return };
    let (at, tables) = (free(), tempfile::tempdir().unwrap());
    let server = Server::start(&python, at, tables.path());
    let otelcol = Otelcol::new(&binary, "clickhouse.yaml")
        .with("COLLECTOR_CLICKHOUSE", format!("http://{at}?compress=none"))
        .with("COLLECTOR_CLICKHOUSE_CREATE", "true")
        .started();
    let mut sent = client::sent(&client::run(&vllm::CURRENT, otelcol.http, sample::vllm_report()));
    assert_eq!(rows(at, sent.len()), names(&sent));

    drop(server);
    sent.extend(client::sent(&client::run(&lmcache::V1, otelcol.http, sample::lmcache_engine())));
    let _server = Server::start(&python, at, tables.path());
    assert_eq!(rows(at, sent.len()), names(&sent));
}

/// Returns the checked-in statements that `otel-usage schema --format clickhouse` writes.
fn statements(contract: &Contract) -> Vec<String> {
    let file = format!("otel-collector/clickhouse/{}.sql", contract.id.replace('/', "-"));
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    text.split(";\n").filter(|part| part.contains("CREATE")).map(str::to_owned).collect()
}

/// Returns the rows of a table or view as JSON, in the order of their text.
fn select(at: SocketAddr, from: &str) -> Vec<Value> {
    let sql = format!("SELECT * FROM {from} SETTINGS output_format_json_quote_64bit_integers=0");
    let answer = query(at, &sql).unwrap();
    let mut rows: Vec<Value> =
        answer.lines().map(|line| plain(serde_json::from_str(line).unwrap())).collect();
    rows.sort_by_key(Value::to_string);
    rows
}

/// Removes the columns that only the table has, and gives all whole numbers the same type.
fn plain(row: Value) -> Value {
    match row {
        Value::Object(row) => row
            .into_iter()
            .filter(|(key, _)| key != "received")
            .map(|(k, v)| (k, plain(v)))
            .collect(),
        Value::Number(number) => Value::from(number.as_f64().unwrap()),
        other => other,
    }
}

#[test]
fn the_generated_views_show_what_an_engine_posts() {
    let (Some(binary), Some(python)) = (find(), peers::python("ClickHouse")) else { return };
    let (at, tables) = (free(), tempfile::tempdir().unwrap());
    let _server = Server::start(&python, at, tables.path());
    let otelcol = Otelcol::new(&binary, "clickhouse.yaml")
        .with("COLLECTOR_CLICKHOUSE", format!("http://{at}?compress=none"))
        .with("COLLECTOR_CLICKHOUSE_CREATE", "true")
        .started();
    let runs = [
        (&vllm::CURRENT, client::run(&vllm::CURRENT, otelcol.http, sample::vllm_report())),
        (&vllm::V0_4_0, client::run(&vllm::V0_4_0, otelcol.http, sample::vllm_report())),
        (&lmcache::V1, client::run(&lmcache::V1, otelcol.http, sample::lmcache_engine())),
        (&lmcache::V1, client::run(&lmcache::V1, otelcol.http, sample::lmcache_mp_server())),
        (&lmcache::DOC, client::run(&lmcache::DOC, otelcol.http, sample::lmcache_engine())),
        (
            &lmcache::LEGACY,
            client::run(&lmcache::LEGACY, otelcol.http, sample::lmcache_legacy_engine()),
        ),
    ];
    rows(at, runs.iter().map(|(_, seen)| client::sent(seen).len()).sum());
    query(at, "USE usage").unwrap();
    for contract in Contract::built_in() {
        for statement in statements(contract) {
            assert!(query(at, &statement).is_some(), "{statement}");
        }
    }
    // The messages that would be posted, by table.
    let mut posted: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (contract, seen) in &runs {
        for message in seen.records().iter().filter_map(|record| record.message()) {
            let joined = format!("usage_{}_{}", contract.id, message.name());
            let table = joined.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
            let json = message.to_json();
            let table: String = table.collect();
            // A retry inserts a row a second time.
            for _ in 0..2 {
                query(at, &format!("INSERT INTO {table} FORMAT JSONEachRow {json}")).unwrap();
            }
            posted.entry(table).or_default().push(plain(serde_json::from_str(&json).unwrap()));
        }
    }
    assert!(posted.len() >= 13, "{:?}", posted.keys());
    for (table, mut messages) in posted {
        messages.sort_by_key(Value::to_string);
        assert_eq!(select(at, &format!("{table}_otel")), messages, "{table}_otel");
        let ddl = query(at, &format!("SHOW CREATE TABLE {table}")).unwrap();
        if ddl.contains("ReplacingMergeTree") {
            assert_eq!(select(at, &format!("{table} FINAL")), messages, "{table}");
        } else {
            assert_eq!(select(at, &table).len(), 2 * messages.len(), "{table}");
        }
    }
}
