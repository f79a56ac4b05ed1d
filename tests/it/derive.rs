//! Checks records of the derive macro: the same tables and bytes as a built-in contract's, without private
//! fields.

use otel_usage::clock::Clock;
use otel_usage::schema::{
    Contract, DescribedRecord, Field, Literal, MessageSpec, Privacy, Sanitizer, Trigger, Type,
    lmcache, resource,
};
use otel_usage::{Attributes, UsageRecord};
use otel_usage_testing::Operator;
use otel_usage_testing::sample;

use crate::receiver::Receiver;

/// LMCache's engine, declared as an engine author would.
#[derive(UsageRecord)]
#[usage(record = "lmcache.engine")]
struct Engine {
    /// Tokens in one chunk.
    #[usage(
        sent = "lmcache.chunk_size",
        wire = "chunksize",
        unit = "{token}",
        absent = 0,
        example = 256
    )]
    chunk_size: i64,
    /// `cpu` when CPU caching is on, else the accelerator type (`cuda`, `xpu`, ...).
    #[usage(sent = "lmcache.local_device", free_text, absent = "", example = "cpu")]
    local_device: String,
    /// Configured CPU cache in GB, truncated.
    #[usage(sent = "lmcache.local_cache.max_gb", unit = "GBy", absent = 0, example = 20)]
    max_local_cache_size: i64,
    /// Remote backend. Only the URL's scheme leaves.
    #[usage(sent = "lmcache.remote.url", sanitize(scheme_only), example = "redis://")]
    remote_url: Option<String>,
    /// Serializer of the remote backend.
    #[usage(sent = "lmcache.remote.serde", free_text, example = "naive")]
    remote_serde: Option<String>,
    /// Whether the cache of decoded tokens is kept.
    #[usage(sent = "lmcache.save_decode_cache", absent = false, example = false)]
    save_decode_cache: bool,
    /// Whether blending is on.
    #[usage(sent = "lmcache.blending.enabled", absent = false, example = false)]
    enable_blending: bool,
    /// Least tokens to blend.
    #[usage(sent = "lmcache.blending.min_tokens", unit = "{token}", absent = 0, example = 256)]
    blend_min_tokens: i64,
    /// The model. A path on this machine becomes `<local>`.
    #[usage(
        sent = "lmcache.model.name",
        sanitize(path_or_repo_id, cap_len(256)),
        absent = "",
        example = "meta-llama/Llama-3.1-8B-Instruct"
    )]
    model_name: String,
    /// Ranks.
    #[usage(sent = "lmcache.world_size", unit = "{rank}", absent = 0, example = 1)]
    world_size: i64,
    /// This rank.
    #[usage(sent = "lmcache.worker_id", absent = 0, example = 0)]
    worker_id: i64,
    /// KV data type, `torch.<name>`.
    #[usage(sent = "lmcache.kv.dtype", free_text, absent = "", example = "torch.bfloat16")]
    kv_dtype: String,
    /// Layers, K/V planes, tokens of a chunk, KV heads, head size.
    #[usage(sent = "lmcache.kv.shape", absent = [], example = [32, 2, 256, 8, 128])]
    kv_shape: Vec<i64>,
    /// Is never in a payload.
    #[usage(private)]
    password: String,
}

/// Returns the same engine with paths and secrets in fields that must not reveal them.
fn engines() -> (Engine, lmcache::Engine) {
    let built_in = lmcache::Engine {
        remote_url: Some("redis://user:secret@cache.internal:6379".to_owned()),
        model_name: "/home/someone/models/private".to_owned(),
        local_device: "x".repeat(1000),
        ..sample::lmcache_engine()
    };
    let from = built_in.clone();
    let derived = Engine {
        chunk_size: from.chunk_size,
        local_device: from.local_device,
        max_local_cache_size: from.max_local_cache_size,
        remote_url: from.remote_url,
        remote_serde: from.remote_serde,
        save_decode_cache: from.save_decode_cache,
        enable_blending: from.enable_blending,
        blend_min_tokens: from.blend_min_tokens,
        model_name: from.model_name,
        world_size: from.world_size,
        worker_id: from.worker_id,
        kv_dtype: from.kv_dtype,
        kv_shape: from.kv_shape,
        password: "hunter2-never-leaves".to_owned(),
    };
    (derived, built_in)
}

