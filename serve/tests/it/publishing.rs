//! A server with ClickHouse publishes what a server with a file publishes. ClickHouse's own engine (chDB) plays
//! ClickHouse, and the HTTP before it is ours.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use otel_usage_schema::{Contract, Field, Literal, MessageSpec, Trigger, Type, resource};
use otel_usage_serve::clickhouse::Keeper;
use otel_usage_serve::questions::Rules;
use otel_usage_serve::store::Days;
use serde_json::json;

use crate::clickhouse::{Server, ask, tables};
use crate::closing::{PATIENCE, hold};
use crate::lost_file::python;
use crate::running::{NOW, Place, Running, rows, settings};

pub(crate) const DAY: i64 = 86_400_000;
pub(crate) const HOUR: i64 = 3_600_000;
const REPORT: &str = include_str!("../../../tests/golden/vllm-current.json");
/// Networks are not compared: of some by chance two have the same hash under one of the keys.
const CUBES: &str =
    "SELECT question, day, contract, cell, engines, amount, published, revision FROM cube";

/// A message of vLLM, and the client that the proxy names.
pub(crate) struct Sent {
    pub(crate) client: String,
    pub(crate) body: String,
    pub(crate) time: i64,
}

/// Returns the messages of engines of some networks that live for eight slots from `begin`, and say what they are.
pub(crate) fn engines(numbers: std::ops::Range<u128>, begin: i64) -> Vec<Sent> {
    let mut sent = Vec::new();
    for number in numbers {
        let (id, client) = (uuid::Uuid::from_u128(number), format!("192.0.{}.7", number % 45));
        let mut report: serde_json::Value = serde_json::from_str(REPORT).unwrap();
        report["uuid"] = id.to_string().into();
        report["log_time"] = (begin * 1_000_000).into();
        report["dtype"] =
            if number / 2 % 2 == 0 { "torch.float16" } else { "torch.bfloat16" }.into();
        sent.push(Sent { client: client.clone(), body: report.to_string(), time: begin });
        for slot in 0..8 {
            let time = begin + slot * 600_000;
            let body = format!("{{\"uuid\": \"{id}\", \"log_time\": {time}000000}}");
            sent.push(Sent { client: client.clone(), body, time });
        }
    }
    sent.sort_by_key(|sent| sent.time);
    sent
}

/// A server with the place of its file.
pub(crate) struct Publisher {
    pub(crate) place: Place,
    pub(crate) server: Running,
}

impl Publisher {
    pub(crate) async fn start(keeper: Option<Keeper>) -> Self {
        Self::start_with(Place::new(), keeper, Vec::new()).await
    }

    pub(crate) async fn start_with(
        place: Place,
        keeper: Option<Keeper>,
        contracts: Vec<Contract>,
    ) -> Self {
        let mut settings = settings(&place.data());
        settings.contracts = contracts;
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        settings.rate = 0;
        settings.clickhouse = keeper;
        Self { server: Running::start(settings).await, place }
    }

    /// Posts everything, each message late by `late`.
    pub(crate) async fn post(&self, sent: &[Sent], late: i64) {
        for sent in sent.chunk_by(|one, next| one.time == next.time) {
            self.server.now.store(sent[0].time + late, Ordering::SeqCst);
            let post = |sent: &Sent| {
                let (body, client) = (sent.body.clone(), sent.client.clone());
                async move { self.server.post_for("/", body, Some(&client)).await }
            };
            let answers = join_all(sent.iter().map(post)).await;
            assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
        }
    }

    /// Waits until ClickHouse has everything, and closes days at `now`.
    pub(crate) async fn close(&self, now: i64) {
        self.delivered().await;
        self.server.now.store(now, Ordering::SeqCst);
        self.server.store.maintain(Days::default(), Rules::default()).await;
    }

    /// Waits until ClickHouse has everything.
    pub(crate) async fn delivered(&self) {
        let ready = async {
            while !self.server.store.is_ready() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), ready).await.unwrap();
        let waiting = "SELECT count(*) FROM sqlite_schema WHERE name = 'spool'";
        if rows(&self.place.read(), waiting) == ["1"] {
            let waits = async {
                while rows(&self.place.read(), "SELECT count(*) FROM spool") != ["0"] {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(120), waits).await.unwrap();
        }
    }

    pub(crate) fn cubes(&self) -> BTreeSet<String> {
        rows(&self.place.read(), CUBES).into_iter().collect()
    }

    pub(crate) async fn get(&self, url: &str) -> String {
        self.server.client.get(url).send().await.unwrap().text().await.unwrap()
    }
}

/// Returns ClickHouse's engine, and where it is. `None` if this machine has none.
pub(crate) fn chdb(folder: &Path) -> Option<(Server, Keeper)> {
    let chdb = Server::start(&python()?, &folder.join("clickhouse"));
    let keeper = Keeper::new(format!("http://{}", chdb.1), tables());
    Some((chdb, keeper))
}

