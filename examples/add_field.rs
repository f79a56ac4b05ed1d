//! Adds a field to vLLM's start message when the engine initialises. After that the contract is closed again.
//!
//! ```sh
//! cargo run --example add_field
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use otel_usage::schema::{Field, Type, vllm};
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
    ]);

    // These lines declare the field.
    let contract = vllm::CURRENT.clone().with_field(
        "report",
        Field::record("num_lora", Type::Int, "vllm.lora.count", "LoRA adapters loaded at start.")
            .in_unit("{adapter}"),
    );

    let usage = Usage::builder(&contract)
        .with_sample_data()
        .with_environment(environment)
        .with_version(sample::VLLM_VERSION)
        .try_init()?;
    let report = Attributes::from_record(sample::vllm_report()).with("vllm.lora.count", 2_u64);
    usage.record(report);

    println!("{}", server.next().text());
    Ok(())
}
