//! The messages of a fleet: golden ones, which the engines fill in.

use std::net::IpAddr;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::choices::{
    ACCELERATORS, ARCHITECTURES, CONTEXTS, DTYPES, MODELS, PARALLEL, PROVIDERS, QUANTIZED, SOURCES,
    version,
};
use super::{Engine, Kind, Sent};
use crate::random::Random;

/// A golden message, which the engines fill in. It is read once.
macro_rules! golden {
    ($name:literal) => {{
        static READ: LazyLock<Map<String, Value>> = LazyLock::new(|| {
            let text = include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../tests/golden/",
                $name,
                ".json"
            ));
            serde_json::from_str(text).expect("a golden message is an object")
        });
        READ.clone()
    }};
}

/// The start report of an engine that does not exist.
pub(super) fn made_up(id: &str, from: IpAddr, now: i64) -> Sent {
    let mut report = golden!("vllm-current");
    set(&mut report, "uuid", id);
    set(&mut report, "gpu_type", "Made-up 9000");
    set(&mut report, "vllm_version", "9.9.9");
    vllm("report", from, report, now)
}

/// The start report of vLLM.
pub(super) fn report(random: &mut Random, engine: &Engine, now: i64, day: i64) -> Sent {
    let mut report = golden!("vllm-current");
    set(&mut report, "uuid", engine.id.as_str());
    set(&mut report, "vllm_version", version(random, day));
    let (name, memory) =
        random.weighted(ACCELERATORS.map(|(weight, name, memory)| (weight, (name, memory))));
    let tensor = random.weighted(PARALLEL);
    set(&mut report, "gpu_type", name);
    set(&mut report, "gpu_memory_per_device", memory * 1_063_004_405);
    set(&mut report, "gpu_count", tensor.max(random.weighted(PARALLEL)));
    set(&mut report, "tensor_parallel_size", tensor);
    set(&mut report, "data_parallel_size", if random.share() < 0.06 { 8 } else { 1 });
    set(&mut report, "pipeline_parallel_size", if random.share() < 0.03 { 2 } else { 1 });
    set(&mut report, "model_architecture", random.weighted(ARCHITECTURES));
    set(&mut report, "dtype", random.weighted(DTYPES));
    match random.weighted(QUANTIZED) {
        "" => set(&mut report, "quantization", Value::Null),
        method => set(&mut report, "quantization", method),
    }
    set(&mut report, "provider", random.weighted(PROVIDERS));
    set(&mut report, "context", random.weighted(CONTEXTS));
    set(&mut report, "source", random.weighted(SOURCES));
    vllm("report", engine.from, report, now + engine.wrong)
}

/// A heartbeat of vLLM.
pub(super) fn heartbeat(engine: &Engine, now: i64) -> Sent {
    let nanos = (now + engine.wrong) * 1_000_000;
    let body = format!("{{\"uuid\": \"{}\", \"log_time\": {nanos}}}", engine.id);
    Sent {
        from: engine.from,
        contract: "vllm/current",
        message: "heartbeat",
        body,
        time_nanos: nanos,
    }
}

/// The start messages of LMCache.
pub(super) fn cache_reports(random: &mut Random, engine: &Engine) -> Vec<Sent> {
    let server = engine.kind == Kind::CacheServer;
    let mut env = if server { golden!("lmcache-v1-env-mp") } else { golden!("lmcache-v1-env") };
    set(
        &mut env,
        "gpu_type",
        random.weighted(ACCELERATORS.map(|(weight, name, _)| (weight, name))),
    );
    set(&mut env, "gpu_count", random.weighted(PARALLEL));
    set(&mut env, "provider", random.weighted(PROVIDERS));
    let (message, about) = if server {
        let mut about = golden!("lmcache-v1-mp-server");
        let sizes = [(30.0, 16_u64), (40.0, 64), (20.0, 256), (10.0, 1_024)];
        set(&mut about, "l1_size_bytes", random.weighted(sizes) << 30);
        let adapters = [(50.0, ""), (25.0, "fs"), (15.0, "nixl_store"), (10.0, "fs,nixl_store")];
        set(&mut about, "l2_adapter_types", random.weighted(adapters));
        set(&mut about, "lmcache_version", if random.share() < 0.7 { "0.5.6" } else { "0.4.2" });
        ("MPServerMessage", about)
    } else {
        let mut about = golden!("lmcache-v1-engine");
        set(&mut about, "model_name", random.weighted(MODELS));
        ("EngineMessage", about)
    };
    [("EnvMessage", env), (message, about)].map(|(name, body)| cache(name, engine, body)).into()
}

/// The interval messages of LMCache.
pub(super) fn interval(engine: &Engine, random: &mut Random, now: i64) -> Vec<Sent> {
    let uptime = (now - engine.began) as f64 / 1_000.0;
    let number = |body: &mut Map<String, Value>| {
        set(body, "sequence_number", engine.sequence);
        set(body, "uptime_seconds", uptime);
    };
    let server = engine.kind == Kind::CacheServer;
    let mut usage = if server {
        golden!("lmcache-v1-continuous-context-mp")
    } else {
        golden!("lmcache-v1-continuous-context")
    };
    let stored = random.below(900_000) as i64;
    set(&mut usage, "interval_num_stored_tokens", stored);
    set(
        &mut usage,
        "interval_num_hit_tokens",
        (stored as f64 * (0.3 + 0.7 * random.share())) as i64,
    );
    number(&mut usage);
    let mut sent = vec![cache("ContinuousContextMessage", engine, usage)];
    if server {
        let mut l1 = golden!("lmcache-v1-l1-usage");
        number(&mut l1);
        sent.push(cache("L1UsageMessage", engine, l1));
    } else if engine.sequence % 6 == 0 {
        let mut lives = golden!("lmcache-v1-cache-lifespan");
        number(&mut lives);
        sent.push(cache("CacheLifespanMessage", engine, lives));
    }
    sent
}

fn vllm(message: &'static str, from: IpAddr, mut body: Map<String, Value>, time: i64) -> Sent {
    let time_nanos = time * 1_000_000;
    set(&mut body, "log_time", time_nanos);
    Sent {
        from,
        contract: "vllm/current",
        message,
        body: Value::Object(body).to_string(),
        time_nanos,
    }
}

fn cache(message: &'static str, engine: &Engine, mut body: Map<String, Value>) -> Sent {
    set(&mut body, "session_id", engine.id.as_str());
    set(&mut body, "machine_id", engine.machine.as_str());
    let body = Value::Object(body).to_string();
    Sent { from: engine.from, contract: "lmcache/1", message, body, time_nanos: 0 }
}

fn set(body: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    assert!(body.contains_key(key), "no field {key}");
    body.insert(key.to_owned(), value.into());
}
