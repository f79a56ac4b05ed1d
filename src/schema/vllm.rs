//! vLLM's contracts: the initial report as documented for 0.4.0, the current one, and the heartbeat.
//!
//! One flat object for a start report, told apart from a heartbeat by its keys alone; unknown is
//! `null`. Records: `vllm.report` ([`Report`]) and `vllm.heartbeat`.

use std::borrow::Cow;

use opentelemetry::Value;

use super::field::{AS_IS, FALSE, ONE, ZERO, attributes, fields, list, record, resource, text};
use super::record::{IntoAttribute, typed_record};
use super::sanitize::{FREE_TEXT, SETTINGS};
use super::{
    Attribute, Contract, Directory, Field, Literal, MessageSpec, OffWhen, Sanitizer, Source,
    Switch, Trigger, environment,
};

use Literal::Null;

/// The kind of the start report.
pub const REPORT: &str = "vllm.report";
/// The kind of the heartbeat.
pub const HEARTBEAT: &str = "vllm.heartbeat";

/// vLLM as of 0.33.0: 45 keys and the heartbeat.
pub static CURRENT: Contract = contract("vllm/current", CURRENT_MESSAGES);
/// vLLM as its documentation shows it for 0.4.0: 26 keys and the heartbeat.
pub static V0_4_0: Contract = contract("vllm/0.4.0", V0_4_0_MESSAGES);

typed_record! {
    /// What a vLLM engine says about itself at start.
    ///
    /// Every value is the engine's own resolved setting; `None` is `null` on the wire. Fill it
    /// with `..Default::default()`, so that a field added later does not break the engine.
    pub struct Report = REPORT {
        /// Model class name, `Backend(Wrapped)` when a backend wraps it.
        model_architecture: String = "vllm.model.architecture",
        /// Entry point: `ENGINE_CONTEXT`, `LLM_CLASS`, `API_SERVER`, ...
        context: String = "vllm.usage.context",
        /// Settings that come from environment variables; see [`Settings`].
        env_var_json: Option<Settings> = "vllm.env",
        /// Model data type, `torch.<name>`.
        dtype: String = "vllm.model.dtype",
        /// KV-cache block size in tokens.
        block_size: Option<i64> = "vllm.cache.block_size",
        /// Fraction of the device's memory in use, 0 to 1.
        gpu_memory_utilization: f64 = "vllm.cache.gpu_memory_utilization",
        /// Explicit KV-cache size in bytes.
        kv_cache_memory_bytes: Option<i64> = "vllm.cache.memory_bytes",
        /// Quantization method; `None`: not quantized.
        quantization: Option<String> = "vllm.model.quantization",
        /// KV-cache data type: `auto`, `fp8`, ...
        kv_cache_dtype: String = "vllm.cache.dtype",
        /// Whether LoRA is configured.
        enable_lora: bool = "vllm.feature.lora",
        /// Whether prefixes are cached.
        enable_prefix_caching: Option<bool> = "vllm.feature.prefix_caching",
        /// Whether CUDA graphs are off.
        enforce_eager: bool = "vllm.feature.enforce_eager",
        /// Whether the custom all-reduce is off.
        disable_custom_all_reduce: bool = "vllm.parallel.disable_custom_all_reduce",
        /// Ranks of tensor parallelism.
        tensor_parallel_size: i64 = "vllm.parallel.tensor",
        /// Ranks of data parallelism.
        data_parallel_size: i64 = "vllm.parallel.data",
        /// Ranks of pipeline parallelism.
        pipeline_parallel_size: i64 = "vllm.parallel.pipeline",
        /// Whether experts are parallel.
        enable_expert_parallel: bool = "vllm.parallel.expert",
        /// All-to-all backend.
        all2all_backend: Option<String> = "vllm.parallel.all2all_backend",
        /// Class name of the KV connector.
        kv_connector: Option<String> = "vllm.kv_connector",
        /// Longest sequence in tokens.
        max_model_len: i64 = "vllm.model.max_len",
        /// Most sequences in one step.
        max_num_seqs: i64 = "vllm.scheduler.max_num_seqs",
        /// Most tokens in one step.
        max_num_batched_tokens: i64 = "vllm.scheduler.max_num_batched_tokens",
        /// Attention backend; `None`: chosen by the engine.
        attention_backend: Option<String> = "vllm.attention.backend",
        /// Compilation mode: `NONE`, `VLLM_COMPILE`, ...
        compilation_mode: Option<String> = "vllm.compilation.mode",
        /// Method of speculative decoding; `None`: off.
        spec_decode_method: Option<String> = "vllm.spec_decode.method",
        /// Tokens speculated; `None`: off.
        num_speculative_tokens: Option<i64> = "vllm.spec_decode.tokens",
        /// Whether expert-parallel load balancing is on.
        enable_eplb: bool = "vllm.eplb.enabled",
        /// Redundant experts.
        num_redundant_experts: i64 = "vllm.eplb.redundant_experts",
        /// Experts; 0 for a dense model.
        num_experts: i64 = "vllm.model.num_experts",
    }
}

