//! Makes every call to the library that an engine makes, in the usual order.
//!
//! Every destination is a closed port on loopback, so that a run that is not off reaches no server
//! either.

use std::borrow::Cow;
use std::time::Duration;

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use otel_usage::export::ExporterName;
use otel_usage::schema::Decision;
use otel_usage::schema::{Directory, Field, MessageSpec, OffWhen, Trigger, Type, lmcache, vllm};
use otel_usage::{Accelerators, Attributes, Builder, Consent, Contract, Error, Flush, Usage};
use tracing_subscriber::prelude::*;

/// The discard port, where no server listens.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Longest wait for a local file. There is no wait for a server, because none exists.
const WAIT: Duration = Duration::from_secs(120);

/// Returns the contract with this id, with its usage server replaced by [`NOWHERE`].
pub(crate) fn contract(id: &str) -> Option<Contract> {
    let mut contract = match id {
        "own" => own(),
        _ => Contract::built_in().into_iter().find(|contract| contract.id == id)?.clone(),
    };
    contract.server = Some(Cow::Borrowed(NOWHERE));
    Some(contract)
}

/// Returns the contract of a third engine that the library does not know, with its own directory and a
/// switch of each form.
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

/// Plays a whole run. If collection is off, it also tries every other entry point of the library.
pub(crate) fn run(contract: &Contract, consent: Option<Consent>) -> Result<Decision, Error> {
    let usage = builder(contract, consent).try_init()?;
    let decision = usage.decision().clone();
    live(&usage, contract);
    drop(usage);
    if decision.consent == Consent::Off {
        drop(builder(contract, consent).try_init()?);
        stock_provider(contract, consent)?;
        let asked = builder(contract, consent);
        let _ = asked.inspect()?;
        drop(asked);
        // This entry point has no builder that could switch collection off.
        if consent.is_none() {
            live(&Usage::builder(contract).init(), contract);
        }
    }
    Ok(decision)
}

/// Reports once to the server `url`, and lives until standard input ends. The answers to the engine go to standard
/// output.
pub(crate) fn stay(contract: &Contract, url: &str) -> Result<(), Error> {
    #[expect(clippy::print_stdout, reason = "the answer of this program")]
    let usage = Usage::builder(contract)
        .with_exporters([ExporterName::Server])
        .with_server(url)
        .on_notice(|level, text| println!("{level} {}", text.replace('\n', "\n     ")))
        .try_init()?;
    for message in contract.messages.iter().filter(|one| one.trigger == Trigger::Record) {
        usage.record(Attributes::new(message.record.clone()).with("third.layers", 32));
    }
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    Ok(())
}

fn builder(contract: &Contract, consent: Option<Consent>) -> Builder {
    let builder = Usage::builder(contract)
        .with_sample_data()
        .with_version("1.2.3")
        .with_accelerators(Accelerators::new(8, "NVIDIA H100 80GB HBM3", 85_029_158_912))
        .with_exporters([ExporterName::Server, ExporterName::Otlp, ExporterName::File])
        .with_server(NOWHERE)
        .with_otlp_endpoint(NOWHERE);
    match consent {
        Some(consent) => builder.with_consent(consent),
        None => builder,
    }
}

/// Plays the life of an engine, from its first record to its end.
fn live(usage: &Usage, contract: &Contract) {
    let subscriber = tracing_subscriber::registry().with(usage.layer());
    tracing::subscriber::with_default(subscriber, || {
        // A record with the kind of another contract is dropped.
        tracing::event!(name: vllm::REPORT, target: "otel_usage", tracing::Level::INFO, { n = 1 });
        tracing::event!(name: lmcache::ENGINE, target: "otel_usage", tracing::Level::INFO, { n = 1 });
        tracing::event!(name: "third.report", target: "otel_usage", tracing::Level::INFO, { n = 1 });
    });
    for message in contract.messages.iter() {
        if message.trigger == Trigger::Record {
            usage.record(Attributes::new(message.record.clone()).with("third.layers", 32));
        }
    }
    usage.set_heartbeat(Attributes::new("third.heartbeat").with("third.layers", 32));
    // Once the file is written there is nothing to wait for, because no server answers. An engine that
    // is off waits for nothing, and `flush` must return at once.
    let flushed = usage.flush(if usage.is_enabled() { WAIT } else { Duration::MAX });
    assert!(usage.is_enabled() || flushed == Flush::Settled, "off, and yet something waits");
    let _ = usage.stats();
    usage.withdraw();
    usage.finish();
    usage.finish_detached();
}

/// Uses the span exporter in a provider of the engine's own.
fn stock_provider(contract: &Contract, consent: Option<Consent>) -> Result<(), Error> {
    let exporter = builder(contract, consent).span_exporter()?;
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter).build();
    for message in contract.messages.iter() {
        provider.tracer("engine").start(message.record.clone()).end();
    }
    let _ = (provider.force_flush(), provider.shutdown());
    Ok(())
}
