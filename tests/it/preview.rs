//! A preview is the wire: given the same clock and session id, byte for byte.

use otel_usage::schema::{lmcache, vllm};
use otel_usage::{Builder, Clock, Report};

use crate::receiver::Receiver;
use crate::sample;
use crate::support::{Operator, settled};

const NOW: i64 = 1_787_206_513_123_456_000;
const SESSION: &str = "b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10";

fn fixed(builder: Builder) -> Builder {
    builder.with_clock(Clock::fixed(NOW)).with_instance_id(SESSION).with_version("1.2.3")
}

fn bytes(reports: &[Report]) -> Vec<String> {
    reports.iter().map(|report| report.message().unwrap().to_json()).collect()
}

#[test]
fn a_preview_of_vllm_is_the_post_body() {
    let server = Receiver::start();
    let operator = Operator::new().with("VLLM_USAGE_STATS_SERVER", server.url());
    let preview = fixed(operator.engine(&vllm::CURRENT)).preview(sample::vllm_report()).unwrap();
    let usage = fixed(operator.engine(&vllm::CURRENT)).init().unwrap();
    let snapshot = usage.snapshot(sample::vllm_report());
    usage.start(sample::vllm_report());
    let body = server.next().text();
    assert_eq!(bytes(&preview), std::slice::from_ref(&body));
    assert_eq!(bytes(&snapshot), std::slice::from_ref(&body));
    assert!(body.contains(&format!("\"uuid\": \"{SESSION}\"")));
    assert!(body.contains(&format!("\"log_time\": {NOW}")));
}

#[test]
fn a_preview_of_lmcache_is_every_post_body_in_order() {
    let server = Receiver::start();
    let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
    std::fs::create_dir_all(operator.path(".config/lmcache")).unwrap();
    let machine = "f4b6a2c8-9d17-4e57-8a0b-6c1d2e3f4a5b";
    std::fs::write(operator.path(".config/lmcache/machine_id"), machine).unwrap();
    let preview = fixed(operator.engine(&lmcache::V1)).preview(sample::lmcache_engine()).unwrap();
    let usage = fixed(operator.engine(&lmcache::V1)).init().unwrap();
    usage.start(sample::lmcache_engine());
    let posted: Vec<String> = server.take(3).iter().map(|request| request.text()).collect();
    assert_eq!(bytes(&preview), posted);
    assert!(posted.iter().all(|body| body.contains(&format!("\"machine_id\": \"{machine}\""))));
    settled(&usage);
}

#[test]
fn a_preview_works_when_collection_is_off_and_writes_nothing() {
    let operator = Operator::new().with("DO_NOT_TRACK", "1");
    let usage = operator.engine(&vllm::CURRENT).init().unwrap();
    assert!(!usage.is_enabled());
    assert_eq!(usage.snapshot(sample::vllm_report()).len(), 1);
    usage.start(sample::vllm_report());
    assert_eq!(std::fs::read_dir(operator.home.path()).unwrap().count(), 0);
    assert_eq!(usage.decision().because, "environment variable DO_NOT_TRACK");
}

#[test]
fn lmcaches_machine_id_is_read_but_never_created() {
    let operator = Operator::new();
    let preview = operator.engine(&lmcache::V1).preview(sample::lmcache_engine()).unwrap();
    assert!(bytes(&preview)[0].contains("\"machine_id\": \"\""));
    assert_eq!(std::fs::read_dir(operator.home.path()).unwrap().count(), 0);
    // Something else in the file's place has no business on the wire.
    std::fs::create_dir_all(operator.path(".config/lmcache")).unwrap();
    std::fs::write(operator.path(".config/lmcache/machine_id"), "my-host-name\n").unwrap();
    let preview = operator.engine(&lmcache::V1).preview(sample::lmcache_engine()).unwrap();
    assert!(bytes(&preview)[0].contains("\"machine_id\": \"\""));
}
