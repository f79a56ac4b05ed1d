//! Shows how an engine like vLLM adopts the library.
//!
//! It makes one handle at start-up and records one typed record when the device is ready. Heartbeats follow
//! by themselves, with one more field that only this engine has.
//!
//! ```sh
//! cargo run --example vllm_engine
//! ```
//!
//! The heartbeat interval is one second here instead of ten minutes. Everything goes to this process and a temporary
//! home.

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use otel_usage::schema::{Field, Trigger, Type, vllm};
use otel_usage::settings::Env;
use otel_usage::{Attributes, Usage};
use otel_usage_testing::receiver::Receiver;
use otel_usage_testing::sample;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, home) = (Receiver::start(), tempfile::tempdir()?);
    let environment = Env::given([
        ("HOME", home.path().display().to_string()),
        ("OTEL_USAGE_MODE", "on".to_owned()),
        ("VLLM_USAGE_STATS_SERVER", server.url()),
        ("VLLM_USAGE_SOURCE", "ci-test".to_owned()),
    ]);

    // A contract is a value, so this engine adds a declared field to its heartbeat.
    let mut contract = vllm::CURRENT.clone().with_field(
        "heartbeat",
        Field::record("num_preemptions", Type::Int, "vllm.num_preemptions", "Preemptions."),
    );
    for message in contract.messages.to_mut() {
        if matches!(message.trigger, Trigger::Heartbeat { .. }) {
            message.trigger = Trigger::Heartbeat { seconds: 1 };
        }
    }

    let usage = Usage::builder(&contract)
        .with_sample_data()
        .with_environment(environment)
        .with_version("0.33.0")
        // The counts of torch win over those of the driver.
        .with_accelerators(sample::accelerators())
        .try_init()?;
    usage.record(sample::vllm_report());
    usage.set_heartbeat(Attributes::new(vllm::HEARTBEAT).with("vllm.num_preemptions", 3_u64));

    for request in server.take(3) {
        println!("{}\n", request.text());
    }
    // vLLM sends nothing at shutdown.
    usage.finish();
    println!("{:#?}", usage.stats());
    Ok(())
}
