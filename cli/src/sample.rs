//! The records of the made-up engine that `otel-usage preview` shows. A test compares the previews with
//! the messages of an engine that has the same records.

use otel_usage::schema::{lmcache, vllm};
use otel_usage::{Attributes, UsageRecord as _};

/// Version of the sample vLLM engine.
pub(crate) const VLLM_VERSION: &str = "0.33.0";
/// Version of the sample vLLM engine of the documented contract.
pub(crate) const VLLM_DOCUMENTED_VERSION: &str = "0.4.0";
/// Version of the sample LMCache engine.
pub(crate) const LMCACHE_VERSION: &str = "0.5.6";

pub(crate) fn vllm_report() -> vllm::Report {
    vllm::Report {
        model_architecture: "LlamaForCausalLM".to_owned(),
        context: "ENGINE_CONTEXT".to_owned(),
        env_var_json: Some(vllm::EnvironmentSettings {
            use_flashinfer_sampler: Some(true),
            enable_v1_multiprocessing: true,
            ..Default::default()
        }),
        dtype: "torch.bfloat16".to_owned(),
        block_size: Some(16),
        gpu_memory_utilization: Some(0.9),
        kv_cache_dtype: "auto".to_owned(),
        enable_prefix_caching: Some(true),
        tensor_parallel_size: 1,
        data_parallel_size: 1,
        pipeline_parallel_size: 1,
        all2all_backend: Some("allgather_reducescatter".to_owned()),
        max_model_len: Some(131_072),
        max_num_seqs: Some(1024),
        max_num_batched_tokens: Some(8192),
        compilation_mode: Some("VLLM_COMPILE".to_owned()),
        ..Default::default()
    }
}

pub(crate) fn lmcache_engine() -> lmcache::Engine {
    lmcache::Engine {
        chunk_size: 256,
        local_device: "cpu".to_owned(),
        max_local_cache_size: 20,
        // Has a host, so that the preview shows that only the scheme leaves.
        remote_url: Some("redis://cache.example.internal:6379".to_owned()),
        remote_serde: Some("naive".to_owned()),
        blend_min_tokens: 256,
        model_name: "meta-llama/Llama-3.1-8B-Instruct".to_owned(),
        world_size: 1,
        kv_dtype: "torch.bfloat16".to_owned(),
        kv_shape: vec![32, 2, 256, 8, 128],
        ..Default::default()
    }
}

/// Returns the record of an engine before schema version 1, which also names its serving engine.
pub(crate) fn lmcache_legacy_engine() -> Attributes {
    let engine = lmcache_engine();
    engine
        .attributes()
        .into_iter()
        .fold(Attributes::new(lmcache::ENGINE).with(lmcache::FMT, "vllm"), |record, attribute| {
            record.with(attribute.key, attribute.value)
        })
}

pub(crate) fn lmcache_mp_server() -> lmcache::MpServer {
    lmcache::MpServer {
        chunk_size: 256,
        hash_algorithm: "blake3".to_owned(),
        engine_type: "default".to_owned(),
        supported_transfer_mode: "lmcache_driven".to_owned(),
        max_gpu_workers: 4,
        max_cpu_workers: 8,
        l1_size_bytes: 64_424_509_440,
        l1_medium: "dram".to_owned(),
        l1_shm_enabled: true,
        eviction_policy: "LRU".to_owned(),
        l2_adapter_types: "fs,nixl_store".to_owned(),
        l2_serde_types: "fp8,".to_owned(),
        l2_store_policy: "default".to_owned(),
        l2_prefetch_policy: "default".to_owned(),
        ..Default::default()
    }
}
