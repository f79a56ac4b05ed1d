//! Checks that no exporter, log or error holds a secret. `process` does so for those of the operator, and for a whole
//! process.
//!
//! A secret stands in every place outside the contract and in every field and attribute whose
//! sanitizers do more than limit the length. Without the sanitizers of one field its secret must come
//! through, which proves that the test looks at the right places.

mod process;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use otel_usage::export::ExporterName;
use otel_usage::schema::sanitize::Sanitizer;
use otel_usage::schema::{RESOURCE_ATTRIBUTES, lmcache, transport};
use otel_usage::{Builder, Contract, Usage};
use otel_usage_testing::world::everything;
use otel_usage_testing::{Collected, Operator, decode, export};
use tracing::Subscriber;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// A password, two tokens, a mail address, a host, a home and two addresses.
const SECRETS: [&str; 8] = [
    "hunter2-Zx81pw",
    "hf_QhKzPRtWvXyBnMLsAeUo",
    "sk-proj-9aF3kLmQ2rTzXw81",
    "alice.secret@corp.example",
    "gpu-node-17.corp.example",
    "/home/alice-secret/models",
    "203.0.113.77",
    "2001:db8::dead:beef:77",
];

const INSTANCE: &str = "service.instance.id";

/// Returns typical texts with `secret` from which this sanitizer has to remove it.
fn carriers(step: &Sanitizer, secret: &str) -> Vec<String> {
    match step {
        Sanitizer::CapLen(_) | Sanitizer::RoundSignificant(_) => Vec::new(),
        Sanitizer::Choice(_) | Sanitizer::Uuid => vec![secret.to_owned()],
        // A secret in the form of a model's name cannot be recognised. In a path or URL it can.
        Sanitizer::PathOrRepoId => vec![format!("/mnt/{secret}/x"), format!("s3://k:{secret}@b/m")],
        Sanitizer::SchemeOnly => vec![secret.to_owned(), format!("redis://u:{secret}@h:1/{secret}")],
        Sanitizer::VllmSettings => vec![
            secret.to_owned(),
            serde_json::json!({ "VLLM_PP_LAYER_PARTITION": secret, "HF_TOKEN": secret, secret: true })
                .to_string(),
        ],
        other => panic!("no secret is planted for the sanitizer {other}"),
    }
}

/// Returns the texts for a field or attribute with these sanitizers. Empty for free text and other types.
fn planted(steps: &[Sanitizer], secret: &str) -> Vec<String> {
    steps.iter().flat_map(|step| carriers(step, secret)).collect()
}

fn contracts() -> Vec<Contract> {
    Contract::built_in().into_iter().cloned().chain([everything()]).collect()
}

/// Returns a span of `kind` with the secret in every place, and text number `round` in every sanitized
/// field.
fn span(contract: &Contract, kind: &str, secret: &str, round: usize) -> SpanData {
    let spec = contract.messages.iter().find(|spec| spec.record == kind);
    let fields = spec.into_iter().flat_map(|spec| spec.fields.iter());
    let own = fields.filter_map(|field| {
        let texts = planted(&field.sanitize, secret);
        let text = texts.get(round % texts.len().max(1))?.clone();
        let list = field.ty == otel_usage::schema::Type::Strs;
        let text = if list { format!("[{text:?}]") } else { text };
        Some(KeyValue::new(field.source.record()?.to_owned(), text))
    });
    let secrets = || vec![KeyValue::new(secret.to_owned(), secret.to_owned())];
    let state = TraceState::from_key_value([("vendor", secret)]).unwrap();
    let context = SpanContext::new(
        TraceId::from_bytes([1; 16]),
        SpanId::from_bytes([1; 8]),
        TraceFlags::SAMPLED,
        true,
        state,
    );
    let time = UNIX_EPOCH + Duration::from_secs(1);
    let mut events = SpanEvents::default();
    events.events.push(Event::new(secret.to_owned(), time, secrets(), 0));
    events.events.push(Event::new(kind.to_owned(), time, secrets(), 0));
    let mut links = SpanLinks::default();
    links.links.push(Link::new(context.clone(), secrets(), 0));
    SpanData {
        span_context: context,
        parent_span_id: SpanId::from_bytes([2; 8]),
        parent_span_is_remote: true,
        span_kind: SpanKind::Server,
        name: kind.to_owned().into(),
        start_time: time,
        end_time: time,
        attributes: own
            .chain(secrets())
            .chain([
                KeyValue::new(transport::RECORD_ID, secret.to_owned()),
                KeyValue::new(transport::RECORD_KIND, secret.to_owned()),
                KeyValue::new("db.url", format!("redis://u:{secret}@h")),
            ])
            .collect(),
        dropped_attributes_count: 0,
        events,
        links,
        status: Status::error(secret.to_owned()),
        instrumentation_scope: InstrumentationScope::builder(secret.to_owned())
            .with_version(secret.to_owned())
            .with_attributes(secrets())
            .build(),
    }
}

