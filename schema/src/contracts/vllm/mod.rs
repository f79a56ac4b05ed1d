//! vLLM's contracts: the initial report in four releases, and the heartbeat.
//!
//! One flat object for a start record, told apart from a heartbeat by its keys alone; unknown is
//! `null`. Records: `vllm.report` ([`Report`]) and `vllm.heartbeat`.

mod report;

use std::borrow::Cow;

use crate::contracts::table::{FALSE, attributes, fields, list, text};
use crate::resource::{CPU_PARTS, INSTANCE_ID, PROVIDERS};
use crate::{
    Contract, Directory, Field, Literal, MessageSpec, OffWhen, Origin, Privacy, Source, Switch,
    Trigger, Type,
};

pub use report::{EnvironmentSettings, Report};

use Literal::Int;
use Privacy::{Configuration, Envelope, Identity, Machine};
use Type::Str;
use report::*;

/// The kind of the start record.
pub const REPORT: &str = "vllm.report";
/// The kind of the heartbeat.
pub const HEARTBEAT: &str = "vllm.heartbeat";

/// vLLM as of 0.33.0: 45 keys and the heartbeat.
pub static CURRENT: Contract = contract("vllm/current", CURRENT_MESSAGES);
/// vLLM as of 0.11 (October 2025): 34 keys and the heartbeat.
pub static V0_11: Contract = contract("vllm/0.11", V0_11_MESSAGES);
/// vLLM as of 0.7 (January 2025): 28 keys and the heartbeat.
pub static V0_7: Contract = contract("vllm/0.7", V0_7_MESSAGES);
/// vLLM as its documentation shows it for 0.4.0: 26 keys and the heartbeat.
pub static V0_4_0: Contract = contract("vllm/0.4.0", V0_4_0_MESSAGES);

const fn contract(id: &'static str, messages: &'static [MessageSpec]) -> Contract {
    Contract {
        id: Cow::Borrowed(id),
        system: Cow::Borrowed("vllm"),
        server: Some(Cow::Borrowed("https://stats.vllm.ai")),
        server_variable: Some(Cow::Borrowed("VLLM_USAGE_STATS_SERVER")),
        local_file: Some(Cow::Borrowed("usage_stats.json")),
        switches: Cow::Borrowed(SWITCHES),
        directory: Directory::Xdg {
            variable: Some(Cow::Borrowed("VLLM_CONFIG_ROOT")),
            name: Cow::Borrowed("vllm"),
        },
        attributes: Cow::Borrowed(ATTRIBUTES),
        messages: Cow::Borrowed(messages),
        interval_variable: None,
        ci_variable: Some(Cow::Borrowed(USAGE_SOURCE)),
        notice_url: Some(Cow::Borrowed("https://docs.vllm.ai/en/latest/usage/usage_stats/")),
        omitted: Cow::Borrowed(&[]),
    }
}

static CURRENT_MESSAGES: &[MessageSpec] = &[report_message(CURRENT_FIELDS), HEARTBEAT_MESSAGE];
static V0_11_MESSAGES: &[MessageSpec] = &[report_message(V0_11_FIELDS), HEARTBEAT_MESSAGE];
static V0_7_MESSAGES: &[MessageSpec] = &[report_message(V0_7_FIELDS), HEARTBEAT_MESSAGE];
static V0_4_0_MESSAGES: &[MessageSpec] = &[report_message(V0_4_0_FIELDS), HEARTBEAT_MESSAGE];

const fn report_message(fields: &'static [Field]) -> MessageSpec {
    MessageSpec {
        name: Cow::Borrowed("report"),
        record: Cow::Borrowed(REPORT),
        endpoint: Cow::Borrowed(""),
        trigger: Trigger::Record,
        fields: Cow::Borrowed(fields),
    }
}

const HEARTBEAT_MESSAGE: MessageSpec = MessageSpec {
    name: Cow::Borrowed("heartbeat"),
    record: Cow::Borrowed(HEARTBEAT),
    endpoint: Cow::Borrowed(""),
    // The interval of vLLM's own background thread.
    trigger: Trigger::Heartbeat { seconds: 600 },
    fields: Cow::Borrowed(HEARTBEAT_FIELDS),
};
static HEARTBEAT_FIELDS: &[Field] = list! { UUID LOG_TIME };

