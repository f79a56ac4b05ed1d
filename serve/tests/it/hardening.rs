//! A usage server after a mistake of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use otel_usage_bridge::Store as _;
use otel_usage_serve::questions::{Rules, close};
use otel_usage_serve::store::{Core, Days, Store};

use crate::running::{DAY, NOW, Place, clock, rows};

/// Longest wait for what happens at once on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A heartbeat of vLLM, as a line of its own file.
fn heartbeat(uuid: u128, time: i64) -> String {
    format!("{{\"uuid\": \"{}\", \"log_time\": {time}000000}}\n", uuid::Uuid::from_u128(uuid))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_thread_that_writes_ends_the_server() {
    let place = Place::new();
    let now = Arc::new(AtomicI64::new(NOW));
    let store = Store::open(&place.data(), &[], 0, clock(&now)).unwrap();
    let done = store.run(|_: &mut Core| -> () { panic!("the mistake of the test") }).await;
    assert_eq!(done, None);
    let why = tokio::time::timeout(PATIENCE, store.stopped()).await.unwrap();
    assert!(why.to_string().contains("by a mistake of this program"), "{why}");
    // A later message does not wait for a thread that is gone.
    assert_eq!(tokio::time::timeout(PATIENCE, store.run(|_| ())).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_that_could_not_be_kept_are_kept_the_next_time() {
    let place = Place::new();
    let server = place.serve().await;
    let maintain = || server.store.maintain(Days::default(), Rules::default());
    let read_only = |on: bool| {
        server.store.run(move |core| core.connection().pragma_update(None, "query_only", on))
    };
    maintain().await;
    server.store.note("too_many", 7);
    read_only(true).await.unwrap().unwrap();
    maintain().await;
    read_only(false).await.unwrap().unwrap();
    maintain().await;
    maintain().await;
    server.stop().await;
    let counted = rows(&place.read(), "SELECT label, count FROM quality WHERE name = 'refused'");
    assert_eq!(counted, ["too_many|7"]);
}

/// An archive is older than messages are kept, so that its batch, the last one, is deleted. The next batch gets its number.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_gets_the_number_of_a_deleted_one_is_projected_after_a_crash() {
    let place = Place::new();
    let archive = place.0.path().join("usage_stats.json");
    std::fs::write(&archive, heartbeat(1, NOW - 200 * DAY)).unwrap();
    {
        let mut core = Core::open(&place.data(), &[], NOW).unwrap();
        crate::archive::import(&mut core, &[archive]);
        while core.retain(Days::default(), NOW).unwrap() {}
    }
    let projected = "SELECT value FROM meta WHERE key = 'projected'";
    assert_eq!(rows(&place.read(), "SELECT count(*) FROM batch"), ["0"]);
    // A new batch that is not projected yet is what a crash leaves.
    assert_eq!(rows(&place.read(), projected), ["0"]);
}

/// A client may send any number of 64 bits, and a sum of two of them is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_version_makes_no_page_of_its_own() {
    let place = Place::new();
    let server = place.serve().await;
    let get = async |path: &str| {
        let answer = server.client.get(format!("{}{path}", server.url)).send().await.unwrap();
        answer.text().await.unwrap()
    };
    assert_eq!(get("/?version=0.999&engine=vllm").await, get("/?engine=vllm").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_numbers_of_one_client_stop_no_page_and_no_close() {
    let place = Place::new();
    let server = place.serve().await;
    let largest = i64::MAX;
    for sequence in [1, 2, 3, 4, 5, 6, i64::MIN, i64::MAX] {
        let head = format!(
            "\"schema_version\": 1, \"session_id\": \"{}\", \"machine_id\": \"\", \"deployment_mode\": \"single_process\", \
             \"sequence_number\": {sequence}, \"uptime_seconds\": 1.0",
            uuid::Uuid::from_u128(1)
        );
        let bounds = [0, 1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1000, 2500, 5000];
        let counts = bounds.map(|bound| format!("\"{bound}\": {largest}"));
        let histogram = format!("{{{}}}", counts.join(", "));
        let usage = format!(
            "\"interval_num_stored_tokens\": {largest}, \"interval_num_hit_tokens\": {largest}, \
             \"interval_stored_kv_size\": {largest}"
        );
        for (path, kind, rest) in [
            (
                "/cache-lifespan",
                "CacheLifespanMessage",
                format!("\"cache_lifespan_histogram\": {histogram}"),
            ),
            ("/cache-usage", "ContinuousContextMessage", usage),
        ] {
            let body = format!("{{\"message_type\": \"{kind}\", {head}, {rest}}}");
            assert_eq!(server.post(path, body).await, 200);
        }
    }
    for path in ["/", "/quality"] {
        let page = format!("{}{path}", server.maintainers);
        assert_eq!(server.client.get(page).send().await.unwrap().status(), 200, "{path}");
    }
    server.now.fetch_add(4 * DAY, Ordering::SeqCst);
    server.store.maintain(Days::default(), Rules::default()).await;
    server.stop().await;
    let closed = rows(&place.read(), "SELECT count(*) FROM meta WHERE key = 'closed'");
    assert_eq!(closed, ["1"]);
}

#[test]
fn an_engine_whose_clock_stood_at_1970_makes_no_fifty_years_of_days() {
    let place = Place::new();
    let archive = place.0.path().join("usage_stats.json");
    let lines = heartbeat(1, 1) + &heartbeat(2, NOW - 5 * DAY);
    std::fs::write(&archive, lines).unwrap();
    let mut core = Core::open(&place.data(), &[], NOW).unwrap();
    assert_eq!(crate::archive::import(&mut core, &[archive]).messages, 2);
    let done = close(core.connection(), &Rules::default(), NOW).unwrap();
    assert!((1..=5).contains(&done.days), "{}", done.days);
}

/// A site may let its name stand for 127.0.0.1, and read what a maintainer's browser gets there.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_reads_nothing_through_a_maintainers_browser() {
    let place = Place::new();
    let server = place.serve().await;
    for path in ["/", "/quality", "/metrics"] {
        let get = |host: Option<&str>| {
            let request = server.client.get(format!("{}{path}", server.maintainers));
            match host {
                Some(host) => request.header("host", host),
                None => request,
            }
        };
        assert_eq!(get(Some("evil.example:8081")).send().await.unwrap().status(), 403, "{path}");
        assert_eq!(get(Some("localhost:8081")).send().await.unwrap().status(), 200, "{path}");
        assert_eq!(get(None).send().await.unwrap().status(), 200, "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_a_path_does_not_take_is_answered_with_those_that_it_takes() {
    let place = Place::new();
    let server = place.serve().await;
    for (path, allowed) in [
        ("/", "GET, HEAD, POST"),
        ("/quality?engine=vllm", "GET, HEAD, POST"),
        ("/healthz", "GET, HEAD"),
        ("/v1/logs", "POST"),
        // Engines may post at any path.
        ("/cache-usage", "POST"),
    ] {
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let request = server.client.request(method.clone(), format!("{}{path}", server.url));
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let said = answer.headers().get("allow").map(|allow| allow.to_str().unwrap());
            assert_eq!((status, said), (405, Some(allowed)), "{method} {path}");
        }
    }
    let page = server.client.get(format!("{}/cache-usage", server.url)).send().await.unwrap();
    assert_eq!(page.status(), 404);
    server.stop().await;
}
