//! Checks that a preview equals the sent bytes, given the same clock and session id.

use std::sync::LazyLock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use otel_usage::clock::Clock;
use otel_usage::detectors::Runtime;
use otel_usage::export::{ExportRecord, ExporterName};
use otel_usage::schema::{Trigger, lmcache, transport, vllm};
use otel_usage::{Accelerators, Builder};
use otel_usage_testing::sample;
use otel_usage_testing::world::{Scene, scene, text};
use otel_usage_testing::{Collected, Given, Operator, settled};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngAlgorithm;

use crate::receiver::Receiver;

const NOW: i64 = 1_787_206_513_123_456_000;
const SESSION: &str = "b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10";

fn fixed(builder: Builder) -> Builder {
    builder.with_clock(Clock::fixed(NOW)).with_instance_id(SESSION).with_version("1.2.3")
}

fn bytes(records: &[ExportRecord]) -> Vec<String> {
    records.iter().map(|record| record.message().unwrap().to_json()).collect()
}

#[test]
fn a_preview_of_vllm_equals_the_post_body() {
    let server = Receiver::start();
    let operator = Operator::new().with("VLLM_USAGE_STATS_SERVER", server.url());
    let preview =
        fixed(operator.engine(&vllm::CURRENT)).inspect().unwrap().preview(sample::vllm_report());
    let usage = fixed(operator.engine(&vllm::CURRENT)).try_init().unwrap();
    let snapshot = usage.preview(sample::vllm_report());
    usage.record(sample::vllm_report());
    let body = server.next().text();
    assert_eq!(bytes(&preview), std::slice::from_ref(&body));
    assert_eq!(bytes(&snapshot), std::slice::from_ref(&body));
    assert!(body.contains(&format!("\"uuid\": \"{SESSION}\"")));
    assert!(body.contains(&format!("\"log_time\": {NOW}")));
}

#[test]
fn a_preview_of_lmcache_equals_every_post_body_in_order() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    std::fs::create_dir_all(operator.path(".config/lmcache")).unwrap();
    let machine = "f4b6a2c8-9d17-4e57-8a0b-6c1d2e3f4a5b";
    std::fs::write(operator.path(".config/lmcache/machine_id"), machine).unwrap();
    let preview =
        fixed(operator.engine(&lmcache::V1)).inspect().unwrap().preview(sample::lmcache_engine());
    let usage = fixed(operator.engine(&lmcache::V1)).try_init().unwrap();
    usage.record(sample::lmcache_engine());
    let posted: Vec<String> = server.take(3).iter().map(|request| request.text()).collect();
    assert_eq!(bytes(&preview), posted);
    assert!(posted.iter().all(|body| body.contains(&format!("\"machine_id\": \"{machine}\""))));
    settled(&usage);
}

#[test]
fn a_preview_works_when_collection_is_off_and_writes_nothing() {
    let operator = Operator::new().with("DO_NOT_TRACK", "1");
    let usage = operator.engine(&vllm::CURRENT).try_init().unwrap();
    assert!(!usage.is_enabled());
    assert_eq!(usage.preview(sample::vllm_report()).len(), 1);
    usage.record(sample::vllm_report());
    assert_eq!(std::fs::read_dir(operator.home.path()).unwrap().count(), 0);
    assert_eq!(usage.decision().because, "environment variable DO_NOT_TRACK");
}

#[test]
fn lmcaches_machine_id_is_read_but_never_created() {
    let operator = Operator::new();
    let preview =
        operator.engine(&lmcache::V1).inspect().unwrap().preview(sample::lmcache_engine());
    assert!(bytes(&preview)[0].contains("\"machine_id\": \"\""));
    assert_eq!(std::fs::read_dir(operator.home.path()).unwrap().count(), 0);
    // Other contents of the file must not be sent.
    std::fs::create_dir_all(operator.path(".config/lmcache")).unwrap();
    std::fs::write(operator.path(".config/lmcache/machine_id"), "my-host-name\n").unwrap();
    let preview =
        operator.engine(&lmcache::V1).inspect().unwrap().preview(sample::lmcache_engine());
    assert!(bytes(&preview)[0].contains("\"machine_id\": \"\""));
}

