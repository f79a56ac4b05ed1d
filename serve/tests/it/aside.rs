//! Rows that ClickHouse refused, and what a maintainer does with them. A stand-in plays ClickHouse.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use otel_usage_serve::clickhouse::Keeper;
use otel_usage_serve::questions::Rules;
use otel_usage_serve::store::Days;
use otel_usage_testing::clickhouse::ClickHouse;
use tokio::sync::Notify;

use crate::running::{DAY, NOW, Place, Running, rows};
use crate::spool::{BEATS, all, id, post, wait, with};

/// A row of the sessions that are refused.
const BAD: &str = "-0000000000ff\", \"log_time\"";

async fn get(server: &Running, path: &str) -> String {
    let got = server.client.get(format!("{}{path}", server.maintainers)).send().await.unwrap();
    got.text().await.unwrap()
}

async fn change(server: &Running, path: &str) -> String {
    let sent = server.client.post(format!("{}{path}", server.maintainers)).send().await.unwrap();
    sent.text().await.unwrap()
}

/// Returns a server of whose forty messages ClickHouse has refused one.
async fn refused(place: &Place, clickhouse: &mut ClickHouse) -> Running {
    clickhouse.refuse(Some(BAD));
    clickhouse.come();
    let server = Running::start(with(place, clickhouse)).await;
    assert_eq!(post(&server, 0xe0..0x108).await, [200].into());
    wait("the delivery", || clickhouse.rows(BEATS).len() >= 39).await;
    wait("the row", || rows(&place.read(), "SELECT count(*) FROM aside") == ["1"]).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_clickhouse_refused_are_shown_and_sent_again() {
    let (place, mut clickhouse) = (Place::new(), ClickHouse::away());
    let server = refused(&place, &mut clickhouse).await;
    let listed: serde_json::Value = serde_json::from_str(&get(&server, "/aside").await).unwrap();
    assert_eq!(listed["table"], BEATS);
    assert!(listed["row"].as_str().unwrap().contains(&id(0xff)), "{listed}");
    let metrics = get(&server, "/metrics").await;
    assert!(metrics.contains("\notel_usage_serve_aside_rows 1\n"), "{metrics}");
    assert!(!metrics.contains("\notel_usage_serve_aside_bytes 0\n"), "{metrics}");
    let quality = get(&server, "/quality").await;
    assert!(quality.contains(&format!("1 of {BEATS}: HTTP 400")), "{quality}");
    // It is refused again, and stays.
    assert_eq!(change(&server, "/aside/again").await, "ClickHouse has 0 rows now, and refuses 1\n");
    clickhouse.refuse(None);
    assert_eq!(change(&server, "/aside/again").await, "ClickHouse has 1 rows now, and refuses 0\n");
    assert_eq!(
        clickhouse.values(BEATS, "uuid").into_iter().collect::<BTreeSet<_>>(),
        all(0xe0..0x108)
    );
    assert_eq!(get(&server, "/aside").await, "");
    assert!(get(&server, "/metrics").await.contains("\notel_usage_serve_aside_bytes 0\n"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_sent_again_are_no_repetition_of_others() {
    let mut clickhouse = ClickHouse::away();
    clickhouse.come();
    // Each row is the only one that is aside in its file. Two files have the same numbers.
    for sessions in [[1_u128, 2], [3, 4]] {
        let place = Place::new();
        let server = Running::start(with(&place, &clickhouse)).await;
        for n in sessions {
            clickhouse.refuse(Some("\"log_time\""));
            assert_eq!(post(&server, [n].into_iter()).await, [200].into());
            wait("the row", || rows(&place.read(), "SELECT count(*) FROM aside") == ["1"]).await;
            clickhouse.refuse(None);
            let sent = change(&server, "/aside/again").await;
            assert_eq!(sent, "ClickHouse has 1 rows now, and refuses 0\n");
        }
        server.stop().await;
    }
    assert_eq!(
        clickhouse.values(BEATS, "uuid").into_iter().collect::<BTreeSet<_>>(),
        all([1, 2, 3, 4].into_iter())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_clickhouse_refused_are_thrown_away_by_a_maintainer_or_when_they_are_old() {
    let (place, mut clickhouse) = (Place::new(), ClickHouse::away());
    let server = refused(&place, &mut clickhouse).await;
    let discard = server.client.post(format!("{}/aside/discard", server.maintainers));
    let page = discard.header("origin", "http://elsewhere").send().await.unwrap();
    assert_eq!(page.status(), 403);
    assert_eq!(change(&server, "/aside/discard").await, "1 rows are thrown away\n");
    assert_eq!(get(&server, "/aside").await, "");
    // They go with the messages of their day.
    assert_eq!(post(&server, [0xff].into_iter()).await, [200].into());
    wait("the row", || rows(&place.read(), "SELECT count(*) FROM aside") == ["1"]).await;
    for (days, left) in [(90, "1"), (91, "0")] {
        server.now.store(NOW + days * DAY, std::sync::atomic::Ordering::SeqCst);
        server.store.maintain(Days::default(), Rules::default()).await;
        assert_eq!(rows(&place.read(), "SELECT count(*) FROM aside"), [left], "{days}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_clickhouse_refused_do_not_fill_the_disk() {
    let (place, mut clickhouse) = (Place::new(), ClickHouse::away());
    let server = refused(&place, &mut clickhouse).await;
    // Nearly as much as there is room for.
    let filled = "INSERT INTO aside (day, name, why, row) VALUES (?1, 'a', 'b', printf('%.*c', 16777216 - 200, 'x'))";
    server
        .store
        .run(move |core| core.connection().execute(filled, [NOW / DAY]).unwrap())
        .await
        .unwrap();
    // It is in the rows of messages, and in those of networks.
    clickhouse.refuse(Some("-0000000001"));
    assert_eq!(post(&server, 0x100..0x110).await, [200].into());
    let counted = "SELECT count FROM quality WHERE name = 'refused' AND label = 'clickhouse'";
    wait("the rows", || rows(&place.read(), counted) == ["33"]).await;
    let bytes =
        rows(&place.read(), "SELECT sum(length(row)) <= 16777216, count(*) < 34 FROM aside");
    assert_eq!(bytes, ["1|1"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_clickhouse_refuses_while_its_identity_is_deleted_does_not_come_back() {
    let (place, mut clickhouse) = (Place::new(), ClickHouse::away());
    clickhouse.refuse(Some(BAD));
    let server = Running::start(with(&place, &clickhouse)).await;
    assert_eq!(post(&server, 0xfe..0x101).await, [200].into());
    // The row is refused after the deletion has begun.
    let forget = server.client.post(format!("{}/forget", server.maintainers)).body(id(0xff));
    let forgetting = tokio::spawn(async move { forget.send().await.unwrap().text().await });
    wait("the deletion", || rows(&place.read(), "SELECT count(*) FROM tombstone") == ["1"]).await;
    clickhouse.come();
    let waits = "SELECT count(*) FROM spool";
    wait("the delivery", || rows(&place.read(), waits) == ["0"]).await;
    let told = forgetting.await.unwrap().unwrap();
    assert!(told.starts_with("deleted 0 sessions and "), "{told}");
    assert_eq!(get(&server, "/aside").await, "");
    clickhouse.refuse(None);
    assert_eq!(change(&server, "/aside/again").await, "ClickHouse has 0 rows now, and refuses 0\n");
    assert_eq!(
        clickhouse.values(BEATS, "uuid").into_iter().collect::<BTreeSet<_>>(),
        all([0xfe, 0x100].into_iter())
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_put_aside_of_an_identity_that_was_deleted_is_not_sent_again() {
    let (place, mut clickhouse) = (Place::new(), ClickHouse::away());
    let server = refused(&place, &mut clickhouse).await;
    let forget = server.client.post(format!("{}/forget", server.maintainers)).body(id(0xff));
    assert_eq!(
        forget.send().await.unwrap().text().await.unwrap(),
        "deleted 0 sessions and 1 messages\n"
    );
    // As an interrupted deletion leaves it, in another form.
    let row = format!("{{\"uuid\": \"{{{}}}\"}}", id(0xff).to_uppercase());
    let insert = "INSERT INTO aside (day, name, why, row) VALUES (?3, ?1, 'b', ?2)";
    let put = move |core: &mut otel_usage_serve::store::Core| {
        core.connection().execute(insert, (BEATS, row, NOW / DAY)).unwrap()
    };
    assert_eq!(server.store.run(put).await, Some(1));
    clickhouse.refuse(None);
    assert_eq!(change(&server, "/aside/again").await, "ClickHouse has 0 rows now, and refuses 0\n");
    assert_eq!(get(&server, "/aside").await, "");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_waits_for_rows_that_are_sent_again() {
    // A ClickHouse that takes its time for an insert.
    let (seen, go) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
    let (noting, going) = (Arc::clone(&seen), Arc::clone(&go));
    let answer = move |sql: String| {
        let (seen, go) = (Arc::clone(&noting), Arc::clone(&going));
        async move {
            let note = |what| seen.lock().unwrap().push(what);
            if sql.starts_with(&format!("INSERT INTO {BEATS}")) {
                note("insert");
                go.notified().await;
                note("inserted");
            } else if sql.starts_with("SELECT uniqExact(id)") {
                note("deletion");
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, Router::new().fallback(answer)).await });
    let place = Place::new();
    let mut settings = crate::running::settings(&place.data());
    settings.clickhouse = Some(Keeper::new(url, Vec::new()));
    let server = Arc::new(Running::start(settings).await);
    let row = format!("{{\"uuid\": \"{}\"}}", id(1));
    let insert = "INSERT INTO aside (day, name, why, row) VALUES (?3, ?1, 'b', ?2)";
    let put = move |core: &mut otel_usage_serve::store::Core| {
        core.connection().execute(insert, (BEATS, row, NOW / DAY)).unwrap()
    };
    assert_eq!(server.store.run(put).await, Some(1));
    let sending = Arc::clone(&server);
    let sending = tokio::spawn(async move { change(&sending, "/aside/again").await });
    wait("the insert", || seen.lock().unwrap().len() == 1).await;
    let forget = server.client.post(format!("{}/forget", server.maintainers)).body(id(1));
    let forgetting = tokio::spawn(forget.send());
    wait("the deletion", || rows(&place.read(), "SELECT count(*) FROM tombstone") == ["1"]).await;
    // A deletion that does not wait would be there by now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    go.notify_one();
    sending.await.unwrap();
    assert_eq!(forgetting.await.unwrap().unwrap().status(), 200);
    assert_eq!(*seen.lock().unwrap(), ["insert", "inserted", "deletion"]);
    Arc::into_inner(server).unwrap().stop().await;
}