/// The environment-derived settings that travel as `env_var_json`: a JSON object inside a string,
/// which is how the server has always received them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `VLLM_USE_MODELSCOPE`.
    pub use_modelscope: bool,
    /// `VLLM_USE_FLASHINFER_SAMPLER`; `None` in older engines.
    pub use_flashinfer_sampler: Option<bool>,
    /// `VLLM_PP_LAYER_PARTITION`: layer counts such as `20,20`.
    pub pp_layer_partition: Option<String>,
    /// `VLLM_USE_TRITON_AWQ`.
    pub use_triton_awq: bool,
    /// `VLLM_ENABLE_V1_MULTIPROCESSING`.
    pub enable_v1_multiprocessing: bool,
}

impl IntoAttribute for Settings {
    fn into_attribute(self) -> Option<Value> {
        let settings = self;
        let text = format!(
            "{{\"VLLM_USE_MODELSCOPE\": {}, \"VLLM_USE_FLASHINFER_SAMPLER\": {}, \
             \"VLLM_PP_LAYER_PARTITION\": {}, \"VLLM_USE_TRITON_AWQ\": {}, \
             \"VLLM_ENABLE_V1_MULTIPROCESSING\": {}}}",
            settings.use_modelscope,
            crate::json::to_string(&settings.use_flashinfer_sampler),
            crate::json::to_string(&settings.pp_layer_partition),
            settings.use_triton_awq,
            settings.enable_v1_multiprocessing,
        );
        Some(Value::String(text.into()))
    }
}

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
        omitted: Cow::Borrowed(&[]),
    }
}

static CURRENT_MESSAGES: &[MessageSpec] = &[report_message(CURRENT_FIELDS), HEARTBEAT_MESSAGE];
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
    fields: Cow::Borrowed(&[UUID, LOG_TIME]),
};

static SWITCHES: &[Switch] = &[
    Switch { variable: Cow::Borrowed("VLLM_NO_USAGE_STATS"), off: OffWhen::Present },
    Switch { variable: Cow::Borrowed("VLLM_DO_NOT_TRACK"), off: OffWhen::True },
];

/// Where the engine runs, as its operator says it. From `VLLM_USAGE_SOURCE`.
pub(crate) const SOURCE: &str = "deployment.environment.name";
/// CUDA version of the engine's framework.
pub(crate) const CUDA: &str = "vllm.cuda.runtime";
/// XPU runtime version of the engine's framework.
pub(crate) const XPU: &str = "vllm.xpu.runtime";

static ATTRIBUTES: &[Attribute] = attributes! {
    SOURCE, Str, FREE_TEXT,
        "Free text of the operator, from `VLLM_USAGE_SOURCE`; `production` if unset.";
    CUDA, Str, FREE_TEXT,
        "CUDA version of the engine's framework; the engine supplies it.";
    XPU, Str, FREE_TEXT,
        "XPU runtime version of the engine's framework; the engine supplies it.";
};

const PROVIDERS: Source =
    Source::ResourceMapped(Cow::Borrowed("cloud.provider"), Cow::Borrowed(environment::PROVIDERS));
const CPU: Source = Source::ResourceJoined(Cow::Borrowed(environment::CPU_PARTS));

