//! Random Resources and spans around a contract, with anything that OpenTelemetry's types can hold.
//!
//! Some names are the contract's, others are not. Every value at a place that no contract declares has
//! the [`CANARY`] in it, so that a search of the sent bytes finds what a decoder could overlook.

use std::ops::Range;
use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use otel_usage::Contract;
use otel_usage::schema::sanitize::Sanitizer;
use otel_usage::schema::{
    Attribute, CompiledContract, Field, MessageSpec, RESOURCE_ATTRIBUTES, Trigger, Type, transport,
};
use proptest::prelude::*;
use proptest::sample::Index;

/// Marks every key, name and text that no contract declares.
pub const CANARY: &str = "canary-8c1f";

/// Returns how many cases a property tries: `standard`, or the number that `cargo xtask torture` sets.
pub fn cases(standard: u32) -> u32 {
    let asked = std::env::var("OTEL_USAGE_TEST_CASES").ok();
    asked.map_or(standard, |cases| cases.parse().expect("OTEL_USAGE_TEST_CASES is a number"))
}

/// A contract, compiled once.
#[derive(Debug)]
pub struct World {
    /// As it was declared.
    pub contract: Contract,
    /// As the library reads it.
    pub compiled: CompiledContract,
    resource: Vec<String>,
}

/// The built-in contracts and one with every type and sanitizer.
pub static WORLDS: LazyLock<Vec<World>> = LazyLock::new(|| {
    let contracts = Contract::built_in().into_iter().cloned().chain([everything()]);
    contracts
        .map(|contract| World {
            compiled: CompiledContract::new(&contract).unwrap(),
            resource: RESOURCE_ATTRIBUTES
                .iter()
                .chain(contract.attributes.iter())
                .map(|attribute| attribute.name.to_string())
                .collect(),
            contract,
        })
        .collect()
});

/// Returns the names of the attributes behind a message's fields.
pub fn declared(spec: &MessageSpec) -> Vec<String> {
    spec.fields.iter().filter_map(|field| Some(field.source.record()?.to_owned())).collect()
}

/// Returns a contract with a field of every type and one for every sanitizer, in messages with a heartbeat.
pub fn everything() -> Contract {
    const WORDS: &[std::borrow::Cow<'static, str>] = &[std::borrow::Cow::Borrowed("fast")];
    let doc = "For the tests.";
    let mut contract = Contract::new("world/1", "world")
        .with_attribute(Attribute::new("world.where", Type::Str, doc))
        .with_attribute(
            Attribute::new("world.url", Type::Str, doc).sanitized(&[Sanitizer::SchemeOnly]),
        )
        .with_message(MessageSpec::new("all", "world.all", Trigger::Record).at("all"))
        .with_message(MessageSpec::new("beat", "world.beat", Trigger::Heartbeat { seconds: 600 }));
    for field in [
        Field::resource("where", Type::Str, "world.where", doc),
        Field::record("bool", Type::Bool, "world.bool", doc),
        Field::record("int", Type::Int, "world.int", doc)
            .sanitized(&[Sanitizer::RoundSignificant(2)]),
        Field::record("float", Type::Float, "world.float", doc)
            .sanitized(&[Sanitizer::RoundSignificant(3)]),
        Field::record("text", Type::Str, "world.text", doc).sanitized(&[Sanitizer::CapLen(7)]),
        Field::record("texts", Type::Strs, "world.texts", doc),
        Field::record("ints", Type::Ints, "world.ints", doc),
        Field::record("choice", Type::Str, "world.choice", doc)
            .sanitized(&[Sanitizer::Choice(std::borrow::Cow::Borrowed(WORDS))]),
        Field::record("model", Type::Str, "world.model", doc)
            .sanitized(&[Sanitizer::PathOrRepoId, Sanitizer::CapLen(256)]),
        Field::record("url", Type::Str, "world.url.own", doc).sanitized(&[Sanitizer::SchemeOnly]),
        Field::record("urls", Type::Strs, "world.urls", doc).sanitized(&[Sanitizer::SchemeOnly]),
        Field::record("id", Type::Str, "world.id", doc).sanitized(&[Sanitizer::Uuid]),
        Field::record("settings", Type::Str, "world.settings", doc)
            .sanitized(&[Sanitizer::VllmSettings, Sanitizer::CapLen(1024)]),
        Field::record("maybe", Type::Str, "world.maybe", doc).left_out_when_absent(),
    ] {
        contract = contract.with_field("all", field);
    }
    contract.with_field("beat", Field::record("load", Type::Int, "world.load", doc))
}

/// A Resource and a span that a test puts into the library.
#[derive(Debug, Clone)]
pub struct Scene {
    /// An index into [`WORLDS`].
    pub world: usize,
    /// The attributes of the Resource.
    pub resource: Vec<KeyValue>,
    /// The record.
    pub span: SpanData,
}

impl Scene {
    /// Returns the contract around which it is made.
    pub fn world(&self) -> &'static World {
        &WORLDS[self.world]
    }
}

