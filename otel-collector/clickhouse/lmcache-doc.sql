-- Generated from the contracts by `otel-usage schema --format clickhouse`.
-- The views read `otel_traces`, which the OpenTelemetry Collector's exporter makes.

CREATE TABLE IF NOT EXISTS usage_lmcache_doc_EnvMessage (
    `message_type` LowCardinality(String) COMMENT 'Which message this is.' CODEC(ZSTD),
    `provider` LowCardinality(String) COMMENT 'Cloud provider.' CODEC(ZSTD),
    `num_cpu` Int64 COMMENT 'Online logical CPUs of the host.',
    `cpu_type` LowCardinality(String) COMMENT 'CPU brand string.' CODEC(ZSTD),
    `cpu_family_model_stepping` LowCardinality(String) COMMENT 'CPU family, model and stepping, decimal.' CODEC(ZSTD),
    `total_memory` Int64 COMMENT 'Physical memory of the host.',
    `architecture` Array(LowCardinality(String)) COMMENT 'Word size and linkage.' CODEC(ZSTD),
    `platforms` LowCardinality(String) COMMENT 'Python\'s `platform.platform()`.' CODEC(ZSTD),
    `gpu_count` Int64 COMMENT 'Accelerators; without any, physical CPU cores.',
    `gpu_type` LowCardinality(String) COMMENT 'Name of the first accelerator.' CODEC(ZSTD),
    `gpu_memory_per_device` Int64 COMMENT 'Memory of the first accelerator; without any, of the host.',
    `source` LowCardinality(String) COMMENT '`DOCKER`, `PIP`, `CONDA` or `UNKNOWN`.' CODEC(ZSTD),
    `received` DateTime64(3) DEFAULT now64(3) CODEC(Delta, ZSTD)
) ENGINE = MergeTree ORDER BY received
TTL toDateTime(received) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 1000;

CREATE VIEW IF NOT EXISTS usage_lmcache_doc_EnvMessage_otel AS SELECT
    'EnvMessage' AS `message_type`,
    transform(ResourceAttributes['cloud.provider'], ['aws', 'azure', 'gcp', 'oracle_cloud', 'runpod'], ['AWS', 'AZURE', 'GCP', 'OCI', 'RUNPOD'], 'UNKNOWN') AS `provider`,
    if(ResourceAttributes['otel_usage.cpu.count'] = '', toInt64(0), toInt64(ResourceAttributes['otel_usage.cpu.count'])) AS `num_cpu`,
    if(ResourceAttributes['host.cpu.model.name'] = '', '', ResourceAttributes['host.cpu.model.name']) AS `cpu_type`,
    concat(ResourceAttributes['host.cpu.family'], ',', ResourceAttributes['host.cpu.model.id'], ',', ResourceAttributes['host.cpu.stepping']) AS `cpu_family_model_stepping`,
    if(ResourceAttributes['otel_usage.memory.total'] = '', toInt64(0), toInt64(ResourceAttributes['otel_usage.memory.total'])) AS `total_memory`,
    if(ResourceAttributes['otel_usage.architecture'] = '', ['', ''], JSONExtract(ResourceAttributes['otel_usage.architecture'], 'Array(String)')) AS `architecture`,
    if(ResourceAttributes['otel_usage.platform'] = '', '', ResourceAttributes['otel_usage.platform']) AS `platforms`,
    if(ResourceAttributes['otel_usage.accelerator.count'] = '' AND ResourceAttributes['otel_usage.probe.accelerator'] = '', if(ResourceAttributes['otel_usage.cpu.physical_count'] = '', toInt64(0), toInt64(ResourceAttributes['otel_usage.cpu.physical_count'])), if(ResourceAttributes['otel_usage.accelerator.count'] = '', toInt64(0), toInt64(ResourceAttributes['otel_usage.accelerator.count']))) AS `gpu_count`,
    if(ResourceAttributes['otel_usage.accelerator.name'] = '', '', ResourceAttributes['otel_usage.accelerator.name']) AS `gpu_type`,
    if(ResourceAttributes['otel_usage.accelerator.memory'] = '' AND ResourceAttributes['otel_usage.probe.accelerator'] = '', if(ResourceAttributes['otel_usage.memory.total'] = '', toInt64(0), toInt64(ResourceAttributes['otel_usage.memory.total'])), if(ResourceAttributes['otel_usage.accelerator.memory'] = '', toInt64(0), toInt64(ResourceAttributes['otel_usage.accelerator.memory']))) AS `gpu_memory_per_device`,
    if(ResourceAttributes['lmcache.install.source'] = '', 'UNKNOWN', ResourceAttributes['lmcache.install.source']) AS `source`
FROM otel_traces
WHERE SpanAttributes['otel_usage.contract'] = 'lmcache/doc' AND SpanName = 'lmcache.environment';

