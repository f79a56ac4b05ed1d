//! Checks identities: LMCache's machine id, replicas of one engine, and two engines in one process.

use std::collections::BTreeSet;
use std::process::Command;

use otel_usage::Usage;
use otel_usage::export::ExportRecord;
use otel_usage::schema::{lmcache, vllm};
use otel_usage_testing::sample;
use otel_usage_testing::{Collected, Operator, settled};
use serde_json::Value;

use crate::receiver::Receiver;

fn machine_id(operator: &Operator) -> Option<String> {
    std::fs::read_to_string(operator.path(".config/lmcache/machine_id")).ok()
}

#[test]
fn the_first_record_makes_the_machine_id_and_every_message_carries_it() {
    let operator = Operator::new().with("OTEL_USAGE_EXPORTERS", "none");
    let collected = Collected::default();
    let usage = operator.engine(&lmcache::V1).with_exporter(collected.clone()).try_init().unwrap();
    // A preview, and an engine without a record, write nothing.
    let _ = operator.engine(&lmcache::V1).inspect().unwrap().preview(sample::lmcache_engine());
    assert_eq!(machine_id(&operator), None);
    usage.record(sample::lmcache_engine());
    settled(&usage);
    let id = machine_id(&operator).unwrap();
    assert_eq!(uuid(&id).as_deref(), Some(id.as_str()));
    assert!(collected.messages().iter().all(|message| message["machine_id"] == id.as_str()));
    // The next process is on the same machine.
    let preview =
        operator.engine(&lmcache::V1).inspect().unwrap().preview(sample::lmcache_engine());
    assert!(preview[0].message().unwrap().to_json().contains(&id));
}

#[test]
fn only_lmcache_makes_a_machine_id() {
    let unwilling = [
        Operator::new().with("DO_NOT_TRACK", "1"),
        Operator::new().with("LMCACHE_TRACK_USAGE", "false"),
        Operator::new().with("OTEL_USAGE_OMIT", "machine_id"),
        Operator::new().with("OTEL_USAGE_EXPORTERS", "none"),
    ];
    for operator in &unwilling {
        let usage = operator.engine(&lmcache::V1).with_exporters([]).try_init().unwrap();
        usage.record(sample::lmcache_engine());
        settled(&usage);
        assert_eq!(machine_id(operator), None);
    }
    // The operator omits the field, and the records are still sent.
    let operator = Operator::new().with("OTEL_USAGE_OMIT", "machine_id");
    for contract in [&lmcache::V1, &lmcache::DOC, &lmcache::LEGACY, &vllm::CURRENT] {
        let collected = Collected::default();
        let usage = operator
            .engine(contract)
            .with_exporters([])
            .with_exporter(collected.clone())
            .try_init()
            .unwrap();
        usage.record(sample::lmcache_engine());
        usage.record(sample::vllm_report());
        settled(&usage);
        assert!(!collected.messages().is_empty());
        assert_eq!(machine_id(&operator), None);
        assert!(!operator.path(".config/vllm/machine_id").exists());
    }
}

/// The home of the processes of the next test.
const HOME: &str = "OTEL_USAGE_TEST_IDENTITY_HOME";

#[test]
fn sixty_four_processes_agree_on_one_machine_id() {
    let home = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..64)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "identity::child_that_reports", "--ignored", "--nocapture"])
                .env(HOME, home.path())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut seen = BTreeSet::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        // The harness may have begun the line.
        let (_, line) = text.split_once("machine_id=").unwrap();
        seen.insert(line.lines().next().unwrap().to_owned());
    }
    let kept = std::fs::read_to_string(home.path().join(".config/lmcache/machine_id")).unwrap();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [kept]);
}

#[test]
#[ignore = "one of the processes of the test above"]
fn child_that_reports() {
    let Some(home) = std::env::var_os(HOME) else { return };
    let env = otel_usage::settings::Env::given([
        ("HOME".to_owned(), home.into_string().unwrap()),
        ("OTEL_USAGE_MODE".to_owned(), "on".to_owned()),
    ]);
    let collected = Collected::default();
    let usage = Usage::builder(&lmcache::V1)
        .with_sample_data()
        .with_environment(env)
        .with_exporters([])
        .with_exporter(collected.clone())
        .try_init()
        .unwrap();
    usage.record(sample::lmcache_engine());
    settled(&usage);
    println!("machine_id={}", collected.messages()[0]["machine_id"].as_str().unwrap());
}

#[test]
fn every_replica_of_a_data_parallel_engine_reports_for_itself() {
    let server = Receiver::start();
    let operator = Operator::new()
        .with("VLLM_USAGE_STATS_SERVER", server.url())
        .with("OTEL_USAGE_EXPORTERS", "server");
    let replicas: Vec<Usage> =
        (0..4).map(|_| operator.engine(&vllm::CURRENT).try_init().unwrap()).collect();
    for replica in &replicas {
        replica.record(vllm::Report { data_parallel_size: 4, ..sample::vllm_report() });
        settled(replica);
    }
    let messages: Vec<Value> =
        server.take(4).iter().map(|r| serde_json::from_slice(&r.body).unwrap()).collect();
    assert!(messages.iter().all(|message| message["data_parallel_size"] == 4));
    let ids: BTreeSet<&str> =
        messages.iter().map(|message| message["uuid"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 4);
}

/// Returns everything random in these records: UUIDs, and ids of traces and spans.
fn random_values(records: &[ExportRecord]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for record in records {
        let span = record.span();
        let contexts = [span.span_context]
            .into_iter()
            .chain(span.links.iter().map(|l| l.span_context.clone()));
        for context in contexts {
            found.insert(context.trace_id().to_string());
            found.insert(context.span_id().to_string());
        }
        let resource = record.resource();
        let texts = resource.iter().map(|(_, value)| value.to_string());
        let texts = texts.chain(span.attributes.iter().map(|a| a.value.to_string()));
        found.extend(texts.filter_map(|text| uuid(&text)));
        let flat = record.message().map(|message| message.to_json()).unwrap_or_default();
        let words = flat.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
        found.extend(words.filter_map(uuid));
    }
    found
}

fn uuid(text: &str) -> Option<String> {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    let hex = text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    (hex && parts == [8, 4, 4, 4, 12]).then(|| text.to_owned())
}

#[test]
fn two_engines_in_one_process_share_no_random_value() {
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_INTERVAL", "1");
    let (vllm, lmcache) = (Collected::default(), Collected::default());
    let engine = operator.engine(&vllm::CURRENT).with_exporters([]).with_exporter(vllm.clone());
    let cache = operator.engine(&lmcache::V1).with_exporters([]).with_exporter(lmcache.clone());
    let (engine, cache) = (engine.try_init().unwrap(), cache.try_init().unwrap());
    engine.record(sample::vllm_report());
    cache.record(sample::lmcache_engine());
    cache.record(sample::lmcache_mp_server());
    settled(&engine);
    settled(&cache);
    engine.finish();
    cache.finish();
    let (one, other) = (random_values(&vllm.records()), random_values(&lmcache.records()));
    // The instance, and for each record its id, its trace and its span. LMCache also has its machine.
    assert!(one.len() > 2 * 3 && other.len() > 1 + 4 * 3, "{one:?} {other:?}");
    assert!(one.is_disjoint(&other), "{one:?} {other:?}");
    let machine = machine_id(&operator).unwrap();
    assert!(other.contains(&machine));
}
