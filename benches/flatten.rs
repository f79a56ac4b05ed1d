//! Compares flattening and encoding a record with `serde_json` on an equivalent struct.
//!
//! The records are one of vLLM (45 keys) and one of LMCache, with the values of the contracts' examples.
//! The bench prints the CPU time of [`Message::append_json`] divided by the time of a derived `Serialize`
//! with the same formatter. Both write into a reused buffer, and the bench first checks that they write the
//! same bytes. Goal: at most 1.15.
//!
//! ```sh
//! cargo bench --bench flatten
//! cargo bench --bench flatten -- --instructions   # counted by valgrind, if it is there
//! ```
//!
//! [`Message::append_json`]: otel_usage::schema::Message::append_json

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod support;

use std::hint::black_box;
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use otel_usage::UsageRecord;
use otel_usage::schema::{CompiledContract, Contract, Record, ResourceValues, lmcache, vllm};
use otel_usage::schema::{PythonFormatter, flatten};
use otel_usage_testing::read;
use otel_usage_testing::sample;
use serde::{Deserialize, Serialize};
use support::Case;

type Failure = Box<dyn std::error::Error>;

/// Number of rounds, in each of which every case has its turn.
const ROUNDS: usize = 41;

fn main() -> Result<(), Failure> {
    if let Some(name) = support::option("--case") {
        return count(&name);
    }
    let vllm = Subject::vllm()?;
    let lmcache = Subject::lmcache()?;
    vllm.check::<Vllm>()?;
    lmcache.check::<LmcacheEngine>()?;
    if !support::is_bench() {
        return Ok(());
    }
    if std::env::args().any(|argument| argument == "--instructions") {
        for name in ["vllm", "lmcache"] {
            let (peer, ours) = (instructions(name, "serde")?, instructions(name, "ours")?);
            println!("{name}: {ours} instructions a message, derived struct {peer}");
        }
        return Ok(());
    }
    vllm.measure::<Vllm>("vllm/current")?;
    lmcache.measure::<LmcacheEngine>("lmcache/1 EngineMessage")
}

/// A record and the values of its Resource, ready to be flattened.
struct Subject {
    contract: CompiledContract,
    resource: ResourceValues,
    record: Record,
}

impl Subject {
    fn vllm() -> Result<Self, Failure> {
        Self::new(&vllm::CURRENT, sample::vllm_report())
    }

    fn lmcache() -> Result<Self, Failure> {
        Self::new(&lmcache::V1, sample::lmcache_engine())
    }