/// Returns the only number of an answer.
pub(crate) fn number(at: SocketAddr, question: &str) -> i64 {
    ask(at, &format!("{question} FORMAT TabSeparated")).unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_answered_while_clickhouse_counts_a_day_and_what_is_late_then_is_a_correction()
{
    let folder = tempfile::tempdir().unwrap();
    let Some((chdb, keeper)) = chdb(folder.path()) else { return };
    // No other test holds this day.
    let day = NOW / DAY + 40;
    let begin = day * DAY + 3 * HOUR;
    let publisher = Publisher::start(Some(keeper)).await;
    publisher.post(&engines(1..31, begin), 1_000).await;
    publisher.delivered().await;
    publisher.server.now.store((day + 3) * DAY + 1, Ordering::SeqCst);
    let (told, go) = hold(day);
    let store = Arc::clone(&publisher.server.store);
    let maintaining =
        tokio::spawn(async move { store.maintain(Days::default(), Rules::default()).await });
    tokio::task::spawn_blocking(move || told.recv_timeout(PATIENCE)).await.unwrap().unwrap();
    // The day is counted and not written. Thirty engines are late, and one that was counted says something more.
    publisher.post(&engines(100..130, begin), 3 * DAY).await;
    publisher.post(&engines(1..2, begin + HOUR), 3 * DAY).await;
    publisher.delivered().await;
    assert_eq!(number(chdb.1, "SELECT uniqExact(session) FROM usage_origin"), 60);
    go.send(()).unwrap();
    maintaining.await.unwrap();
    publisher.close((day + 3) * DAY + HOUR).await;
    let total = format!(
        "SELECT CAST(sum(amount) AS INTEGER), max(revision) FROM cube
        WHERE question = 'versions/engines' AND day = {day} AND published"
    );
    assert_eq!(rows(&publisher.place.read(), &total), ["60|1"]);
    assert_eq!(number(chdb.1, "SELECT count() FROM usage_origin"), 0);
    publisher.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_of_an_own_engine_is_counted_and_forgotten_in_clickhouse_too() {
    let folder = tempfile::tempdir().unwrap();
    let Some((chdb, mut keeper)) = chdb(folder.path()) else { return };
    // One more kind of start of vLLM's, and an engine that no question knows.
    let contract = |id: &'static str, system: &'static str, key: &'static str| {
        let header = resource::FIELDS;
        let mut report = MessageSpec::new("own", key, Trigger::Record).with_header(header);
        let layers = Field::record(key, Type::Int, key, "Layers.");
        report.fields.to_mut().push(layers.example(Literal::Int(32)));
        Contract::new(id, system).with_message(report)
    };
    let contracts =
        vec![contract("vllm/own's", "vllm", "layers"), contract("mine/1", "mine", "depth")];
    for (table, key) in [("usage_vllm_own_s_own", "layers"), ("usage_mine_1_own", "depth")] {
        keeper.tables.push(format!(
            "CREATE TABLE IF NOT EXISTS {table} (instance_id String, time_unix_nano Int64, {key} Int64, received DateTime64(3)) \
             ENGINE = ReplacingMergeTree ORDER BY instance_id"
        ));
    }
    let day = NOW / DAY;
    let begin = day * DAY + 3 * HOUR;
    let file = Publisher::start_with(Place::new(), None, contracts.clone()).await;
    let other = Publisher::start_with(Place::new(), Some(keeper), contracts).await;
    let mut sent = Vec::new();
    for message in engines(1..61, begin) {
        let id: serde_json::Value = serde_json::from_str(&message.body).unwrap();
        if id["provider"].is_null() {
            sent.push(message);
            continue;
        }
        for key in ["layers", "depth"] {
            let (client, time) = (message.client.clone(), message.time);
            let body = json!({
                "instance_id": id["uuid"], "time_unix_nano": time * 1_000_000, "service_version": "1.0.0",
                "cloud_provider": "aws", "cpu_count": 192, "host_cpu_model_name": "Xeon", "memory_total": 1,
                "machine": "x86_64", "platform": "Linux", "accelerator_count": 8, "accelerator_name": "H100",
                "accelerator_memory": 1, key: 32,
            });
            sent.push(Sent { client, body: body.to_string(), time });
        }
    }
    for publisher in [&file, &other] {
        publisher.post(&sent, 1_000).await;
        publisher.close((day + 3) * DAY + HOUR).await;
    }
    let cubes = file.cubes();
    assert!(cubes.iter().any(|row| row.contains("vllm/own's")), "{cubes:#?}");
    assert_eq!(other.cubes(), cubes);
    let id = uuid::Uuid::from_u128(5).to_string();
    let forget = other.server.client.post(format!("{}/forget", other.server.maintainers));
    let answer = forget.body(id.clone()).send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, "deleted 1 sessions and 10 messages\n");
    for table in ["usage_vllm_own_s_own", "usage_mine_1_own"] {
        let left = format!("SELECT count() FROM {table}");
        assert_eq!(number(chdb.1, &left), 59, "{table}");
    }
    for publisher in [file, other] {
        publisher.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_receives_closes_no_day() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_chdb, mut keeper)) = chdb(folder.path()) else { return };
    let (day, mut closed) = (NOW / DAY, Vec::new());
    for receive_only in [true, false] {
        keeper.receive_only = receive_only;
        let publisher = Publisher::start(Some(keeper.clone())).await;
        publisher.post(&engines(1..31, day * DAY), 1_000).await;
        publisher.close((day + 3) * DAY + HOUR).await;
        closed.push(!publisher.cubes().is_empty());
        publisher.server.stop().await;
    }
    assert_eq!(closed, [false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_quality_adds_up_all_servers_with_the_same_clickhouse() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_chdb, keeper)) = chdb(folder.path()) else { return };
    let first = Publisher::start(Some(keeper.clone())).await;
    let mut only = keeper;
    only.receive_only = true;
    let second = Publisher::start(Some(only)).await;
    first.post(&engines(1..11, NOW), 1_000).await;
    second.post(&engines(11..41, NOW), 1_000).await;
    // The first does not know yet what the second is about to tell.
    for publisher in [&first, &second, &first] {
        publisher.close(NOW + 2 * HOUR).await;
    }
    for publisher in [&first, &second] {
        let page = publisher.get(&format!("{}/quality", publisher.server.maintainers)).await;
        // Nine messages of each engine.
        assert!(page.contains("Sums over 2 servers") && page.contains("<td>360</td>"), "{page}");
    }
    for publisher in [first, second] {
        publisher.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_clickhouse_publishes_what_a_server_with_a_file_publishes() {
    let Ok(python) = std::env::var("OTEL_USAGE_E2E_PYTHON") else {
        eprintln!("not tested: ClickHouse; run `cargo xtask e2e --all`");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let chdb = Server::start(&python, &folder.path().join("clickhouse"));
    let at = chdb.1;
    let keeper = Keeper::new(format!("http://{at}"), tables());
    let day = NOW / DAY;
    let begin = day * DAY + 3 * HOUR;
    let file = Publisher::start(None).await;
    let other = Publisher::start(Some(keeper.clone())).await;
    // A start without identity is counted too.
    let old = r#"{"message_type": "EnvMessage", "provider": "GCP", "num_cpu": 4}"#;
    for publisher in [&file, &other] {
        publisher.post(&engines(1..91, begin), 1_000).await;
        for client in 0..3 {
            let client = format!("198.51.{client}.1");
            publisher.server.post_for("/context", old, Some(&client)).await;
        }
        publisher.close((day + 3) * DAY + HOUR).await;
    }
    let cubes = file.cubes();
    assert!(cubes.iter().filter(|row| row.ends_with("|1|0")).count() > 5, "{cubes:#?}");
    assert_eq!(other.cubes(), cubes);
    // No network of the closed day is left.
    let left = "SELECT count() FROM usage_origin FORMAT JSONCompactEachRow";
    assert_eq!(ask(at, left).unwrap().trim().trim_matches(['[', ']', '"']), "0");
    let page = other.get(&format!("{}/figures/vllm-dtype.json", other.server.url)).await;
    assert!(page.contains("bfloat16"), "{page}");
    let live = other.get(&format!("{}/figures/vllm-dtype.json", other.server.maintainers)).await;
    assert!(live.contains("bfloat16"), "{live}");

    // Late engines, and late messages of engines that are counted, which change nothing.
    let late = engines(80..115, begin + 10 * HOUR);
    for publisher in [&file, &other] {
        publisher.post(&late, 4 * DAY).await;
        publisher.close((day + 4) * DAY + 20 * HOUR).await;
    }
    let corrected = file.cubes();
    assert_ne!(corrected, cubes);
    assert_eq!(other.cubes(), corrected);
    assert_eq!(rows(&other.place.read(), "SELECT count(*) FROM revision"), ["1"]);

    // Another server that closes days is told so, and none of its days is closed.
    let second = Publisher::start(Some(keeper)).await;
    second.close((day + 4) * DAY + 20 * HOUR).await;
    assert!(second.cubes().is_empty());

    // A forgotten engine is gone from ClickHouse.
    let id = uuid::Uuid::from_u128(5).to_string();
    let forget = other.server.client.post(format!("{}/forget", other.server.maintainers));
    let answer = forget.body(id.clone()).send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, "deleted 1 sessions and 9 messages\n");
    let found = format!(
        "SELECT count() FROM usage_vllm_current_heartbeat WHERE uuid = '{id}' FORMAT JSONCompactEachRow"
    );
    assert_eq!(ask(at, &found).unwrap().trim().trim_matches(['[', ']', '"']), "0");
    for publisher in [file, other, second] {
        publisher.server.stop().await;
    }
}