/// Returns `engine` with the secret in every Resource attribute that `contract` sanitizes, and in others.
fn told(contract: &Contract, engine: Builder, secret: &str) -> Builder {
    let mut engine = engine.with_instance_id(secret).with_attribute(secret, secret.to_owned());
    for attribute in RESOURCE_ATTRIBUTES.iter().chain(contract.attributes.iter()) {
        if let Some(text) = planted(&attribute.sanitize, secret).pop()
            && attribute.name != INSTANCE
        {
            engine = engine.with_attribute(attribute.name.to_string(), text);
        }
    }
    engine
}

fn run(contract: &Contract, engine: Builder, secret: &str, round: usize) -> String {
    let mut exporter = engine.span_exporter().unwrap();
    let stock = ["service.name", "host.name", "k8s.pod.name", INSTANCE, secret];
    let stock = stock.map(|name| KeyValue::new(name.to_owned(), secret.to_owned()));
    exporter.set_resource(&Resource::builder_empty().with_attributes(stock).build());
    let kinds = contract.messages.iter().map(|spec| spec.record.as_ref());
    let mut spans: Vec<_> =
        kinds.chain([secret, "run"]).map(|kind| span(contract, kind, secret, round)).collect();
    let mut foreign = span(contract, &contract.messages[0].record, secret, round);
    foreign.attributes.push(KeyValue::new(transport::CONTRACT, secret.to_owned()));
    spans.push(foreign);
    export(&exporter, spans);
    let flushed = exporter.force_flush();
    format!("{flushed:?} {:?} {exporter:?}", exporter.stats())
}

/// Returns all output of a run in this thread: the bytes of every exporter, the logs at every level, the
/// notice, the warnings and the statistics.
fn everything_of(contract: &Contract, secret: &str, round: usize, engine: Builder) -> String {
    let (collected, ear) = (Collected::default(), Ear::default());
    let said = Arc::clone(&ear.0);
    let engine = engine
        .with_exporter(collected.clone())
        .on_notice(move |level, text| said.lock().unwrap().push(format!("{level} {text}")));
    let log = tracing_subscriber::registry().with(ear.clone());
    let mut out = tracing::subscriber::with_default(log, || run(contract, engine, secret, round));
    let records = collected.drain();
    assert!(records.len() >= contract.messages.len(), "{}", records.len());
    for (form, name, bytes) in records.iter().flat_map(decode::forms) {
        let _ = writeln!(out, "{form} {name} {}", String::from_utf8_lossy(&bytes));
    }
    let logs = ear.0.lock().unwrap().join("\n");
    assert!(logs.contains("undeclared_attribute") && logs.contains("foreign_contract"), "{logs}");
    out + &logs
}

fn operator() -> Operator {
    Operator::new().with("OTEL_USAGE_EXPORTERS", "none")
}

#[test]
fn no_exporter_sends_a_planted_secret() {
    for contract in &contracts() {
        for (secret, round) in SECRETS.iter().flat_map(|secret| [(secret, 0), (secret, 1)]) {
            let operator = operator();
            let engine = told(contract, operator.engine(contract), secret);
            let out = everything_of(contract, secret, round, engine);
            let place = out.find(secret).map(|at| out.get(at.saturating_sub(200)..at));
            assert_eq!(place, None, "{secret} of {}", contract.id);
        }
    }
}

