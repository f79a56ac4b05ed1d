//! The engine: everything an engine does with the library, in the order in which it would.
//!
//! In: a contract and the engine's own word on consent; the environment and the home directory are
//! the process's. Out: the decision. Every destination is a closed port on loopback, so that
//! a run that is not off reaches nobody either.

use std::borrow::Cow;
use std::time::Duration;

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use otel_usage::schema::{Directory, Field, MessageSpec, OffWhen, Trigger, Type, lmcache, vllm};
use otel_usage::{
    Accelerators, Attributes, Builder, Consent, Contract, Decision, Error, Exporter, Flush, Usage,
};
use tracing_subscriber::prelude::*;

/// The discard port: nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Longest wait for a local file; nobody waits for a server that is not there.
const WAIT: Duration = Duration::from_secs(5);

/// The contract with this id, with its usage server replaced by [`NOWHERE`].
pub(crate) fn contract(id: &str) -> Option<Contract> {
    let mut contract = match id {
        "own" => own(),
        _ => Contract::built_in().into_iter().find(|contract| contract.id == id)?.clone(),
    };
    contract.server = Some(Cow::Borrowed(NOWHERE));
    Some(contract)
}

/// A third engine, which the library does not know: its own directory, and a switch of each form.
fn own() -> Contract {
    let layers = || Field::record("layers", Type::Int, "third.layers", "Layers of the model.");
    let message = |name, record, trigger| {
        MessageSpec::new(name, record, trigger).at("report").with_header(&[layers()])
    };
    let mut contract = Contract::new("third/1", "third")
        .with_switch("THIRD_NO_STATS", OffWhen::Present)
        .with_switch("THIRD_STATS", OffWhen::NotTrue)
        .with_switch("THIRD_DO_NOT_TRACK", OffWhen::True)
        .with_message(message("report", "third.report", Trigger::Record))
        .with_message(message("heartbeat", "third.heartbeat", Trigger::Heartbeat { seconds: 600 }));
    contract.local_file = Some(Cow::Borrowed("usage.jsonl"));
    contract.directory = Directory::Xdg {
        variable: Some(Cow::Borrowed("THIRD_HOME")),
        name: Cow::Borrowed("third"),
    };
    contract
}

/// A whole run. Where collection is off, every other way into the library is tried as well.
pub(crate) fn run(contract: &Contract, consent: Option<Consent>) -> Result<Decision, Error> {
    let usage = builder(contract, consent).init()?;
    let decision = usage.decision().clone();
    live(&usage, contract);
    drop(usage);
    if decision.consent == Consent::Off {
        drop(builder(contract, consent).try_init()?);
        stock_provider(contract, consent)?;
        let asked = builder(contract, consent);
        let _ = (asked.decision(), asked.mode_file(), asked.settings());
        drop(asked);
        // This door has no builder that could say off.
        if consent.is_none() {
            live(&Usage::init(contract), contract);
        }
    }
    Ok(decision)
}

fn builder(contract: &Contract, consent: Option<Consent>) -> Builder {
    let builder = Usage::builder(contract)
        .with_sample_data()
        .with_version("1.2.3")
        .with_accelerators(Accelerators::new(8, "NVIDIA H100 80GB HBM3", 85_029_158_912))
        .with_exporters([Exporter::Server, Exporter::Otlp, Exporter::File])
        .with_server(NOWHERE)
        .with_otlp_endpoint(NOWHERE);
    match consent {
        Some(consent) => builder.with_consent(consent),
        None => builder,
    }
}

/// The life of an engine, from its first report to its end.
fn live(usage: &Usage, contract: &Contract) {
    let subscriber = tracing_subscriber::registry().with(usage.layer());
    tracing::subscriber::with_default(subscriber, || {
        // The kind of another contract is not a record here, and dropped.
        tracing::event!(name: vllm::REPORT, target: "otel_usage", tracing::Level::INFO, { n = 1 });
        tracing::event!(name: lmcache::ENGINE, target: "otel_usage", tracing::Level::INFO, { n = 1 });
        tracing::event!(name: "third.report", target: "otel_usage", tracing::Level::INFO, { n = 1 });
    });
    for message in contract.messages.iter() {
        if message.trigger == Trigger::Record {
            usage.start(Attributes::of(message.record.clone()).with("third.layers", 32));
        }
    }
    usage.heartbeat(Attributes::of("third.heartbeat").with("third.layers", 32));
    // With no server to answer there is nothing to wait for once the file is written; an engine
    // that is off has nothing to wait for at all, and must be told so.
    let flushed = usage.flush(if usage.is_enabled() { WAIT } else { Duration::MAX });
    assert!(usage.is_enabled() || flushed == Flush::Durable, "off, and yet something waits");
    let _ = usage.stats();
    usage.withdraw();
    usage.finish();
    usage.finish_detached();
}

/// The exporter in a provider of the engine's own making.
fn stock_provider(contract: &Contract, consent: Option<Consent>) -> Result<(), Error> {
    let exporter = builder(contract, consent).exporter()?;
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter).build();
    for message in contract.messages.iter() {
        provider.tracer("engine").start(message.record.clone()).end();
    }
    let _ = (provider.force_flush(), provider.shutdown());
    Ok(())
}