static SWITCHES: &[Switch] = &[
    Switch { variable: Cow::Borrowed("VLLM_NO_USAGE_STATS"), off: OffWhen::Present },
    Switch { variable: Cow::Borrowed("VLLM_DO_NOT_TRACK"), off: OffWhen::True },
];

/// The variable in which vLLM's operators say where the engine runs; vLLM's own CI sets it.
const USAGE_SOURCE: &str = "VLLM_USAGE_SOURCE";
/// Where the engine runs, in the operator's words.
const SOURCE: &str = "vllm.usage.source";
/// CUDA version of the engine's framework.
const CUDA: &str = "vllm.cuda.runtime";
/// XPU runtime version of the engine's framework.
const XPU: &str = "vllm.xpu.runtime";

attributes! {
    ATTRIBUTES:
    /// Free text of the operator, from `VLLM_USAGE_SOURCE`; `production` if unset.
    (SOURCE, Str).privacy(Configuration).example(text("production"))
        .from(Origin::Variable(Cow::Borrowed(USAGE_SOURCE)));
    /// CUDA version of the engine's framework; the engine supplies it.
    (CUDA, Str).example(text("13.0")).from(Origin::CudaRuntime);
    /// XPU runtime version of the engine's framework; the engine supplies it.
    (XPU, Str).example(text("20250101")).from(Origin::XpuRuntime);
}

fields! {
    /// Random identity of the process; the same in its heartbeats.
    UUID = resource("uuid", Str, INSTANCE_ID).when_absent(text("")).privacy(Identity)
        .example(text("b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10")).since("0.4.0");
    /// Cloud provider.
    PROVIDER = new("provider", Str, PROVIDERS, Machine).when_absent(text("UNKNOWN")).example(text("AWS"))
        .since("0.4.0");
    /// Online logical CPUs of the host.
    NUM_CPU = resource("num_cpu", Type::Int, "otel_usage.cpu.count").in_unit("{cpu}").example(Int(192))
        .since("0.4.0");
    /// CPU brand string.
    CPU_TYPE = resource("cpu_type", Str, "host.cpu.model.name").when_absent(text(""))
        .example(text("Intel(R) Xeon(R) Platinum 8488C")).since("0.4.0");
    /// CPU family, model and stepping, decimal.
    CPU_FAMILY = new("cpu_family_model_stepping", Str, CPU_PARTS, Machine).when_absent(text(",,"))
        .example(text("6,143,8")).since("0.4.0");
    /// Physical memory of the host.
    TOTAL_MEMORY = resource("total_memory", Type::Int, "otel_usage.memory.total").in_unit("By")
        .example(Int(2_164_156_813_312)).since("0.4.0");
    /// `uname -m`.
    ARCHITECTURE = resource("architecture", Str, "otel_usage.machine").when_absent(text(""))
        .example(text("x86_64")).since("0.4.0");
    /// Python's `platform.platform()`.
    PLATFORM = resource("platform", Str, "otel_usage.platform").when_absent(text(""))
        .example(text("Linux-6.8.0-1031-aws-x86_64-with-glibc2.35")).since("0.4.0");
    /// XPU runtime version of the framework, on Intel XPU only.
    XPU_RUNTIME = resource("xpu_runtime", Str, XPU).example(text("20250101")).since("0.33");
    /// CUDA version of the framework; `tpu_inference` on TPU.
    CUDA_RUNTIME = resource("cuda_runtime", Str, CUDA).example(text("13.0")).since("0.11");
    /// Accelerators visible to the process.
    GPU_COUNT = resource("gpu_count", Type::Int, "otel_usage.accelerator.count").in_unit("{device}")
        .example(Int(8)).since("0.4.0");
    /// Name of the first accelerator.
    GPU_TYPE = resource("gpu_type", Str, "otel_usage.accelerator.name")
        .example(text("NVIDIA H100 80GB HBM3")).since("0.4.0");
    /// Memory of the first accelerator.
    GPU_MEMORY = resource("gpu_memory_per_device", Type::Int, "otel_usage.accelerator.memory").in_unit("By")
        .example(Int(85_029_158_912)).since("0.4.0");
    /// Package version.
    VERSION = resource("vllm_version", Str, "service.version").when_absent(text("")).privacy(Configuration)
        .example(text("0.26.1")).since("0.4.0");
    /// Wall clock at the record, since the Unix epoch.
    LOG_TIME = new("log_time", Type::Int, Source::Time, Envelope).in_unit("ns")
        .example(Int(1_787_206_513_123_456_000)).since("0.4.0");
    /// Where it runs, as the operator says it.
    SOURCE_FIELD = resource("source", Str, SOURCE).when_absent(text("production")).privacy(Configuration)
        .example(text("production")).since("0.4.0");
    /// Whether prompt adapters are configured; sent by vLLM 0.7 only.
    PROMPT_ADAPTER = record("enable_prompt_adapter", Type::Bool, "vllm.feature.prompt_adapter")
        .when_absent(FALSE).example(Literal::Bool(false)).since("0.7");
}

