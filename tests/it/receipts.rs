//! Checks the record of what left: the last deliveries in the statistics, and the journal on disk.

use otel_usage::export::{Delivery, DeliveryOutcome};
use otel_usage::schema::vllm;
use otel_usage::{Flush, Usage};
use otel_usage_testing::{Operator, PATIENCE, sample, settled};

use crate::exporters::exporter;
use crate::receiver::{Answer, Receiver};

/// Returns the exporters `server` and `otlp` to one place, whose URLs have secrets.
fn operator(address: std::net::SocketAddr) -> Operator {
    let url = |path: &str| format!("http://user:hunter2@{address}{path}?token=hunter2");
    Operator::new()
        .with("OTEL_USAGE_EXPORTERS", "server,otlp,file")
        .with("VLLM_USAGE_STATS_SERVER", url("/base"))
        .with("OTEL_USAGE_OTLP_ENDPOINT", url(""))
}

fn engine(operator: &Operator) -> Usage {
    operator.engine(&vllm::CURRENT).try_init().unwrap()
}

/// Returns what the statistics say of the only delivery of an exporter.
fn only(usage: &Usage, name: &str) -> Delivery {
    let [delivery] = exporter(&usage.stats(), name).deliveries.try_into().unwrap();
    delivery
}

#[test]
fn the_statistics_hold_the_deliveries_of_every_network_exporter() {
    let server = Receiver::start();
    let operator = operator(server.address);
    let usage = engine(&operator);
    usage.record(sample::vllm_report());
    let bodies: Vec<u64> = server.take(2).iter().map(|request| request.body.len() as u64).collect();
    settled(&usage);
    for (name, path) in [("server", "/base"), ("otlp", "/v1/traces")] {
        let delivery = only(&usage, name);
        assert_eq!(delivery.contract, "vllm/current");
        assert_eq!(delivery.exporter, name);
        assert_eq!(delivery.message, vllm::CURRENT.messages[0].name);
        assert_eq!(delivery.destination, format!("http://{}{path}", server.address));
        assert_eq!((delivery.outcome, delivery.status), (DeliveryOutcome::Delivered, Some(200)));
        assert!(bodies.contains(&delivery.bytes), "{delivery:?}");
        assert!(delivery.unix_millis > 1_600_000_000_000, "{delivery:?}");
        assert_eq!(delivery.identity.len(), 32);
    }
    // Both exporters sent the same record.
    assert_eq!(only(&usage, "server").identity, only(&usage, "otlp").identity);
    assert_eq!(exporter(&usage.stats(), "file").deliveries, []);
}

#[test]
fn the_statistics_tell_a_refusal_from_a_failure() {
    for (answer, outcome, status) in [
        (Answer::Status(404, ""), DeliveryOutcome::Refused, Some(404)),
        (Answer::Status(503, ""), DeliveryOutcome::Failed, Some(503)),
        (Answer::BreakOff, DeliveryOutcome::Failed, None),
    ] {
        let server = Receiver::scripted(Vec::new(), answer);
        let operator = operator(server.address).with("OTEL_USAGE_EXPORTERS", "server");
        let usage = engine(&operator);
        usage.record(sample::vllm_report());
        let _ = server.next();
        // The attempt of the flush comes after the end of the first.
        assert_ne!(usage.flush(PATIENCE), Flush::Memory(1));
        let account = exporter(&usage.stats(), "server");
        let first = &account.deliveries[0];
        assert_eq!((first.outcome, first.status), (outcome, status));
        let tries: Vec<&str> = account.deliveries.iter().map(|one| one.identity.as_str()).collect();
        assert!(tries.iter().all(|identity| *identity == first.identity), "{tries:?}");
        usage.withdraw();
    }
}
