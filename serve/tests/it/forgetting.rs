//! Deletion of an identity however it is written, of many sessions at once, and of old rows. ClickHouse's own engine
//! (chDB) plays ClickHouse where there is one.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use otel_usage_serve::clickhouse::TABLES;
use otel_usage_serve::store::{Core, Format, Rows, export};
use otel_usage_testing::clickhouse::ClickHouse;

use crate::clickhouse::{Server, ask, ask_at, tables};
use crate::lost_file::python;
use crate::publishing::{Publisher, chdb, number};
use crate::running::{NOW, Place, Running, rows};

const ID: &str = "b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10";
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
const BEATS: &str = "usage_vllm_current_heartbeat";

/// Returns ways to write an identity.
fn written(id: &str) -> [String; 6] {
    let upper = id.to_uppercase();
    [
        id.to_owned(),
        upper.clone(),
        id.replace('-', ""),
        format!("{{{upper}}}"),
        format!("urn:uuid:{id}"),
        format!(" {upper} "),
    ]
}

fn beat(id: &str, time: i64) -> String {
    format!("{{\"uuid\": \"{id}\", \"log_time\": {time}000000}}")
}

/// Posts a heartbeat of another slot in each form.
async fn post_all(server: &Running) {
    for (slot, id) in (0_i64..).zip(written(ID)) {
        assert_eq!(server.post("/", beat(&id, NOW - slot * 600_000)).await, 200);
    }
}