#[test]
fn without_its_sanitizers_a_field_sends_the_secret() {
    let mut tried = Vec::new();
    for contract in &contracts() {
        for secret in SECRETS {
            for (open, name) in each_opened(contract, secret) {
                for round in 0..2 {
                    let operator = operator();
                    let engine = told(contract, operator.engine(&open), secret);
                    let out = everything_of(contract, secret, round, engine);
                    assert!(out.contains(secret), "{} {name}: {secret}", contract.id);
                }
                tried.push(name);
            }
        }
    }
    assert!(tried.len() >= 15 * SECRETS.len(), "{tried:?}");
    // This test cannot change the shared table of these attributes. So it puts their texts into a free text,
    // where they must come through.
    for attribute in RESOURCE_ATTRIBUTES.iter() {
        for text in planted(&attribute.sanitize, SECRETS[0]) {
            let operator = operator();
            let open = operator.engine(&lmcache::V1).with_version(text);
            assert!(everything_of(&lmcache::V1, SECRETS[1], 0, open).contains(SECRETS[0]));
        }
    }
}

/// Returns one variant of `contract` for each of its sanitized fields and attributes, without the sanitizers
/// of that one.
fn each_opened(contract: &Contract, secret: &str) -> Vec<(Contract, String)> {
    let mut all = Vec::new();
    let has_secret = |steps: &[Sanitizer]| !planted(steps, secret).is_empty();
    for (place, spec) in contract.messages.iter().enumerate() {
        for (row, field) in spec.fields.iter().enumerate().filter(|(_, f)| has_secret(&f.sanitize))
        {
            let mut open = contract.clone();
            open.messages.to_mut()[place].fields.to_mut()[row].sanitize = Cow::Borrowed(&[]);
            all.push((open, field.name.to_string()));
        }
    }
    for (place, attribute) in contract.attributes.iter().enumerate() {
        if has_secret(&attribute.sanitize) {
            let mut open = contract.clone();
            open.attributes.to_mut()[place].sanitize = Cow::Borrowed(&[]);
            all.push((open, attribute.name.to_string()));
        }
    }
    all
}

/// Remembers a tracing event as one line.
#[derive(Debug, Clone, Default)]
struct Ear(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = format!("{:?} ", event.metadata());
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            let _ = write!(line, " {field}={value:?}");
        });
        self.0.lock().unwrap().push(line);
    }
}

#[test]
fn warnings_and_errors_hold_no_secret() {
    for secret in SECRETS {
        let operator = Operator::new();
        let engine = || operator.engine(&lmcache::V1);
        let url = format!("redis://u:{secret}@{secret}/?token={secret}");
        let errors = [
            engine().with_server(&url).try_init().err(),
            engine().with_otlp_endpoint(&url).with_exporters([ExporterName::Otlp]).try_init().err(),
        ];
        for error in errors {
            let error = error.expect("not a URL that can be used");
            assert!(!format!("{error} {error:?}").contains(secret), "{error:?}");
        }
        // Only a destination on another machine needs a proxy, and each scheme has a variable of its own.
        let (plain, tls) = ("http://stats.example", "https://stats.example");
        for (variable, server) in [
            ("LMCACHE_USAGE_TRACK_URL", ""),
            ("OTEL_USAGE_OTLP_ENDPOINT", plain),
            ("OTEL_USAGE_OTLP_HEADERS", plain),
            ("HTTP_PROXY", plain),
            ("HTTPS_PROXY", tls),
        ] {
            let operator = Operator::new()
                .with("OTEL_USAGE_EXPORTERS", "server,otlp")
                .with("OTEL_USAGE_OTLP_ENDPOINT", "http://127.0.0.1:9")
                .with("LMCACHE_USAGE_TRACK_URL", server)
                .with(variable, format!("\u{7f}{url}"));
            let inspection =
                Usage::builder(&lmcache::V1).with_environment(operator.env()).inspect();
            let warnings = inspection.unwrap().settings().warnings.join("\n");
            assert!(warnings.contains(variable), "{variable}: {warnings:?}");
            assert!(!warnings.contains(secret), "{warnings:?}");
        }
    }
}