    fn new(contract: &Contract, record: impl UsageRecord) -> Result<Self, Failure> {
        let contract = CompiledContract::new(contract)?;
        let resource = read::resource(&contract, &resource());
        let time = UNIX_EPOCH
            .checked_add(Duration::from_nanos(1_787_206_513_123_456_000))
            .ok_or("a time that fits")?;
        let span = SpanData {
            span_context: SpanContext::empty_context(),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: record.kind().to_owned().into(),
            start_time: time,
            end_time: time,
            attributes: record.attributes(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder(
                otel_usage::schema::transport::SCOPE,
            )
            .build(),
        };
        let record =
            read::span(&contract, &span, &mut |_, _| {}).ok_or("the contract has the record")?;
        Ok(Self { contract, resource, record })
    }

    fn append(&self, out: &mut Vec<u8>) {
        if let Some(message) = flatten(&self.contract, &self.resource, &self.record) {
            message.append_json(out);
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.append(&mut out);
        out
    }

    /// Returns the same message as a struct.
    fn equivalent<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Failure> {
        Ok(serde_json::from_slice(&self.bytes())?)
    }

    fn check<T: Serialize + for<'de> Deserialize<'de>>(&self) -> Result<(), Failure> {
        let mut peer = Vec::new();
        append_struct(&mut peer, &self.equivalent::<T>()?);
        assert_eq!(
            String::from_utf8(peer)?,
            String::from_utf8(self.bytes())?,
            "both write the same"
        );
        Ok(())
    }

    fn measure<T: Serialize + for<'de> Deserialize<'de>>(
        &self,
        title: &str,
    ) -> Result<(), Failure> {
        let equivalent: T = self.equivalent()?;
        let (mut a, mut b) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
        let mut c = Vec::with_capacity(4096);
        let mut cases = [
            Case::new("derived struct, same formatter", || {
                a.clear();
                append_struct(&mut a, black_box(&equivalent));
                black_box(&a);
            }),
            Case::new("flatten + append_json", || {
                b.clear();
                black_box(self).append(&mut b);
                black_box(&b);
            }),
            // This writes other bytes (`,` and `:` without spaces, UTF-8), so it has no goal. The
            // difference is the cost of the form of Python's `json.dumps`.
            Case::new("derived struct, serde_json's own formatter", || {
                c.clear();
                let _ = serde_json::to_writer(&mut c, black_box(&equivalent));
                black_box(&c);
            }),
        ];
        let times = support::rounds(&mut cases, ROUNDS);
        support::print(&format!("{title}, {} bytes", self.bytes().len()), &cases, &times);
        Ok(())
    }

    fn repeat<T: Serialize + for<'de> Deserialize<'de>>(
        &self,
        ours: bool,
        calls: u64,
    ) -> Result<(), Failure> {
        let equivalent: T = self.equivalent()?;
        let mut out = Vec::with_capacity(4096);
        for _ in 0..calls {
            out.clear();
            if ours {
                black_box(self).append(&mut out);
            } else {
                append_struct(&mut out, black_box(&equivalent));
            }
            black_box(&out);
        }
        Ok(())
    }
}

fn append_struct(out: &mut Vec<u8>, value: &impl Serialize) {
    let mut serializer = serde_json::Serializer::with_formatter(out, PythonFormatter);
    // Writing to a `Vec` cannot fail.
    let _ = value.serialize(&mut serializer);
}

/// Runs one case a given number of times, for a tool that counts instructions.
fn count(name: &str) -> Result<(), Failure> {
    let calls = support::option("--calls").map_or(Ok(1), |calls| calls.parse())?;
    match name {
        "vllm-ours" => Subject::vllm()?.repeat::<Vllm>(true, calls),
        "vllm-serde" => Subject::vllm()?.repeat::<Vllm>(false, calls),
        "lmcache-ours" => Subject::lmcache()?.repeat::<LmcacheEngine>(true, calls),
        "lmcache-serde" => Subject::lmcache()?.repeat::<LmcacheEngine>(false, calls),
        other => Err(format!("no case `{other}`").into()),
    }
}

/// Returns the instructions of one call. It subtracts those of 1000 calls from those of 3000 calls, to
/// remove the start of the process.
fn instructions(subject: &str, way: &str) -> Result<u64, Failure> {
    let total = |calls: &str| -> Result<u64, Failure> {
        #[expect(clippy::disallowed_methods, reason = "valgrind is a program")]
        let mut valgrind = std::process::Command::new("valgrind");
        let output = valgrind
            .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
            .arg(std::env::current_exe()?)
            .args(["--bench", "--case", &format!("{subject}-{way}"), "--calls", calls])
            .output()?;
        let text = String::from_utf8(output.stderr)?;
        let line = text.lines().find(|line| line.contains("refs:")).ok_or_else(|| text.clone())?;
        let digits: String = line
            .rsplit(':')
            .next()
            .unwrap_or_default()
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        Ok(digits.parse()?)
    };
    Ok(total("3000")?.saturating_sub(total("1000")?) / 2000)
}

fn resource() -> Resource {
    let text = |name: &'static str, value: &'static str| KeyValue::new(name, value);
    let number = |name: &'static str, value: i64| KeyValue::new(name, value);
    let words = |words: [&'static str; 2]| -> Value {
        Value::Array(words.map(StringValue::from).to_vec().into())
    };
    Resource::builder_empty()
        .with_attributes([
            text("service.name", "bench"),
            text("service.version", "0.26.1"),
            text("service.instance.id", "b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10"),
            text("cloud.provider", "aws"),
            text("host.cpu.model.name", "Intel(R) Xeon(R) Platinum 8488C"),
            text("host.cpu.family", "6"),
            text("host.cpu.model.id", "143"),
            text("host.cpu.stepping", "8"),
            number("otel_usage.cpu.count", 192),
            number("otel_usage.memory.total", 2_164_156_813_312),
            text("otel_usage.machine", "x86_64"),
            KeyValue::new("otel_usage.architecture", words(["64bit", "ELF"])),
            text("otel_usage.platform", "Linux-6.8.0-1031-aws-x86_64-with-glibc2.35"),
            number("otel_usage.accelerator.count", 8),
            text("otel_usage.accelerator.name", "NVIDIA H100 80GB HBM3"),
            number("otel_usage.accelerator.memory", 85_029_158_912),
            text("vllm.cuda.runtime", "13.0"),
            text("vllm.usage.source", "production-docker-image"),
            text("lmcache.machine_id", "f4b6a2c8-9d17-4e57-8a0b-6c1d2e3f4a5b"),
            text("lmcache.deployment_mode", "single_process"),
        ])
        .build()
}

/// The message of `vllm/current` as a struct that an engine might write without us.
#[derive(Debug, Serialize, Deserialize)]
struct Vllm {
    uuid: String,
    provider: String,
    num_cpu: Option<i64>,
    cpu_type: String,
    cpu_family_model_stepping: String,
    total_memory: Option<i64>,
    architecture: String,
    platform: String,
    xpu_runtime: Option<String>,
    cuda_runtime: Option<String>,
    gpu_count: Option<i64>,
    gpu_type: Option<String>,
    gpu_memory_per_device: Option<i64>,
    env_var_json: String,
    model_architecture: String,
    vllm_version: String,
    context: String,
    log_time: i64,
    source: String,
    dtype: String,
    block_size: Option<i64>,
    gpu_memory_utilization: Option<f64>,
    kv_cache_memory_bytes: Option<i64>,
    quantization: Option<String>,
    kv_cache_dtype: String,
    enable_lora: bool,
    enable_prefix_caching: Option<bool>,
    enforce_eager: bool,
    disable_custom_all_reduce: bool,
    tensor_parallel_size: i64,
    data_parallel_size: i64,
    pipeline_parallel_size: i64,
    enable_expert_parallel: bool,
    all2all_backend: Option<String>,
    kv_connector: Option<String>,
    max_model_len: Option<i64>,
    max_num_seqs: Option<i64>,
    max_num_batched_tokens: Option<i64>,
    attention_backend: Option<String>,
    compilation_mode: Option<String>,
    spec_decode_method: Option<String>,
    num_speculative_tokens: Option<i64>,
    enable_eplb: bool,
    num_redundant_experts: i64,
    num_experts: i64,
}

/// The engine message of `lmcache/1` as a struct.
#[derive(Debug, Serialize, Deserialize)]
struct LmcacheEngine {
    message_type: String,
    schema_version: i64,
    session_id: String,
    machine_id: String,
    deployment_mode: String,
    chunksize: i64,
    local_device: String,
    max_local_cache_size: i64,
    remote_url: Option<String>,
    remote_serde: Option<String>,
    pipelined_backend: bool,
    save_decode_cache: bool,
    enable_blending: bool,
    blend_recompute_ratio: f64,
    blend_min_tokens: i64,
    model_name: String,
    world_size: i64,
    worker_id: i64,
    kv_dtype: String,
    kv_shape: Vec<i64>,
}