/// Deletes an identity at the maintainers' listener. Returns the status and the text.
async fn forget(server: &Running, id: &str) -> (u16, String) {
    let post = server.client.post(format!("{}/forget", server.maintainers));
    let answer = post.body(id.to_owned()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn exported(place: &Place) -> String {
    let mut exported = Vec::new();
    export(&place.data(), Rows::Messages, Format::Json, &mut exported).unwrap();
    String::from_utf8(exported).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_one_however_it_is_written_and_none_of_it_is_left() {
    for typed in written(ID) {
        let place = Place::new();
        let server = place.serve().await;
        post_all(&server).await;
        assert_eq!(forget(&server, NOBODY).await.0, 400);
        let done = (200, "deleted 1 sessions and 6 messages\n".to_owned());
        assert_eq!(forget(&server, &typed).await, done, "{typed}");
        // The engine goes on.
        post_all(&server).await;
        server.stop().await;
        assert_eq!(exported(&place), "", "{typed}");
        assert_eq!(rows(&place.read(), "SELECT count(*) FROM session"), ["0"]);
        assert_eq!(rows(&place.read(), "SELECT count(*) FROM tombstone"), ["1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_kept_in_one_form_and_a_line_with_another_is_found() {
    let place = Place::new();
    let server = place.serve().await;
    post_all(&server).await;
    let lmcache = include_str!("../../../tests/golden/lmcache-v1-env.json");
    let env: serde_json::Value = serde_json::from_str(lmcache).unwrap();
    let machine = env["machine_id"].as_str().unwrap();
    let upper = lmcache.replace(machine, &machine.to_uppercase());
    assert_eq!(server.post("/context", upper).await, 200);
    server.stop().await;
    let text = exported(&place);
    assert_eq!((text.matches(ID).count(), text.matches(machine).count()), (6, 1), "{text}");

    // As a contract that cleans no identity would keep it, and as JSON may also write it.
    let mut core = Core::open(&place.data(), &[], NOW).unwrap();
    let frames: Vec<(i64, Vec<u8>)> = {
        let connection = core.connection();
        let mut all = connection.prepare("SELECT id, lines FROM batch").unwrap();
        let all = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        all.map(Result::unwrap).collect()
    };
    for (id, frame) in frames {
        let lines = String::from_utf8(zstd::decode_all(&*frame).unwrap()).unwrap();
        let lines = lines.replace(ID, &format!("\\u007b{}}}", ID.to_uppercase()));
        let frame = zstd::encode_all(lines.as_bytes(), 3).unwrap();
        let update = "UPDATE batch SET lines = ?2 WHERE id = ?1";
        core.connection().execute(update, (id, frame)).unwrap();
    }
    assert_eq!(core.forget(ID).unwrap().messages, 6);
    drop(core);
    let left = exported(&place);
    assert!(left.contains(machine) && !left.to_lowercase().contains(ID), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_gets_an_identity_in_one_form() {
    let mut clickhouse = ClickHouse::away();
    clickhouse.come();
    let keeper = otel_usage_serve::clickhouse::Keeper::new(clickhouse.url(), tables());
    let publisher = Publisher::start(Some(keeper)).await;
    post_all(&publisher.server).await;
    publisher.delivered().await;
    assert_eq!(clickhouse.values(BEATS, "uuid"), [ID; 6]);
    publisher.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_in_clickhouse_finds_every_form_and_leaves_rows_of_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let Some((chdb, keeper)) = chdb(folder.path()) else { return };
    let publisher = Publisher::start(Some(keeper)).await;
    let server = &publisher.server;
    post_all(server).await;
    for (time, id) in (NOW - 3..).zip(["", "me", NOBODY]) {
        assert_eq!(server.post("/", beat(id, time)).await, 200);
    }
    publisher.delivered().await;
    assert_eq!(number(chdb.1, &format!("SELECT count() FROM {BEATS}")), 9);
    assert_eq!(number(chdb.1, "SELECT uniqExact(session) FROM usage_origin"), 1);
    assert_eq!(forget(server, NOBODY).await.0, 400);
    let done = (200, "deleted 1 sessions and 6 messages\n".to_owned());
    assert_eq!(forget(server, &written(ID)[3]).await, done);
    post_all(server).await;
    publisher.delivered().await;
    assert_eq!(number(chdb.1, &format!("SELECT count() FROM {BEATS}")), 3);
    assert_eq!(number(chdb.1, "SELECT count() FROM usage_origin"), 0);
    publisher.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_spool_keeps_no_message_in_clickhouse_from_being_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let Some((chdb, keeper)) = chdb(folder.path()) else { return };
    let publisher = Publisher::start(Some(keeper)).await;
    let server = &publisher.server;
    post_all(server).await;
    publisher.delivered().await;
    assert_eq!(number(chdb.1, &format!("SELECT count() FROM {BEATS}")), 6);
    let reader = publisher.place.read();
    reader.execute_batch("BEGIN; SELECT count(*) FROM meta").unwrap();
    let (status, said) = forget(server, ID).await;
    assert!(status == 503 && said.contains("the log beside the file"), "{status} {said}");
    assert_eq!(number(chdb.1, &format!("SELECT count() FROM {BEATS}")), 0);
    drop(reader);
    publisher.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_more_sessions_than_a_statement_names_is_forgotten_in_clickhouse() {
    const SESSIONS: u128 = 2_100;
    let folder = tempfile::tempdir().unwrap();
    let Some((chdb, keeper)) = chdb(folder.path()) else { return };
    let publisher = Publisher::start(Some(keeper)).await;
    let server = &publisher.server;
    let env = include_str!("../../../tests/golden/lmcache-v1-env.json");
    let mut env: serde_json::Value = serde_json::from_str(env).unwrap();
    let machine = env["machine_id"].as_str().unwrap().to_owned();
    let mut bodies = Vec::new();
    for session in 1..=SESSIONS + 1 {
        env["session_id"] = uuid::Uuid::from_u128(session).to_string().into();
        if session > SESSIONS {
            env["machine_id"] = uuid::Uuid::from_u128(session << 64).to_string().into();
        }
        bodies.push(env.to_string());
    }
    for bodies in bodies.chunks(200) {
        let answers = bodies.iter().map(|body| server.post("/context", body.clone()));
        assert!(join_all(answers).await.iter().all(|status| *status == 200));
    }
    publisher.delivered().await;
    let left = || {
        let of = |table: &str, id: &str| {
            number(chdb.1, &format!("SELECT uniqExact(toString({id})) FROM {table}"))
        };
        [of("usage_lmcache_1_EnvMessage", "session_id"), of("usage_origin", "session")]
    };
    assert_eq!(left(), [2_101, 2_101]);
    let done = (200, "deleted 2100 sessions and 2100 messages\n".to_owned());
    assert_eq!(forget(server, &machine).await, done);
    assert_eq!(left(), [1, 1]);
    publisher.server.stop().await;
}

#[test]
fn rows_about_sessions_leave_clickhouse_after_400_days() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&python, &folder.path().join("clickhouse"));
    let at = server.1;
    let (mut messages, mut own) = (BTreeSet::new(), BTreeSet::new());
    for statement in tables().iter().map(String::as_str).chain(TABLES) {
        ask_at(at, "/?with_ttl=1", statement).unwrap();
        let name = statement.split_once("EXISTS ").unwrap().1.split(' ').next().unwrap();
        if statement.contains("`received`") {
            messages.insert(name.to_owned());
        } else if statement.contains("`session`") || statement.contains("`origin`") {
            own.insert(name.to_owned());
        }
    }
    assert!(messages.len() > 20 && own.len() == 5, "{messages:?} {own:?}");
    for (table, column, unit) in messages
        .iter()
        .map(|table| (table, "received", "now64(3) - INTERVAL {} DAY"))
        .chain(own.iter().map(|table| (table, "day", "toInt32(today()) - {}")))
    {
        // One after the other, because rows of one identity replace each other.
        for (days, left) in [(402, 0), (398, 1)] {
            let value = unit.replace("{}", &days.to_string());
            // A sum of nothing would go at once.
            let (count, one) = if table == "usage_start" { (", count", ", 1") } else { ("", "") };
            let insert = format!("INSERT INTO {table} ({column}{count}) SELECT {value}{one}");
            ask(at, &insert).unwrap();
            ask(at, &format!("OPTIMIZE TABLE {table} FINAL")).unwrap();
            let count = number(at, &format!("SELECT count() FROM {table}"));
            assert_eq!(count, left, "{table}, after {days} days");
        }
    }
    let change = format!("ALTER TABLE {BEATS} MODIFY TTL toDateTime(received) + INTERVAL 90 DAY");
    ask(at, &change).unwrap();
    ask(at, &format!("OPTIMIZE TABLE {BEATS} FINAL")).unwrap();
    assert_eq!(number(at, &format!("SELECT count() FROM {BEATS}")), 0);
    // A server that starts leaves what a person has set.
    let beats = tables().into_iter().find(|table| table.contains(&format!("{BEATS} ("))).unwrap();
    ask_at(at, "/?with_ttl=1", &beats).unwrap();
    let made = ask(at, &format!("SHOW CREATE TABLE {BEATS} FORMAT TabSeparated")).unwrap();
    assert!(made.contains("toIntervalDay(90)"), "{made}");
}