#[test]
fn the_macro_makes_the_same_table_for_lmcaches_record() {
    assert_eq!(Engine::KIND, lmcache::Engine::KIND);
    assert_eq!(Engine::FIELDS, lmcache::Engine::FIELDS);
}

#[test]
fn the_macro_makes_the_same_bytes_for_lmcaches_record() {
    let posted = |contract: Contract, record: Attributes| {
        let server = Receiver::start();
        let operator = Operator::new().with("LMCACHE_USAGE_TRACK_URL", server.url());
        let usage = operator
            .engine(&contract)
            .with_clock(Clock::fixed(1_787_206_513_123_456_000))
            .with_instance_id("b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10")
            .try_init()
            .unwrap();
        usage.record(record);
        let request = server.take_of_any_contract(1).remove(0);
        (request.path.clone(), request.text())
    };
    let contract = |message: MessageSpec| {
        Contract::new("lmcache/derived", "lmcache")
            .with_server_variable("LMCACHE_USAGE_TRACK_URL")
            .with_message(message.at("context").with_header(resource::FIELDS))
    };
    let (derived, built_in) = engines();
    let derived = posted(
        contract(MessageSpec::from_record::<Engine>("EngineMessage")),
        Attributes::from_record(derived),
    );
    let built_in = posted(
        contract(MessageSpec::from_record::<lmcache::Engine>("EngineMessage")),
        Attributes::from_record(built_in),
    );
    assert_eq!(derived, built_in);
    let (path, body) = derived;
    assert_eq!(path, "/context");
    assert!(body.contains("\"remote_url\": \"redis://\""), "{body}");
    assert!(body.contains("\"model_name\": \"<local>\""), "{body}");
    for secret in ["secret", "someone", "password", &engines().0.password] {
        assert!(!body.contains(secret), "{secret} in {body}");
    }
}

/// A record with every option that the engine above does not use.
#[derive(UsageRecord)]
#[usage(record = "my_engine.report")]
struct Everything {
    /// Which run
    /// it is.
    ///
    /// A second paragraph says all else that there is to know.
    #[usage(sent = "my_engine.run", sanitize(uuid), privacy = identity, since = "1.2")]
    run: &'static str,
    /// Where it runs.
    #[usage(sent = "my_engine.device", sanitize(choice("cuda", "xpu")), privacy = machine, left_out)]
    device: Option<String>,
    /// Bytes moved.
    #[usage(sent = "my_engine.moved", sanitize(round_significant(2)), privacy = workload, absent = -1)]
    moved: Option<u64>,
    /// Adapters.
    #[usage(sent = "my_engine.adapters", free_text, sanitize(cap_len(4)), example = ["fs", "nixl"])]
    adapters: Vec<String>,
    /// A word of Rust's.
    #[usage(sent = "my_engine.type", privacy = configuration, absent = 0.5, example = null)]
    r#type: f32,
}

#[test]
fn every_option_of_the_macro_changes_the_field() {
    let [run, device, moved, adapters, word] = Everything::FIELDS else { panic!("five rows") };
    assert_eq!((run.doc.as_ref(), run.since.as_ref()), ("Which run it is.", "1.2"));
    assert_eq!(run.privacy, Privacy::Identity);
    assert_eq!(run.sanitize.as_ref(), [Sanitizer::Uuid]);
    assert_eq!((device.privacy, device.optional), (Privacy::Machine, true));
    assert_eq!(device.sanitize[0].to_string(), "choice(cuda, xpu)");
    assert_eq!((moved.privacy, &moved.absent), (Privacy::Workload, &Literal::Int(-1)));
    assert_eq!(moved.sanitize.as_ref(), [Sanitizer::RoundSignificant(2)]);
    assert_eq!(adapters.sanitize.as_ref(), [Sanitizer::CapLen(4)]);
    let words = Literal::Strs(vec!["fs".into(), "nixl".into()].into());
    assert_eq!(adapters.example, words);
    assert_eq!((word.name.as_ref(), &word.absent), ("type", &Literal::Float(0.5)));
}