/// A random engine and its operator.
#[derive(Debug, Clone)]
struct State {
    /// Contract, Resource and the record's attributes.
    scene: Scene,
    kind: Index,
    now: i64,
    instance: Option<String>,
    version: Option<String>,
    devices: Option<(i64, String, i64, Option<Runtime>)>,
    omitted: Vec<Index>,
    variables: Vec<(&'static str, String)>,
    machine_id: &'static str,
}

fn state() -> impl Strategy<Value = State> {
    let runtime = prop::option::of((any::<bool>(), text()).prop_map(|(cuda, version)| {
        if cuda { Runtime::Cuda(version) } else { Runtime::Xpu(version) }
    }));
    let variables = [
        "VLLM_USAGE_SOURCE",
        "RUNPOD_API_KEY",
        "LMCACHE_USAGE_TRACK_INTERVAL",
        "CUDA_VISIBLE_DEVICES",
        "container",
    ];
    // The file exists already, because a run would create it and a preview does not.
    let machine_ids =
        ["f4b6a2c8-9d17-4e57-8a0b-6c1d2e3f4a5b\n", "F4B6A2C89D174E578A0B6C1D2E3F4A5B", "my host"];
    (
        (scene(), any::<Index>(), 0..4_000_000_000_000_000_000_i64),
        (prop::option::of(text()), prop::option::of(text())),
        prop::option::of((any::<i64>(), text(), any::<i64>(), runtime)),
        prop::collection::vec(any::<Index>(), 0..4),
        prop::collection::vec((prop::sample::select(variables.to_vec()), text()), 0..3),
        prop::sample::select(machine_ids.to_vec()),
    )
        .prop_map(|(first, names, devices, omitted, variables, machine_id)| {
            let ((scene, kind, now), (instance, version)) = (first, names);
            State { scene, kind, now, instance, version, devices, omitted, variables, machine_id }
        })
}

impl State {
    fn operator(&self) -> Operator {
        let fields =
            self.scene.world().contract.messages.iter().flat_map(|spec| spec.fields.iter());
        let names: Vec<String> = fields.map(|field| field.name.to_string()).collect();
        let omitted: Vec<&str> = self.omitted.iter().map(|at| at.get(&names).as_str()).collect();
        let mut operator = Operator::new().with("OTEL_USAGE_OMIT", omitted.join(","));
        for (name, value) in &self.variables {
            operator = operator.with(name, value.replace('\0', ""));
        }
        std::fs::create_dir_all(operator.path(".config/lmcache")).unwrap();
        std::fs::write(operator.path(".config/lmcache/machine_id"), self.machine_id).unwrap();
        operator
    }

    fn engine(&self, operator: &Operator) -> Builder {
        let mut engine = operator
            .engine(&self.scene.world().contract)
            .with_exporters([])
            .with_clock(Clock::fixed(self.now))
            .with_instance_id(self.instance.clone().unwrap_or_else(|| SESSION.to_owned()));
        for attribute in self.scene.resource.clone() {
            engine = engine.with_attribute(attribute.key.to_string(), attribute.value);
        }
        if let Some(version) = &self.version {
            engine = engine.with_version(version);
        }
        if let Some((count, name, memory, runtime)) = &self.devices {
            let devices = Accelerators::new(*count, name, *memory);
            engine = engine.with_accelerators(match runtime {
                Some(runtime) => devices.with_runtime(runtime.clone()),
                None => devices,
            });
        }
        engine
    }

    /// Returns the records of an engine's start.
    fn record(&self) -> Given {
        let messages = self.scene.world().contract.messages.iter();
        let kinds: Vec<_> = messages.filter(|spec| spec.trigger == Trigger::Record).collect();
        let mut attributes = self.scene.span.attributes.clone();
        // A record of another contract is dropped.
        attributes.retain(|attribute| attribute.key.as_str() != transport::CONTRACT);
        Given(self.kind.get(&kinds).record.to_string(), attributes)
    }

    fn is_at_intervals(&self, record: &ExportRecord) -> bool {
        let mut messages = self.scene.world().contract.messages.iter();
        messages.any(|spec| {
            spec.record == record.kind() && matches!(spec.trigger, Trigger::Interval { .. })
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::XorShift,
        ..Default::default()
    })]

    #[test]
    fn a_preview_of_random_engines_equals_the_post_body(state in state()) {
        static CASE: AtomicUsize = AtomicUsize::new(0);
        static SERVER: LazyLock<Mutex<Receiver>> = LazyLock::new(|| Mutex::new(Receiver::start()));
        let operator = state.operator();
        let preview = bytes(&state.engine(&operator).inspect().unwrap().preview(state.record()));
        let collected = Collected::default();
        let mut engine = state.engine(&operator).with_exporter(collected.clone());
        // A tenth of them over a socket.
        let server = SERVER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let posts = CASE.fetch_add(1, Ordering::Relaxed).is_multiple_of(10);
        if posts {
            engine = engine.with_exporters([ExporterName::Server]).with_server(server.url());
        }
        let usage = engine.try_init().unwrap();
        usage.record(state.record());
        settled(&usage);
        let started: Vec<ExportRecord> = collected
            .records()
            .into_iter()
            .filter(|record| !state.is_at_intervals(record))
            .collect();
        prop_assert!(!preview.is_empty());
        prop_assert_eq!(&bytes(&started), &preview);
        // Includes the end of the run, so that the server gets nothing more before the next case.
        usage.finish();
        settled(&usage);
        let messages: Vec<String> = collected
            .drain()
            .iter()
            .filter_map(|record| Some(record.message()?.to_json()))
            .collect();
        if posts {
            let posted = server.take_of_any_contract(messages.len());
            let posted: Vec<String> = posted.iter().map(|request| request.text()).collect();
            prop_assert_eq!(posted, messages);
        }
    }
}
