//! A server with ClickHouse publishes what a server with a file publishes. ClickHouse's own engine (chDB) plays
//! ClickHouse, and the HTTP before it is ours.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use otel_usage_serve::clickhouse::Keeper;
use otel_usage_serve::questions::Rules;
use otel_usage_serve::store::Days;

use crate::clickhouse::{Server, ask, tables};
use crate::running::{NOW, Place, Running, rows, settings};

const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;
const REPORT: &str = include_str!("../../../tests/golden/vllm-current.json");
/// Networks are not compared: of some by chance two have the same hash under one of the keys.
const CUBES: &str =
    "SELECT question, day, contract, cell, engines, amount, published, revision FROM cube";

/// A message of vLLM, and the client that the proxy names.
struct Sent {
    client: String,
    body: String,
    time: i64,
}

/// Returns the messages of engines of some networks that live for eight slots from `begin`, and say what they are.
fn engines(numbers: std::ops::Range<u128>, begin: i64) -> Vec<Sent> {
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
struct Publisher {
    place: Place,
    server: Running,
}

impl Publisher {
    async fn start(keeper: Option<Keeper>) -> Self {
        let place = Place::new();
        let mut settings = settings(&place.data());
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        settings.rate = 0;
        settings.clickhouse = keeper;
        Self { server: Running::start(settings).await, place }
    }

    /// Posts everything, each message late by `late`.
    async fn post(&self, sent: &[Sent], late: i64) {
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
    async fn close(&self, now: i64) {
        let waiting = "SELECT count(*) FROM sqlite_schema WHERE name = 'spool'";
        if rows(&self.place.read(), waiting) == ["1"] {
            let waits = async {
                while rows(&self.place.read(), "SELECT count(*) FROM spool") != ["0"] {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(120), waits).await.unwrap();
        }
        self.server.now.store(now, Ordering::SeqCst);
        self.server.store.maintain(Days::default(), Rules::default()).await;
    }

    fn cubes(&self) -> BTreeSet<String> {
        rows(&self.place.read(), CUBES).into_iter().collect()
    }

    async fn get(&self, url: &str) -> String {
        self.server.client.get(url).send().await.unwrap().text().await.unwrap()
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