#[test]
fn an_own_contract_is_the_same_after_a_round_trip_through_its_file() {
    let message = MessageSpec::from_record::<Everything>("report").with_header(resource::FIELDS);
    let contract = Contract::new("my_engine/1", "my_engine").with_message(message);
    assert_eq!(Contract::from_json(&contract.to_json()).unwrap(), contract);

    /// An attribute of the exporter's own.
    #[derive(UsageRecord)]
    #[usage(record = "my_engine.report")]
    struct Reserved {
        /// The contract.
        #[usage(sent = "otel_usage.contract", free_text)]
        contract: String,
    }
    let contract = Contract::new("my_engine/1", "my_engine")
        .with_message(MessageSpec::from_record::<Reserved>("report"));
    let mistake = Operator::new().engine(&contract).try_init().unwrap_err().to_string();
    assert!(mistake.contains("`contract`"), "{mistake}");
    let _ = Reserved { contract: String::new() };
}

#[test]
fn an_own_contract_sends_counts_at_intervals() {
    let tokens = Field::record("tokens", Type::Int, "my_engine.tokens", "Tokens made.")
        .in_unit("{token}")
        .when_absent(Literal::Int(0))
        .counted();
    let interval =
        MessageSpec::new("usage", "my_engine.usage", Trigger::every(600, "my_engine.report"));
    let contract = Contract::new("my_engine/1", "my_engine")
        .with_server_variable("MY_ENGINE_USAGE_SERVER")
        .with_message(MessageSpec::from_record::<Everything>("report").at("v1/report"))
        .with_message(interval.at("v1/usage"))
        .with_field("usage", tokens);
    let server = Receiver::start();
    let operator = Operator::new().with("MY_ENGINE_USAGE_SERVER", server.url());
    let usage = operator.engine(&contract).try_init().unwrap();
    usage.record(Everything {
        run: "not a uuid",
        device: None,
        moved: None,
        adapters: vec!["nixl_store".to_owned()],
        r#type: 0.9,
    });
    let report = server.take_of_any_contract(1).remove(0);
    assert_eq!(report.path, "/v1/report");
    assert_eq!(report.text(), r#"{"run": "", "moved": -1, "adapters": ["nixl"], "type": 0.9}"#);
    let counter = usage.counter("my_engine.tokens");
    counter.add(500);
    counter.add(12);
    // The end sends the open interval.
    usage.finish();
    let counts = server.take_of_any_contract(1).remove(0);
    assert_eq!((counts.path.as_str(), counts.text().as_str()), ("/v1/usage", r#"{"tokens": 512}"#));
}

#[test]
fn an_extended_contract_sends_attributes_added_to_a_typed_record() {
    let field =
        Field::record("num_lora", Type::Int, "lmcache.lora", "LoRA adapters loaded at start.");
    let contract = lmcache::V1.clone().with_field("EngineMessage", field);
    let record = Attributes::from_record(sample::lmcache_engine()).with("lmcache.lora", 2_u64);
    let reports = Operator::new().engine(&contract).inspect().unwrap().preview(record);
    let bodies: Vec<String> =
        reports.iter().filter_map(|report| Some(report.message()?.to_json())).collect();
    let body = bodies.iter().find(|body| body.contains("EngineMessage")).unwrap();
    assert!(body.ends_with("\"num_lora\": 2}"), "{body}");
}