static V0_4_0_FIELDS: &[Field] = list! {
    UUID PROVIDER NUM_CPU CPU_TYPE CPU_FAMILY TOTAL_MEMORY ARCHITECTURE PLATFORM GPU_COUNT
    GPU_TYPE GPU_MEMORY MODEL_ARCHITECTURE VERSION CONTEXT LOG_TIME SOURCE_FIELD DTYPE
    TENSOR_PARALLEL BLOCK_SIZE GPU_MEMORY_UTILIZATION QUANTIZATION KV_CACHE_DTYPE ENABLE_LORA
    PREFIX_CACHING ENFORCE_EAGER DISABLE_CUSTOM_ALL_REDUCE
};

static V0_7_FIELDS: &[Field] = list! {
    UUID PROVIDER NUM_CPU CPU_TYPE CPU_FAMILY TOTAL_MEMORY ARCHITECTURE PLATFORM GPU_COUNT
    GPU_TYPE GPU_MEMORY ENV_VAR_JSON MODEL_ARCHITECTURE VERSION CONTEXT LOG_TIME SOURCE_FIELD DTYPE
    TENSOR_PARALLEL BLOCK_SIZE GPU_MEMORY_UTILIZATION QUANTIZATION KV_CACHE_DTYPE ENABLE_LORA
    PROMPT_ADAPTER PREFIX_CACHING ENFORCE_EAGER DISABLE_CUSTOM_ALL_REDUCE
};

static V0_11_FIELDS: &[Field] = list! {
    UUID PROVIDER NUM_CPU CPU_TYPE CPU_FAMILY TOTAL_MEMORY ARCHITECTURE PLATFORM CUDA_RUNTIME
    GPU_COUNT GPU_TYPE GPU_MEMORY ENV_VAR_JSON MODEL_ARCHITECTURE VERSION CONTEXT LOG_TIME
    SOURCE_FIELD DTYPE BLOCK_SIZE GPU_MEMORY_UTILIZATION KV_CACHE_MEMORY QUANTIZATION KV_CACHE_DTYPE
    ENABLE_LORA PREFIX_CACHING ENFORCE_EAGER DISABLE_CUSTOM_ALL_REDUCE TENSOR_PARALLEL
    DATA_PARALLEL_SIZE PIPELINE_PARALLEL_SIZE ENABLE_EXPERT_PARALLEL ALL2ALL_BACKEND KV_CONNECTOR
};

static CURRENT_FIELDS: &[Field] = list! {
    UUID PROVIDER NUM_CPU CPU_TYPE CPU_FAMILY TOTAL_MEMORY ARCHITECTURE PLATFORM XPU_RUNTIME
    CUDA_RUNTIME GPU_COUNT GPU_TYPE GPU_MEMORY ENV_VAR_JSON MODEL_ARCHITECTURE VERSION CONTEXT
    LOG_TIME SOURCE_FIELD DTYPE BLOCK_SIZE GPU_MEMORY_UTILIZATION KV_CACHE_MEMORY QUANTIZATION
    KV_CACHE_DTYPE ENABLE_LORA PREFIX_CACHING ENFORCE_EAGER DISABLE_CUSTOM_ALL_REDUCE
    TENSOR_PARALLEL DATA_PARALLEL_SIZE PIPELINE_PARALLEL_SIZE ENABLE_EXPERT_PARALLEL
    ALL2ALL_BACKEND KV_CONNECTOR MAX_MODEL_LEN MAX_NUM_SEQS MAX_NUM_BATCHED_TOKENS
    ATTENTION_BACKEND COMPILATION_MODE SPEC_DECODE_METHOD NUM_SPECULATIVE_TOKENS ENABLE_EPLB
    NUM_REDUNDANT_EXPERTS NUM_EXPERTS
};
