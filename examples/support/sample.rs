//! A made-up engine. Its numbers are plausible and nobody's.

#![allow(dead_code, reason = "shared between examples and tests")]

use otel_usage::Accelerators;
use otel_usage::probe::Runtime;
use otel_usage::schema::{lmcache, vllm};

pub(crate) fn accelerators() -> Accelerators {
    Accelerators::new(8, "NVIDIA H100 80GB HBM3", 85_029_158_912)
        .with_runtime(Runtime::Cuda("13.0".to_owned()))
}

pub(crate) fn vllm_report() -> vllm::Report {
    vllm::Report {
        model_architecture: "LlamaForCausalLM".to_owned(),
        context: "ENGINE_CONTEXT".to_owned(),
        env_var_json: Some(vllm::Settings {
            use_flashinfer_sampler: Some(true),
            enable_v1_multiprocessing: true,
            ..Default::default()
        }),
        dtype: "torch.bfloat16".to_owned(),
        block_size: Some(16),
        gpu_memory_utilization: 0.9,
        kv_cache_dtype: "auto".to_owned(),
        enable_prefix_caching: Some(true),
        tensor_parallel_size: 8,
        data_parallel_size: 1,
        pipeline_parallel_size: 1,
        all2all_backend: Some("allgather_reducescatter".to_owned()),
        max_model_len: 131_072,
        max_num_seqs: 1024,
        max_num_batched_tokens: 8192,
        compilation_mode: Some("VLLM_COMPILE".to_owned()),
        ..Default::default()
    }
}

pub(crate) fn lmcache_engine() -> lmcache::Engine {
    lmcache::Engine {
        chunk_size: 256,
        local_device: "cpu".to_owned(),
        max_local_cache_size: 20,
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