/// A name that is chosen before its place is known.
#[derive(Debug, Clone)]
enum Name {
    /// Of the message or Resource at this place.
    Declared(Index),
    /// Of the contract's Resource, at any place.
    Resource(Index),
    /// An attribute that only the exporter may set.
    Transport(&'static str),
    Foreign(String),
}

type Items = Vec<(Name, Value)>;
type Happening = (Index, bool, Items);

fn name() -> impl Strategy<Value = Name> {
    prop_oneof![
        12 => any::<Index>().prop_map(Name::Declared),
        2 => any::<Index>().prop_map(Name::Resource),
        1 => prop::sample::select(transport::names().skip(1).collect::<Vec<_>>())
            .prop_map(Name::Transport),
        4 => text().prop_map(Name::Foreign),
    ]
}

/// Makes text: plain, odd, and rarely a megabyte.
pub fn text() -> impl Strategy<Value = String> {
    const ODD: &[&str] = &[
        "",
        "null",
        "true",
        "-12",
        "1e400",
        "NaN",
        "[1, 2]",
        r#"["a", "b"]"#,
        "a\nkey: b\r\n",
        "\0",
        "\u{202e}gnp.exe",
        "\u{2028}",
        "😀",
        "ﷺ",
        r#"","extra": "x"#,
        r"\",
        "%s{}",
        "redis://u:p@h:1/0",
        "/home/alice/model",
        "meta-llama/Llama-3.1-8B",
        "fast",
        "F4B6A2C8-9D17-4E57-8A0B-6C1D2E3F4A5B",
        r#"{"VLLM_USE_TRITON_AWQ": true, "HF_TOKEN": "x"}"#,
    ];
    prop_oneof![
        300 => prop::sample::select(ODD).prop_map(str::to_owned),
        200 => of(prop::char::range(' ', '~'), 0..12),
        200 => of(any::<char>(), 0..12),
        20 => (of(any::<char>(), 1..5), 1..400_usize).prop_map(|(text, times)| text.repeat(times)),
        1 => of(any::<char>(), 1..5).prop_map(|text| text.repeat(1_048_576 / text.len())),
    ]
}

/// Makes short text. A regular expression would be parsed anew for each text.
fn of(letter: impl Strategy<Value = char>, length: Range<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(letter, length).prop_map(String::from_iter)
}

/// Makes a value of any type.
pub fn value() -> impl Strategy<Value = Value> {
    let numbers = || prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -9..9_i64];
    let words = prop::collection::vec(text().prop_map(StringValue::from), 0..4);
    prop_oneof![
        2 => any::<bool>().prop_map(Value::Bool),
        4 => numbers().prop_map(Value::I64),
        3 => any::<f64>().prop_map(Value::F64),
        6 => text().prop_map(|text| Value::String(text.into())),
        1 => prop::collection::vec(any::<bool>(), 0..4).prop_map(|all| Value::Array(all.into())),
        3 => prop::collection::vec(numbers(), 0..4).prop_map(|all| Value::Array(all.into())),
        // A list longer than any that may leave.
        1 => Just(Value::Array(vec![7_i64; 80].into())),
        1 => prop::collection::vec(any::<f64>(), 0..4).prop_map(|all| Value::Array(all.into())),
        2 => words.prop_map(|all| Value::Array(all.into())),
    ]
}

