//! `clickhouse.yaml`: records become rows of ClickHouse's own engine, also after it was away.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use otel_usage::schema::{lmcache, vllm};

use crate::otelcol::{Otelcol, find, free, root};
use crate::{client, peers, sample};

/// Long enough for a query on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// ClickHouse's engine behind HTTP, in a process, gone when dropped; its tables stay in `folder`.
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

/// The rows, once there are `count`.
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
    let row: serde_json::Value = serde_json::from_str(line).unwrap();
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
fn records_become_rows() {
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
