-- Generated from the contracts by `otel-usage schema --format clickhouse`.
-- The views read `otel_traces`, which the OpenTelemetry Collector's exporter makes.

CREATE TABLE IF NOT EXISTS usage_vllm_0_11_report (
    `uuid` String COMMENT 'Random identity of the process; the same in its heartbeats.' CODEC(ZSTD),
    `provider` LowCardinality(String) COMMENT 'Cloud provider.' CODEC(ZSTD),
    `num_cpu` Nullable(Int64) COMMENT 'Online logical CPUs of the host.',
    `cpu_type` LowCardinality(String) COMMENT 'CPU brand string.' CODEC(ZSTD),
    `cpu_family_model_stepping` LowCardinality(String) COMMENT 'CPU family, model and stepping, decimal.' CODEC(ZSTD),
    `total_memory` Nullable(Int64) COMMENT 'Physical memory of the host.',
    `architecture` LowCardinality(String) COMMENT '`uname -m`.' CODEC(ZSTD),
    `platform` LowCardinality(String) COMMENT 'Python\'s `platform.platform()`.' CODEC(ZSTD),
    `cuda_runtime` LowCardinality(Nullable(String)) COMMENT 'CUDA version of the framework; `tpu_inference` on TPU.' CODEC(ZSTD),
    `gpu_count` Nullable(Int64) COMMENT 'Accelerators visible to the process.',
    `gpu_type` LowCardinality(Nullable(String)) COMMENT 'Name of the first accelerator.' CODEC(ZSTD),
    `gpu_memory_per_device` Nullable(Int64) COMMENT 'Memory of the first accelerator.',
    `env_var_json` LowCardinality(String) COMMENT 'Settings that come from environment variables, as a JSON object in a string.' CODEC(ZSTD),
    `model_architecture` LowCardinality(String) COMMENT 'Model class name, `Backend(Wrapped)` when a backend wraps it.' CODEC(ZSTD),
    `vllm_version` LowCardinality(String) COMMENT 'Package version.' CODEC(ZSTD),
    `context` LowCardinality(String) COMMENT 'Entry point: `ENGINE_CONTEXT`, `LLM_CLASS`, `API_SERVER`, ...' CODEC(ZSTD),
    `log_time` Int64 COMMENT 'Wall clock at the record, since the Unix epoch.' CODEC(Delta, ZSTD),
    `source` LowCardinality(String) COMMENT 'Where it runs, as the operator says it.' CODEC(ZSTD),
    `dtype` LowCardinality(String) COMMENT 'Model data type, `torch.<name>`.' CODEC(ZSTD),
    `block_size` Nullable(Int64) COMMENT 'KV-cache block size in tokens.',
    `gpu_memory_utilization` Nullable(Float64) COMMENT 'Fraction of the device\'s memory in use, 0 to 1.',
    `kv_cache_memory_bytes` Nullable(Int64) COMMENT 'Explicit KV-cache size in bytes.',
    `quantization` LowCardinality(Nullable(String)) COMMENT 'Quantization method; `None`: not quantized.' CODEC(ZSTD),
    `kv_cache_dtype` LowCardinality(String) COMMENT 'KV-cache data type: `auto`, `fp8`, ...' CODEC(ZSTD),
    `enable_lora` Bool COMMENT 'Whether LoRA is configured.',
    `enable_prefix_caching` Nullable(Bool) COMMENT 'Whether prefixes are cached.',
    `enforce_eager` Bool COMMENT 'Whether CUDA graphs are off.',
    `disable_custom_all_reduce` Bool COMMENT 'Whether the custom all-reduce is off.',
    `tensor_parallel_size` Int64 COMMENT 'Ranks of tensor parallelism.',
    `data_parallel_size` Int64 COMMENT 'Ranks of data parallelism.',
    `pipeline_parallel_size` Int64 COMMENT 'Ranks of pipeline parallelism.',
    `enable_expert_parallel` Bool COMMENT 'Whether experts are parallel.',
    `all2all_backend` LowCardinality(Nullable(String)) COMMENT 'All-to-all backend.' CODEC(ZSTD),
    `kv_connector` LowCardinality(Nullable(String)) COMMENT 'Class name of the KV connector.' CODEC(ZSTD),
    `received` DateTime64(3) DEFAULT now64(3) CODEC(Delta, ZSTD)
) ENGINE = ReplacingMergeTree ORDER BY (`uuid`, `log_time`)
TTL toDateTime(received) + INTERVAL 400 DAY;

