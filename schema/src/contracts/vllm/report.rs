//! The report of a vLLM engine about itself at start: the record, and the row of each of its fields.

use opentelemetry::Value;

use super::REPORT;
use crate::contracts::table::{FALSE, ONE, ZERO, text, typed_record};
use crate::sanitize::{SETTINGS, Sanitizer};
use crate::{IntoAttribute, Literal, Type, TypedAttribute};

use Literal::{Bool, Float, Int};

const EXAMPLE_SETTINGS: &str = "{\"VLLM_USE_MODELSCOPE\": false, \
    \"VLLM_USE_FLASHINFER_SAMPLER\": true, \"VLLM_PP_LAYER_PARTITION\": null, \
    \"VLLM_USE_TRITON_AWQ\": false, \"VLLM_ENABLE_V1_MULTIPROCESSING\": true}";

typed_record! {
    /// The report of a vLLM engine about itself at start.
    ///
    /// Every value is the engine's own resolved setting; `None` is `null` on the wire. Fill it
    /// with `..Default::default()`, so that a field added later does not break the engine.
    pub struct Report = REPORT {
        /// Model class name, `Backend(Wrapped)` when a backend wraps it.
        model_architecture: String = MODEL_ARCHITECTURE("model_architecture", "vllm.model.architecture")
            .when_absent(text("")).example(text("LlamaForCausalLM")).since("0.4.0");
        /// Entry point: `ENGINE_CONTEXT`, `LLM_CLASS`, `API_SERVER`, ...
        context: String = CONTEXT("context", "vllm.usage.context").when_absent(text("UNKNOWN_CONTEXT"))
            .example(text("ENGINE_CONTEXT")).since("0.4.0");
        /// Settings that come from environment variables, as a JSON object in a string.
        env_var_json: Option<EnvironmentSettings> = ENV_VAR_JSON("env_var_json", "vllm.env").when_absent(text("{}"))
            .sanitized(&[Sanitizer::VllmSettings, Sanitizer::CapLen(SETTINGS)])
            .example(text(EXAMPLE_SETTINGS))
            .since("0.7");
        /// Model data type, `torch.<name>`.
        dtype: String = DTYPE("dtype", "vllm.model.dtype").when_absent(text(""))
            .example(text("torch.bfloat16")).since("0.4.0");
        /// KV-cache block size in tokens.
        block_size: Option<i64> = BLOCK_SIZE("block_size", "vllm.cache.block_size")
            .in_unit("{token}").example(Int(16)).since("0.4.0");
        /// Fraction of the device's memory in use, 0 to 1.
        gpu_memory_utilization: Option<f64> = GPU_MEMORY_UTILIZATION("gpu_memory_utilization", "vllm.cache.gpu_memory_utilization")
            .in_unit("1").example(Float(0.9)).since("0.4.0");
        /// Explicit KV-cache size in bytes.
        kv_cache_memory_bytes: Option<i64> = KV_CACHE_MEMORY("kv_cache_memory_bytes", "vllm.cache.memory_bytes")
            .in_unit("By").example(Int(42_949_672_960)).since("0.11");
        /// Quantization method; `None`: not quantized.
        quantization: Option<String> = QUANTIZATION("quantization", "vllm.model.quantization")
            .example(text("fp8")).since("0.4.0");
        /// KV-cache data type: `auto`, `fp8`, ...
        kv_cache_dtype: String = KV_CACHE_DTYPE("kv_cache_dtype", "vllm.cache.dtype")
            .when_absent(text("auto")).example(text("auto")).since("0.4.0");
        /// Whether LoRA is configured.
        enable_lora: bool = ENABLE_LORA("enable_lora", "vllm.feature.lora").when_absent(FALSE)
            .example(Bool(false)).since("0.4.0");
        /// Whether prefixes are cached.
        enable_prefix_caching: Option<bool> = PREFIX_CACHING("enable_prefix_caching", "vllm.feature.prefix_caching")
            .example(Bool(true)).since("0.4.0");
        /// Whether CUDA graphs are off.
        enforce_eager: bool = ENFORCE_EAGER("enforce_eager", "vllm.feature.enforce_eager").when_absent(FALSE)
            .example(Bool(false)).since("0.4.0");
        /// Whether the custom all-reduce is off.
        disable_custom_all_reduce: bool = DISABLE_CUSTOM_ALL_REDUCE("disable_custom_all_reduce", "vllm.parallel.disable_custom_all_reduce")
            .when_absent(FALSE).example(Bool(false)).since("0.4.0");
        /// Ranks of tensor parallelism.
        tensor_parallel_size: i64 = TENSOR_PARALLEL("tensor_parallel_size", "vllm.parallel.tensor")
            .in_unit("{rank}").when_absent(ONE).example(Int(8)).since("0.4.0");
        /// Ranks of data parallelism.
        data_parallel_size: i64 = DATA_PARALLEL_SIZE("data_parallel_size", "vllm.parallel.data")
            .in_unit("{rank}").when_absent(ONE).example(Int(1)).since("0.11");
        /// Ranks of pipeline parallelism.
        pipeline_parallel_size: i64 = PIPELINE_PARALLEL_SIZE("pipeline_parallel_size", "vllm.parallel.pipeline")
            .in_unit("{rank}").when_absent(ONE).example(Int(1)).since("0.11");
        /// Whether experts are parallel.
        enable_expert_parallel: bool = ENABLE_EXPERT_PARALLEL("enable_expert_parallel", "vllm.parallel.expert")
            .when_absent(FALSE).example(Bool(false)).since("0.11");
        /// All-to-all backend.
        all2all_backend: Option<String> = ALL2ALL_BACKEND("all2all_backend", "vllm.parallel.all2all_backend")
            .example(text("allgather_reducescatter")).since("0.11");
        /// Class name of the KV connector.
        kv_connector: Option<String> = KV_CONNECTOR("kv_connector", "vllm.kv_connector")
            .example(text("LMCacheConnectorV1")).since("0.11");
        /// Longest sequence in tokens.
        max_model_len: Option<i64> = MAX_MODEL_LEN("max_model_len", "vllm.model.max_len").in_unit("{token}")
            .example(Int(131_072)).since("0.33");
        /// Most sequences in one step.
        max_num_seqs: Option<i64> = MAX_NUM_SEQS("max_num_seqs", "vllm.scheduler.max_num_seqs")
            .in_unit("{sequence}").example(Int(1024)).since("0.33");
        /// Most tokens in one step.
        max_num_batched_tokens: Option<i64> = MAX_NUM_BATCHED_TOKENS("max_num_batched_tokens", "vllm.scheduler.max_num_batched_tokens")
            .in_unit("{token}").example(Int(8192)).since("0.33");
        /// Attention backend; `None`: chosen by the engine.
        attention_backend: Option<String> = ATTENTION_BACKEND("attention_backend", "vllm.attention.backend")
            .example(text("FLASH_ATTN")).since("0.33");
        /// Compilation mode: `NONE`, `VLLM_COMPILE`, ...
        compilation_mode: Option<String> = COMPILATION_MODE("compilation_mode", "vllm.compilation.mode")
            .example(text("VLLM_COMPILE")).since("0.33");
        /// Method of speculative decoding; `None`: off.
        spec_decode_method: Option<String> = SPEC_DECODE_METHOD("spec_decode_method", "vllm.spec_decode.method")
            .example(text("eagle3")).since("0.33");
        /// Tokens speculated; `None`: off.
        num_speculative_tokens: Option<i64> = NUM_SPECULATIVE_TOKENS("num_speculative_tokens", "vllm.spec_decode.tokens")
            .in_unit("{token}").example(Int(3)).since("0.33");
        /// Whether expert-parallel load balancing is on.
        enable_eplb: bool = ENABLE_EPLB("enable_eplb", "vllm.eplb.enabled").when_absent(FALSE)
            .example(Bool(false)).since("0.33");
        /// Redundant experts.
        num_redundant_experts: i64 = NUM_REDUNDANT_EXPERTS("num_redundant_experts", "vllm.eplb.redundant_experts")
            .in_unit("{expert}").when_absent(ZERO).example(Int(0)).since("0.33");
        /// Experts; 0 for a dense model.
        num_experts: i64 = NUM_EXPERTS("num_experts", "vllm.model.num_experts").in_unit("{expert}")
            .when_absent(ZERO).example(Int(0)).since("0.33");
    }
}

/// The environment-derived settings that travel as `env_var_json`: a JSON object inside a string,
/// which is how the server has always received them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentSettings {
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

impl TypedAttribute for EnvironmentSettings {
    const TYPE: Type = Type::Str;
}

impl IntoAttribute for EnvironmentSettings {
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