fields! {
    UUID = "uuid": Str, resource("service.instance.id"), else text(""), AS_IS,
        "Random identity of the process; the same in its heartbeats.";
    PROVIDER = "provider": Str, PROVIDERS, else text("UNKNOWN"), AS_IS, "Cloud provider.";
    NUM_CPU = "num_cpu": Int in "{cpu}", resource("usage.cpu.count"), else Null, AS_IS,
        "Online logical CPUs of the host.";
    CPU_TYPE = "cpu_type": Str, resource("host.cpu.model.name"), else text(""), AS_IS,
        "CPU brand string.";
    CPU_FAMILY = "cpu_family_model_stepping": Str, CPU, else text(",,"), AS_IS,
        "CPU family, model and stepping, decimal.";
    TOTAL_MEMORY = "total_memory": Int in "By", resource("usage.memory.total"), else Null, AS_IS,
        "Physical memory of the host.";
    ARCHITECTURE = "architecture": Str, resource("usage.machine"), else text(""), AS_IS,
        "`uname -m`.";
    PLATFORM = "platform": Str, resource("usage.platform"), else text(""), AS_IS,
        "Python's `platform.platform()`.";
    XPU_RUNTIME = "xpu_runtime": Str, resource(XPU), else Null, AS_IS,
        "XPU runtime version of the framework, on Intel XPU only.";
    CUDA_RUNTIME = "cuda_runtime": Str, resource(CUDA), else Null, AS_IS,
        "CUDA version of the framework; `tpu_inference` on TPU.";
    GPU_COUNT = "gpu_count": Int in "{device}", resource("usage.accelerator.count"), else Null, AS_IS,
        "Accelerators visible to the process.";
    GPU_TYPE = "gpu_type": Str, resource("usage.accelerator.name"), else Null, AS_IS,
        "Name of the first accelerator.";
    GPU_MEMORY = "gpu_memory_per_device": Int in "By", resource("usage.accelerator.memory"), else Null, AS_IS,
        "Memory of the first accelerator.";
    ENV_VAR_JSON = "env_var_json": Str, record("vllm.env"), else text("{}"), &[Sanitizer::VllmSettings, Sanitizer::CapLen(SETTINGS)],
        "Five environment-derived settings, as a JSON object in a string.";
    MODEL_ARCHITECTURE = "model_architecture": Str, record("vllm.model.architecture"), else text(""), FREE_TEXT,
        "Model class name.";
    VERSION = "vllm_version": Str, resource("service.version"), else text(""), AS_IS,
        "Package version.";
    CONTEXT = "context": Str, record("vllm.usage.context"), else text("UNKNOWN_CONTEXT"), FREE_TEXT,
        "Entry point of the engine.";
    LOG_TIME = "log_time": Int in "ns", Source::Time, else Null, AS_IS,
        "Wall clock at the record, since the Unix epoch.";
    SOURCE_FIELD = "source": Str, resource(SOURCE), else text("production"), AS_IS,
        "Where it runs, as the operator says it.";
    DTYPE = "dtype": Str, record("vllm.model.dtype"), else text(""), FREE_TEXT, "Model data type.";
    BLOCK_SIZE = "block_size": Int in "{token}", record("vllm.cache.block_size"), else Null, AS_IS,
        "KV-cache block size.";
    GPU_MEMORY_UTILIZATION = "gpu_memory_utilization": Float in "1", record("vllm.cache.gpu_memory_utilization"), else Null, AS_IS,
        "Fraction of the device's memory in use.";
    KV_CACHE_MEMORY = "kv_cache_memory_bytes": Int in "By", record("vllm.cache.memory_bytes"), else Null, AS_IS,
        "Explicit KV-cache size.";
    QUANTIZATION = "quantization": Str, record("vllm.model.quantization"), else Null, FREE_TEXT,
        "Quantization method.";
    KV_CACHE_DTYPE = "kv_cache_dtype": Str, record("vllm.cache.dtype"), else text("auto"), FREE_TEXT,
        "KV-cache data type.";
    ENABLE_LORA = "enable_lora": Bool, record("vllm.feature.lora"), else FALSE, AS_IS,
        "Whether LoRA is configured.";
    PREFIX_CACHING = "enable_prefix_caching": Bool, record("vllm.feature.prefix_caching"), else Null, AS_IS,
        "Whether prefixes are cached.";
    ENFORCE_EAGER = "enforce_eager": Bool, record("vllm.feature.enforce_eager"), else FALSE, AS_IS,
        "Whether CUDA graphs are off.";
    DISABLE_CUSTOM_ALL_REDUCE = "disable_custom_all_reduce": Bool, record("vllm.parallel.disable_custom_all_reduce"), else FALSE, AS_IS,
        "Whether the custom all-reduce is off.";
    TENSOR_PARALLEL = "tensor_parallel_size": Int in "{rank}", record("vllm.parallel.tensor"), else ONE, AS_IS,
        "Ranks of tensor parallelism.";
    DATA_PARALLEL_SIZE = "data_parallel_size": Int in "{rank}", record("vllm.parallel.data"), else ONE, AS_IS,
        "Ranks of data parallelism.";
    PIPELINE_PARALLEL_SIZE = "pipeline_parallel_size": Int in "{rank}", record("vllm.parallel.pipeline"), else ONE, AS_IS,
        "Ranks of pipeline parallelism.";
    ENABLE_EXPERT_PARALLEL = "enable_expert_parallel": Bool, record("vllm.parallel.expert"), else FALSE, AS_IS,
        "Whether experts are parallel.";
    ALL2ALL_BACKEND = "all2all_backend": Str, record("vllm.parallel.all2all_backend"), else Null, FREE_TEXT,
        "All-to-all backend.";
    KV_CONNECTOR = "kv_connector": Str, record("vllm.kv_connector"), else Null, FREE_TEXT,
        "Class name of the KV connector.";
    MAX_MODEL_LEN = "max_model_len": Int in "{token}", record("vllm.model.max_len"), else Null, AS_IS,
        "Longest sequence.";
    MAX_NUM_SEQS = "max_num_seqs": Int in "{sequence}", record("vllm.scheduler.max_num_seqs"), else Null, AS_IS,
        "Most sequences in one step.";
    MAX_NUM_BATCHED_TOKENS = "max_num_batched_tokens": Int in "{token}", record("vllm.scheduler.max_num_batched_tokens"), else Null, AS_IS,
        "Most tokens in one step.";
    ATTENTION_BACKEND = "attention_backend": Str, record("vllm.attention.backend"), else Null, FREE_TEXT,
        "Attention backend.";
    COMPILATION_MODE = "compilation_mode": Str, record("vllm.compilation.mode"), else Null, FREE_TEXT,
        "Compilation mode.";
    SPEC_DECODE_METHOD = "spec_decode_method": Str, record("vllm.spec_decode.method"), else Null, FREE_TEXT,
        "Method of speculative decoding.";
    NUM_SPECULATIVE_TOKENS = "num_speculative_tokens": Int in "{token}", record("vllm.spec_decode.tokens"), else Null, AS_IS,
        "Tokens speculated.";
    ENABLE_EPLB = "enable_eplb": Bool, record("vllm.eplb.enabled"), else FALSE, AS_IS,
        "Whether expert-parallel load balancing is on.";
    NUM_REDUNDANT_EXPERTS = "num_redundant_experts": Int in "{expert}", record("vllm.eplb.redundant_experts"), else ZERO, AS_IS,
        "Redundant experts.";
    NUM_EXPERTS = "num_experts": Int in "{expert}", record("vllm.model.num_experts"), else ZERO, AS_IS,
        "Experts; 0 for a dense model.";
}

static V0_4_0_FIELDS: &[Field] = list! {
    UUID PROVIDER NUM_CPU CPU_TYPE CPU_FAMILY TOTAL_MEMORY ARCHITECTURE PLATFORM GPU_COUNT
    GPU_TYPE GPU_MEMORY MODEL_ARCHITECTURE VERSION CONTEXT LOG_TIME SOURCE_FIELD DTYPE
    TENSOR_PARALLEL BLOCK_SIZE GPU_MEMORY_UTILIZATION QUANTIZATION KV_CACHE_DTYPE ENABLE_LORA
    PREFIX_CACHING ENFORCE_EAGER DISABLE_CUSTOM_ALL_REDUCE
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