fn items(most: usize) -> impl Strategy<Value = Items> {
    prop::collection::vec((name(), value()), 0..most)
}

/// Makes the attributes at a place that declares `own`.
fn attributes(items: Items, own: &[String], resource: &[String]) -> Vec<KeyValue> {
    let named = items.into_iter().map(|(name, value)| {
        let name = match name {
            Name::Declared(index) if !own.is_empty() => index.get(own).clone(),
            Name::Declared(_) => CANARY.to_owned(),
            Name::Resource(index) => index.get(resource).clone(),
            Name::Transport(name) => name.to_owned(),
            Name::Foreign(text) => format!("{text}{CANARY}"),
        };
        let value = if own.contains(&name) { value } else { tainted(value) };
        KeyValue::new(name, value)
    });
    named.collect()
}

fn tainted(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(format!("{CANARY}{text}").into()),
        Value::Array(Array::String(mut words)) => {
            words.push(CANARY.into());
            Value::Array(words.into())
        }
        value => value,
    }
}

/// Makes a record with a kind of the contract, or with a similar unknown kind.
fn happening(world: &World, (kind, known, items): Happening) -> (String, Vec<KeyValue>) {
    let spec = kind.get(&world.contract.messages);
    let own = if known { declared(spec) } else { Vec::new() };
    let name = if known { spec.record.to_string() } else { format!("{}{CANARY}", spec.record) };
    (name, attributes(items, &own, &world.resource))
}

/// Makes a Resource and a span.
pub fn scene() -> impl Strategy<Value = Scene> {
    let any_happening = |most| (any::<Index>(), prop::bool::weighted(0.9), items(most));
    let context = (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<u8>(), any::<bool>());
    (
        0..WORLDS.len(),
        items(10),
        any_happening(18),
        prop::collection::vec(any_happening(5), 0..3),
        prop::collection::vec(items(3), 0..3),
        (context, 0..3_u8, 0..5_u8, any::<u32>(), any::<u64>()),
        prop::bool::weighted(0.02),
    )
        .prop_map(|(world, resource, record, events, links, odds, foreign)| {
            let here = &WORLDS[world];
            let ((trace, span, flags, remote), status, kind, dropped, nanos) = odds;
            let state = TraceState::from_key_value([("vendor", CANARY)]).unwrap();
            let context = SpanContext::new(
                TraceId::from_bytes(trace),
                SpanId::from_bytes(span),
                TraceFlags::new(flags),
                remote,
                state,
            );
            let (name, mut own) = happening(here, record);
            if foreign {
                own.push(KeyValue::new(transport::CONTRACT, CANARY));
            }
            let time = UNIX_EPOCH + Duration::from_nanos(nanos);
            let mut all = SpanEvents::default();
            all.events.extend(events.into_iter().map(|event| {
                let (name, own) = happening(here, event);
                Event::new(name, time, own, dropped)
            }));
            all.dropped_count = dropped;
            let mut joined = SpanLinks::default();
            joined.links.extend(links.into_iter().map(|items| {
                Link::new(context.clone(), attributes(items, &[], &here.resource), dropped)
            }));
            let span = SpanData {
                span_context: context,
                parent_span_id: SpanId::from_bytes(span),
                parent_span_is_remote: remote,
                span_kind: [
                    SpanKind::Client,
                    SpanKind::Server,
                    SpanKind::Producer,
                    SpanKind::Consumer,
                    SpanKind::Internal,
                ][usize::from(kind)]
                .clone(),
                name: name.into(),
                start_time: time,
                end_time: time + Duration::from_nanos(1),
                attributes: own,
                dropped_attributes_count: dropped,
                events: all,
                links: joined,
                status: [Status::Unset, Status::Ok, Status::error(CANARY)][usize::from(status)]
                    .clone(),
                instrumentation_scope: InstrumentationScope::builder(CANARY)
                    .with_version(CANARY)
                    .with_schema_url(CANARY)
                    .with_attributes([KeyValue::new(CANARY, CANARY)])
                    .build(),
            };
            let resource = attributes(resource, &here.resource, &here.resource);
            Scene { world, resource, span }
        })
}
