//! A server that keeps its messages in ClickHouse, while that is away, full or picky. A stand-in plays ClickHouse.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use otel_usage_serve::Settings;
use otel_usage_serve::clickhouse::{Keeper, copy};
use otel_usage_serve::store::save;
use otel_usage_testing::clickhouse::ClickHouse;
use rusqlite::Connection;

use crate::running::{NOW, Place, Running, rows, settings};

pub(crate) const BEATS: &str = "usage_vllm_current_heartbeat";
/// Time limit of what a slow machine does at last.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn with(place: &Place, clickhouse: &ClickHouse) -> Settings {
    let mut settings = settings(&place.data());
    settings.rate = 0;
    let table = "CREATE TABLE IF NOT EXISTS one (a Int64) ENGINE = Memory".to_owned();
    settings.clickhouse = Some(Keeper::new(clickhouse.url(), vec![table]));
    settings
}

pub(crate) fn id(number: u128) -> String {
    crate::running::id(number).to_string()
}

fn beat(number: u128) -> String {
    format!("{{\"uuid\": \"{}\", \"log_time\": {NOW}000000}}", id(number))
}

pub(crate) async fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what} does not happen");
}

/// Posts the beats of these sessions, and returns the answers.
pub(crate) async fn post(server: &Running, sessions: impl Iterator<Item = u128>) -> BTreeSet<u16> {
    join_all(sessions.map(|n| server.post("/", beat(n)))).await.into_iter().collect()
}