CREATE TABLE IF NOT EXISTS usage_lmcache_doc_EngineMessage (
    `message_type` LowCardinality(String) COMMENT 'Which message this is.' CODEC(ZSTD),
    `chunksize` Int64 COMMENT 'Tokens in one chunk.',
    `local_device` LowCardinality(String) COMMENT '`cpu` when CPU caching is on, else the accelerator type (`cuda`, `xpu`, ...).' CODEC(ZSTD),
    `max_local_cache_size` Int64 COMMENT 'Configured CPU cache in GB, truncated.',
    `remote_url` LowCardinality(Nullable(String)) COMMENT 'Remote backend. Only the URL\'s scheme leaves.' CODEC(ZSTD),
    `remote_serde` LowCardinality(Nullable(String)) COMMENT 'Serializer of the remote backend.' CODEC(ZSTD),
    `pipelined_backend` Bool COMMENT 'Always false: a backend that upstream no longer has.',
    `save_decode_cache` Bool COMMENT 'Whether the cache of decoded tokens is kept.',
    `enable_blending` Bool COMMENT 'Whether blending is on.',
    `blend_recompute_ratio` Float64 COMMENT 'Always 0.15: a setting that upstream no longer has.',
    `blend_min_tokens` Int64 COMMENT 'Least tokens to blend.',
    `model_name` LowCardinality(String) COMMENT 'The model. A path on this machine becomes `<local>`.' CODEC(ZSTD),
    `world_size` Int64 COMMENT 'Ranks.',
    `worker_id` Int64 COMMENT 'This rank.',
    `kv_dtype` LowCardinality(String) COMMENT 'KV data type, `torch.<name>`.' CODEC(ZSTD),
    `kv_shape` Array(Int64) COMMENT 'Layers, K/V planes, tokens of a chunk, KV heads, head size.' CODEC(ZSTD),
    `received` DateTime64(3) DEFAULT now64(3) CODEC(Delta, ZSTD)
) ENGINE = MergeTree ORDER BY received
TTL toDateTime(received) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 1000;

CREATE VIEW IF NOT EXISTS usage_lmcache_doc_EngineMessage_otel AS SELECT
    'EngineMessage' AS `message_type`,
    if(SpanAttributes['lmcache.chunk_size'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.chunk_size'])) AS `chunksize`,
    if(SpanAttributes['lmcache.local_device'] = '', '', SpanAttributes['lmcache.local_device']) AS `local_device`,
    if(SpanAttributes['lmcache.local_cache.max_gb'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.local_cache.max_gb'])) AS `max_local_cache_size`,
    if(SpanAttributes['lmcache.remote.url'] = '', NULL, SpanAttributes['lmcache.remote.url']) AS `remote_url`,
    if(SpanAttributes['lmcache.remote.serde'] = '', NULL, SpanAttributes['lmcache.remote.serde']) AS `remote_serde`,
    false AS `pipelined_backend`,
    if(SpanAttributes['lmcache.save_decode_cache'] = '', false, toBool(SpanAttributes['lmcache.save_decode_cache'])) AS `save_decode_cache`,
    if(SpanAttributes['lmcache.blending.enabled'] = '', false, toBool(SpanAttributes['lmcache.blending.enabled'])) AS `enable_blending`,
    toFloat64(0.15) AS `blend_recompute_ratio`,
    if(SpanAttributes['lmcache.blending.min_tokens'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.blending.min_tokens'])) AS `blend_min_tokens`,
    if(SpanAttributes['lmcache.model.name'] = '', '', SpanAttributes['lmcache.model.name']) AS `model_name`,
    if(SpanAttributes['lmcache.world_size'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.world_size'])) AS `world_size`,
    if(SpanAttributes['lmcache.worker_id'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.worker_id'])) AS `worker_id`,
    if(SpanAttributes['lmcache.kv.dtype'] = '', '', SpanAttributes['lmcache.kv.dtype']) AS `kv_dtype`,
    if(SpanAttributes['lmcache.kv.shape'] = '', CAST([], 'Array(Int64)'), JSONExtract(SpanAttributes['lmcache.kv.shape'], 'Array(Int64)')) AS `kv_shape`
FROM otel_traces
WHERE SpanAttributes['otel_usage.contract'] = 'lmcache/doc' AND SpanName = 'lmcache.engine';

CREATE TABLE IF NOT EXISTS usage_lmcache_doc_MetadataMessage (
    `message_type` LowCardinality(String) COMMENT 'Which message this is.' CODEC(ZSTD),
    `start_time` LowCardinality(String) COMMENT 'When the run started, local time.' CODEC(ZSTD),
    `duration` Float64 COMMENT 'Seconds from the start of the run to this message.',
    `received` DateTime64(3) DEFAULT now64(3) CODEC(Delta, ZSTD)
) ENGINE = MergeTree ORDER BY received
TTL toDateTime(received) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 1000;

CREATE VIEW IF NOT EXISTS usage_lmcache_doc_MetadataMessage_otel AS SELECT
    'MetadataMessage' AS `message_type`,
    if(SpanAttributes['otel_usage.run.start_time'] = '', '', SpanAttributes['otel_usage.run.start_time']) AS `start_time`,
    if(SpanAttributes['otel_usage.run.duration'] = '', toFloat64(0), toFloat64(SpanAttributes['otel_usage.run.duration'])) AS `duration`
FROM otel_traces
WHERE SpanAttributes['otel_usage.contract'] = 'lmcache/doc' AND SpanName = 'lmcache.metadata';
