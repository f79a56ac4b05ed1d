//! Checks that every record is counted once, also those that the operator does not consent to, and that every metric is
//! documented.

use otel_usage::Consent;
use otel_usage::schema::transport;
use otel_usage::settings::Env;
use otel_usage_bridge::FileExporter;
use otel_usage_testing::served::{Served, beat_with, beats, config, operator, to};
use otel_usage_testing::upstream::{Reply, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn the_bridge_obeys_the_opt_outs_of_its_machine() {
    for (switch, consent) in [("VLLM_NO_USAGE_STATS", Consent::Off), ("local", Consent::Local)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flat.jsonl");
        let upstream = Upstream::new().await;
        let mut config = to(&upstream);
        config.exporters.file = Some(FileExporter::new(&path));
        let mode = if switch == "local" { "local" } else { "on" };
        config.operator = operator(Env::given([
            ("OTEL_USAGE_MODE", mode),
            ("HOME", "/nonexistent"),
            (switch, "1"),
        ]));
        let served = Served::start(&config).await;
        assert_eq!(served.send(&beats([1])).await.status(), 200);
        assert_eq!(upstream.posts().len(), 0, "{switch}");
        let written = std::fs::read_to_string(&path).unwrap().lines().count();
        assert_eq!(written, usize::from(consent == Consent::Local), "{switch}");
        assert_eq!(served.count(r#"records_skipped_total{reason="consent"}"#).await, 1.0);
    }
    let mut config = config();
    config.exporters.console = true;
    config.operator = operator(Env::given([("DO_NOT_TRACK", "1")]));
    let error = otel_usage_bridge::Bridge::bind(&config).await.unwrap_err().to_string();
    assert!(error.contains("DO_NOT_TRACK"), "{error}");
}

#[tokio::test]
async fn a_bridge_whose_port_is_taken_makes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config();
    config.exporters.file = Some(FileExporter::new(folder.path().join("flat.jsonl")));
    config.listen = vec![other.local_addr().unwrap()];
    let error = otel_usage_bridge::Bridge::bind(&config).await.unwrap_err().to_string();
    assert!(error.contains("choose another address with --listen"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_accounted_for() {
    let upstream = Upstream::scripted(|_, post| {
        // The engine's number decides whether its record is taken, refused or has to wait.
        let n = post.body.as_bytes()[post.body.find("log_time").unwrap() - 5];
        Reply::Status([200, 200, 400, 500][usize::from(n % 4)])
    })
    .await;
    let served = Served::start(&to(&upstream)).await;
    let mut batch = beats(0..50);
    batch.resource_spans.extend(beat_with(60, transport::DELIVERY, "direct").resource_spans);
    batch.resource_spans.extend(beat_with(61, transport::CONTRACT, "other/1").resource_spans);
    for _ in 0..3 {
        served.send(&batch).await;
    }
    let metrics = served.metrics().await;
    let sum = |name: &str| -> f64 {
        metrics.iter().filter(|(key, _)| key.starts_with(name)).map(|(_, value)| value).sum()
    };
    assert_eq!(sum("records_received_total"), 156.0);
    let ends = [
        "records_delivered_total",
        "records_skipped_total",
        "records_dropped_total",
        "records_postponed_total",
    ];
    assert_eq!(ends.map(sum).iter().sum::<f64>(), 156.0, "{metrics:?}");
    assert!(ends.map(sum).iter().all(|count| *count > 0.0), "{metrics:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/receiver/bridge.md");
    let page = std::fs::read_to_string(page).unwrap();
    let upstream =
        Upstream::scripted(|before, _| Reply::Status(if before == 0 { 200 } else { 500 })).await;
    let served = Served::start(&to(&upstream)).await;
    // A counter appears with its first event.
    served.send(&beat_with(1, "planted", "x")).await;
    served.send(&beats([2])).await;
    served.send(&beat_with(3, transport::CONTRACT, "other/1")).await;
    let log = br#"{"resourceLogs": [{"scopeLogs": [{"logRecords": [{}]}]}]}"#;
    served.post("/v1/logs", "application/json", None, log.to_vec()).await;
    let text = served.client.get(format!("{}/metrics", served.url)).send().await.unwrap();
    let text = text.text().await.unwrap();
    let types: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE otel_usage_bridge_")).collect();
    assert_eq!(types.len(), 13, "{text}");
    for line in types {
        let (name, kind) = line.split_once(' ').unwrap();
        let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/receiver/bridge.md");
    }
}
