//! Runs a new engine with its own contract and endpoint, without a change to the library.
//!
//! `cargo run --example own_engine -- contract.json` also keeps the contract as a file.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]
use otel_usage::schema::{Contract, MessageSpec, resource};
use otel_usage::settings::Env;
use otel_usage::{Usage, UsageRecord};
use otel_usage_testing::receiver::Receiver;

/// The engine's settings. A field without `sent` or `private` does not compile.
#[derive(UsageRecord)]
#[usage(record = "my_engine.report")]
struct Settings {
    /// Layers of the model.
    #[usage(sent = "my_engine.layers", unit = "{layer}")]
    layers: u32,
    /// Where the weights come from.
    #[usage(sent = "my_engine.weights", sanitize(scheme_only))]
    weights: String,
    #[usage(private)]
    token: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let report = MessageSpec::from_record::<Settings>("report").with_header(resource::FIELDS);
    let contract = Contract::new("my_engine/1", "my_engine")
        .with_server_variable("MY_ENGINE_USAGE_SERVER")
        .with_message(report.at("v1/report"));
    let (home, server) = (tempfile::tempdir()?, Receiver::start());
    let file = std::env::args().nth(1).map_or_else(|| home.path().join("it.json"), Into::into);
    std::fs::write(&file, contract.to_json())?;
    let operator = [("OTEL_USAGE_MODE", "on".to_owned()), ("MY_ENGINE_USAGE_SERVER", server.url())];
    let engine = Usage::builder(&contract).with_environment(Env::given(operator)).try_init()?;
    let settings = Settings { layers: 32, weights: "s3://bucket".into(), token: "secret".into() };
    println!("{}, and a token of {} letters stays here", contract.id, settings.token.len());
    engine.record(settings);
    let arrived = server.next();
    println!("POST {}\n{}", arrived.path, arrived.text());
    Ok(())
}