pub(crate) fn all(sessions: impl Iterator<Item = u128>) -> BTreeSet<String> {
    sessions.map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_while_clickhouse_is_away_and_arrive_once() {
    let (place, mut clickhouse) = (Place::new(), ClickHouse::away());
    let server = Running::start(with(&place, &clickhouse)).await;
    for hundred in 0..5 {
        let sent = post(&server, hundred * 100..(hundred + 1) * 100).await;
        assert_eq!(sent, [200].into());
    }
    let metrics = server.client.get(format!("{}/metrics", server.maintainers));
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("\notel_usage_serve_spool_messages 500\n"), "{metrics}");
    clickhouse.come();
    wait("the delivery", || clickhouse.rows(BEATS).len() >= 500).await;
    // It has too much to do, then it goes away, and it comes back with its rows.
    clickhouse.be_busy(true);
    assert_eq!(post(&server, 500..600).await, [200].into());
    wait("a refusal", || clickhouse.refused() >= 2).await;
    clickhouse.go();
    clickhouse.be_busy(false);
    clickhouse.come();
    wait("the delivery", || clickhouse.rows(BEATS).len() >= 600).await;
    server.stop().await;
    let arrived = clickhouse.values(BEATS, "uuid");
    assert_eq!((arrived.len(), arrived.into_iter().collect()), (600, all(0..600)));
    // One origin for each session, which has no address, and the tables were made first.
    assert_eq!(clickhouse.rows("usage_origin").len(), 600);
    assert!(clickhouse.rows("usage_origin").iter().all(|row| row["origin"].is_u64()));
    let (inserts, made) = clickhouse.seen();
    assert!(inserts <= 40, "{inserts}");
    assert!(made.len() >= 4 && made[0].contains("CREATE TABLE IF NOT EXISTS one"), "{made:?}");
    let file = place.read();
    assert_eq!(rows(&file, "SELECT count(*) FROM spool"), ["0"]);
    assert_eq!(rows(&file, "SELECT count(*) FROM batch"), ["0"]);
    let received = "SELECT sum(count) FROM quality WHERE name = 'received'";
    assert_eq!(rows(&file, received), ["600"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_at_the_end_is_delivered_after_the_next_start() {
    let (place, mut clickhouse) = (Place::new(), ClickHouse::away());
    let server = Running::start(with(&place, &clickhouse)).await;
    assert_eq!(post(&server, 0..50).await, [200].into());
    server.stop().await;
    clickhouse.come();
    let server = Running::start(with(&place, &clickhouse)).await;
    wait("the delivery", || clickhouse.rows(BEATS).len() >= 50).await;
    server.stop().await;
    assert_eq!(clickhouse.values(BEATS, "uuid").into_iter().collect::<BTreeSet<_>>(), all(0..50));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_saved_keeps_what_waits_for_clickhouse() {
    let (place, clickhouse) = (Place::new(), ClickHouse::away());
    let server = Running::start(with(&place, &clickhouse)).await;
    assert_eq!(post(&server, 0..50).await, [200].into());
    server.stop().await;
    let waits = || {
        let sums = "SELECT sum(messages), max(id) FROM spool";
        // The last number too: a number that is used again names another insert.
        let last = "SELECT seq FROM sqlite_sequence WHERE name = 'spool'";
        (rows(&place.read(), sums), rows(&place.read(), last))
    };
    let before = waits();
    assert!(before.0[0].starts_with("50|"), "{before:?}");
    let (lost, _) = save(&place.data()).unwrap();
    assert_eq!((lost, waits()), (Vec::new(), before));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_messages_of_a_file_from_a_backup_are_no_repetition() {
    let (place, mut clickhouse) = (Place::new(), ClickHouse::away());
    clickhouse.come();
    Running::start(with(&place, &clickhouse)).await.stop().await;
    let saved = std::fs::read(place.data()).unwrap();
    // Each message is the first of the file, and an insert of one row.
    for n in 1..4 {
        let server = Running::start(with(&place, &clickhouse)).await;
        assert_eq!(server.post("/", beat(n)).await, 200);
        let waits = "SELECT count(*) FROM spool";
        wait("the delivery", || rows(&place.read(), waits) == ["0"]).await;
        server.stop().await;
        std::fs::write(place.data(), &saved).unwrap();
    }
    assert_eq!(clickhouse.values(BEATS, "uuid").into_iter().collect::<BTreeSet<_>>(), all(1..4));
    assert_eq!(clickhouse.rows("usage_origin").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_asks_senders_to_wait_and_passes() {
    let (place, mut clickhouse) = (Place::new(), ClickHouse::away());
    let mut settings = with(&place, &clickhouse);
    if let Some(keeper) = &mut settings.clickhouse {
        keeper.spool_bytes = 20_000;
    }
    let server = Running::start(settings).await;
    let (mut answered, mut full) = (BTreeSet::new(), 0);
    // One after the other, so that each is a batch of its own.
    for n in 0..2_000 {
        match server.post("/", beat(n)).await {
            200 => answered.extend([id(n)]),
            503 => full += 1,
            other => panic!("{other}"),
        }
        if full == 3 {
            break;
        }
    }
    assert_eq!(full, 3, "{}", answered.len());
    let refused = server.client.post(&server.url).body(beat(9_999)).send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    clickhouse.come();
    wait("room", || clickhouse.rows(BEATS).len() >= answered.len()).await;
    let mut again = 0;
    while server.post("/", beat(10_000)).await != 200 {
        again += 1;
        assert!(again < 1_000, "no message is taken again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    answered.extend([id(10_000)]);
    wait("the last", || clickhouse.values(BEATS, "uuid").contains(&id(10_000))).await;
    server.stop().await;
    // Nothing that was answered is missing, and nothing that was refused is there.
    assert_eq!(clickhouse.values(BEATS, "uuid").into_iter().collect::<BTreeSet<_>>(), answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_clickhouse_refuses_is_put_aside_and_holds_up_nothing() {
    let (place, mut clickhouse) = (Place::new(), ClickHouse::away());
    let server = Running::start(with(&place, &clickhouse)).await;
    clickhouse.refuse(Some("-000000000011\", \"log_time\""));
    assert_eq!(post(&server, 0..40).await, [200].into());
    clickhouse.come();
    wait("the delivery", || clickhouse.rows(BEATS).len() >= 39).await;
    assert_eq!(post(&server, 40..50).await, [200].into());
    wait("the next delivery", || clickhouse.rows(BEATS).len() >= 49).await;
    server.stop().await;
    let expected: BTreeSet<String> = all((0..50).filter(|n| *n != 0x11));
    assert_eq!(clickhouse.values(BEATS, "uuid").into_iter().collect::<BTreeSet<_>>(), expected);
    let file = Connection::open(place.data()).unwrap();
    let aside = rows(&file, "SELECT name, why, row FROM aside");
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert!(aside[0].contains(BEATS) && aside[0].contains("Cannot parse input"), "{aside:?}");
    assert!(aside[0].contains(&id(0x11)), "{aside:?}");
    let refused = "SELECT label, count FROM quality WHERE name = 'refused'";
    assert_eq!(rows(&file, refused), ["clickhouse|1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_clickhouse_that_is_none_is_refused_without_its_password() {
    let place = Place::new();
    for address in ["clickhouse", "tcp://usage:secret@127.0.0.1:9000/usage", "http://h/a/b"] {
        let mut settings = settings(&place.data());
        settings.clickhouse = Some(Keeper::new(address, Vec::new()));
        let now = std::sync::Arc::default();
        let bound = otel_usage_serve::Server::bind(&settings, crate::running::clock(&now)).await;
        let error = format!("{:#}", bound.unwrap_err());
        assert!(error.contains("the address of ClickHouse"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_copied_once_and_its_server_goes_on() {
    let (place, mut clickhouse) = (Place::new(), ClickHouse::away());
    let mut behind = settings(&place.data());
    behind.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server = Running::start(behind).await;
    assert_eq!(post(&server, 0..30).await, [200].into());
    // Starts that name no engine, of two networks.
    let start = r#"{"message_type": "EnvMessage", "provider": "GCP", "num_cpu": 4}"#;
    for client in ["198.51.1.1", "198.51.2.1", "198.51.1.1"] {
        assert_eq!(server.post_for("/context", start, Some(client)).await, 200);
    }
    server.stop().await;
    let keeper = with(&place, &clickhouse).clickhouse.unwrap();
    let copied = async || copy(&place.data(), &[], &keeper, NOW, &mut |_| {}).await;
    let error = copied().await.unwrap_err().to_string();
    assert!(error.contains("takes nothing") && !error.contains("secret"), "{error}");
    clickhouse.come();
    for _ in 0..2 {
        let copied = copied().await.unwrap();
        assert_eq!((copied.messages, copied.refused), (33, 0));
    }
    let server = Running::start(with(&place, &clickhouse)).await;
    assert_eq!(post(&server, 30..40).await, [200].into());
    wait("the delivery", || clickhouse.rows(BEATS).len() >= 40).await;
    server.stop().await;
    let arrived = clickhouse.values(BEATS, "uuid");
    assert_eq!((arrived.len(), arrived.into_iter().collect()), (40, all(0..40)));
    let origins = clickhouse.values("usage_origin", "session");
    assert_eq!((origins.len(), origins.into_iter().collect()), (40, all(0..40)));
    let starts = clickhouse.rows("usage_start");
    let mut counts: Vec<_> = starts.iter().map(|row| row["count"].as_i64()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [Some(1), Some(2)]);
    assert!(
        starts.iter().all(|row| row["engine"] == "lmcache" && row["contract"] == "lmcache/doc")
    );
    // The networks are in one place only, where the close erases them.
    for table in ["origin", "start"] {
        assert_eq!(rows(&place.read(), &format!("SELECT count(*) FROM {table}")), ["0"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_receives_shows_no_page() {
    let (place, mut clickhouse) = (Place::new(), ClickHouse::away());
    clickhouse.come();
    let mut settings = with(&place, &clickhouse);
    if let Some(keeper) = &mut settings.clickhouse {
        keeper.receive_only = true;
    }
    let server = Running::start(settings).await;
    let page = server.client.get(&server.url).send().await.unwrap();
    assert!(page.status().is_client_error(), "{}", page.status());
    assert_eq!(post(&server, 0..5).await, [200].into());
    wait("the delivery", || clickhouse.rows(BEATS).len() >= 5).await;
    server.stop().await;
}