CREATE VIEW IF NOT EXISTS usage_vllm_0_11_report_otel AS SELECT
    if(ResourceAttributes['service.instance.id'] = '', '', ResourceAttributes['service.instance.id']) AS `uuid`,
    transform(ResourceAttributes['cloud.provider'], ['aws', 'azure', 'gcp', 'oracle_cloud', 'runpod'], ['AWS', 'AZURE', 'GCP', 'OCI', 'RUNPOD'], 'UNKNOWN') AS `provider`,
    if(ResourceAttributes['otel_usage.cpu.count'] = '', NULL, toInt64(ResourceAttributes['otel_usage.cpu.count'])) AS `num_cpu`,
    if(ResourceAttributes['host.cpu.model.name'] = '', '', ResourceAttributes['host.cpu.model.name']) AS `cpu_type`,
    concat(ResourceAttributes['host.cpu.family'], ',', ResourceAttributes['host.cpu.model.id'], ',', ResourceAttributes['host.cpu.stepping']) AS `cpu_family_model_stepping`,
    if(ResourceAttributes['otel_usage.memory.total'] = '', NULL, toInt64(ResourceAttributes['otel_usage.memory.total'])) AS `total_memory`,
    if(ResourceAttributes['otel_usage.machine'] = '', '', ResourceAttributes['otel_usage.machine']) AS `architecture`,
    if(ResourceAttributes['otel_usage.platform'] = '', '', ResourceAttributes['otel_usage.platform']) AS `platform`,
    if(ResourceAttributes['vllm.cuda.runtime'] = '', NULL, ResourceAttributes['vllm.cuda.runtime']) AS `cuda_runtime`,
    if(ResourceAttributes['otel_usage.accelerator.count'] = '', NULL, toInt64(ResourceAttributes['otel_usage.accelerator.count'])) AS `gpu_count`,
    if(ResourceAttributes['otel_usage.accelerator.name'] = '', NULL, ResourceAttributes['otel_usage.accelerator.name']) AS `gpu_type`,
    if(ResourceAttributes['otel_usage.accelerator.memory'] = '', NULL, toInt64(ResourceAttributes['otel_usage.accelerator.memory'])) AS `gpu_memory_per_device`,
    if(SpanAttributes['vllm.env'] = '', '{}', SpanAttributes['vllm.env']) AS `env_var_json`,
    if(SpanAttributes['vllm.model.architecture'] = '', '', SpanAttributes['vllm.model.architecture']) AS `model_architecture`,
    if(ResourceAttributes['service.version'] = '', '', ResourceAttributes['service.version']) AS `vllm_version`,
    if(SpanAttributes['vllm.usage.context'] = '', 'UNKNOWN_CONTEXT', SpanAttributes['vllm.usage.context']) AS `context`,
    toUnixTimestamp64Nano(toDateTime64(Timestamp, 9)) + toInt64(Duration) AS `log_time`,
    if(ResourceAttributes['vllm.usage.source'] = '', 'production', ResourceAttributes['vllm.usage.source']) AS `source`,
    if(SpanAttributes['vllm.model.dtype'] = '', '', SpanAttributes['vllm.model.dtype']) AS `dtype`,
    if(SpanAttributes['vllm.cache.block_size'] = '', NULL, toInt64(SpanAttributes['vllm.cache.block_size'])) AS `block_size`,
    if(SpanAttributes['vllm.cache.gpu_memory_utilization'] = '', NULL, toFloat64(SpanAttributes['vllm.cache.gpu_memory_utilization'])) AS `gpu_memory_utilization`,
    if(SpanAttributes['vllm.cache.memory_bytes'] = '', NULL, toInt64(SpanAttributes['vllm.cache.memory_bytes'])) AS `kv_cache_memory_bytes`,
    if(SpanAttributes['vllm.model.quantization'] = '', NULL, SpanAttributes['vllm.model.quantization']) AS `quantization`,
    if(SpanAttributes['vllm.cache.dtype'] = '', 'auto', SpanAttributes['vllm.cache.dtype']) AS `kv_cache_dtype`,
    if(SpanAttributes['vllm.feature.lora'] = '', false, toBool(SpanAttributes['vllm.feature.lora'])) AS `enable_lora`,
    if(SpanAttributes['vllm.feature.prefix_caching'] = '', NULL, toBool(SpanAttributes['vllm.feature.prefix_caching'])) AS `enable_prefix_caching`,
    if(SpanAttributes['vllm.feature.enforce_eager'] = '', false, toBool(SpanAttributes['vllm.feature.enforce_eager'])) AS `enforce_eager`,
    if(SpanAttributes['vllm.parallel.disable_custom_all_reduce'] = '', false, toBool(SpanAttributes['vllm.parallel.disable_custom_all_reduce'])) AS `disable_custom_all_reduce`,
    if(SpanAttributes['vllm.parallel.tensor'] = '', toInt64(1), toInt64(SpanAttributes['vllm.parallel.tensor'])) AS `tensor_parallel_size`,
    if(SpanAttributes['vllm.parallel.data'] = '', toInt64(1), toInt64(SpanAttributes['vllm.parallel.data'])) AS `data_parallel_size`,
    if(SpanAttributes['vllm.parallel.pipeline'] = '', toInt64(1), toInt64(SpanAttributes['vllm.parallel.pipeline'])) AS `pipeline_parallel_size`,
    if(SpanAttributes['vllm.parallel.expert'] = '', false, toBool(SpanAttributes['vllm.parallel.expert'])) AS `enable_expert_parallel`,
    if(SpanAttributes['vllm.parallel.all2all_backend'] = '', NULL, SpanAttributes['vllm.parallel.all2all_backend']) AS `all2all_backend`,
    if(SpanAttributes['vllm.kv_connector'] = '', NULL, SpanAttributes['vllm.kv_connector']) AS `kv_connector`
FROM otel_traces
WHERE SpanAttributes['otel_usage.contract'] = 'vllm/0.11' AND SpanName = 'vllm.report';

CREATE TABLE IF NOT EXISTS usage_vllm_0_11_heartbeat (
    `uuid` String COMMENT 'Random identity of the process; the same in its heartbeats.' CODEC(ZSTD),
    `log_time` Int64 COMMENT 'Wall clock at the record, since the Unix epoch.' CODEC(Delta, ZSTD),
    `received` DateTime64(3) DEFAULT now64(3) CODEC(Delta, ZSTD)
) ENGINE = ReplacingMergeTree ORDER BY (`uuid`, `log_time`)
TTL toDateTime(received) + INTERVAL 400 DAY;

CREATE VIEW IF NOT EXISTS usage_vllm_0_11_heartbeat_otel AS SELECT
    if(ResourceAttributes['service.instance.id'] = '', '', ResourceAttributes['service.instance.id']) AS `uuid`,
    toUnixTimestamp64Nano(toDateTime64(Timestamp, 9)) + toInt64(Duration) AS `log_time`
FROM otel_traces
WHERE SpanAttributes['otel_usage.contract'] = 'vllm/0.11' AND SpanName = 'vllm.heartbeat';
