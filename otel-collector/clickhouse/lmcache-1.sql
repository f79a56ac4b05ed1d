-- Generated from the contracts by `otel-usage schema --format clickhouse`.
-- The views read `otel_traces`, which the OpenTelemetry Collector's exporter makes.

CREATE TABLE IF NOT EXISTS usage_lmcache_1_EnvMessage (
    `message_type` LowCardinality(String) COMMENT 'Which message this is.' CODEC(ZSTD),
    `schema_version` Int64 COMMENT 'Changes only when a field changes its meaning.',
    `session_id` String COMMENT 'Random identity of the process.' CODEC(ZSTD),
    `machine_id` String COMMENT 'Random identity of the machine, kept by LMCache in a file.' CODEC(ZSTD),
    `deployment_mode` LowCardinality(String) COMMENT 'Whether LMCache runs inside an engine or as a server of its own.' CODEC(ZSTD),
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
) ENGINE = ReplacingMergeTree ORDER BY (`session_id`)
TTL toDateTime(received) + INTERVAL 400 DAY;

CREATE VIEW IF NOT EXISTS usage_lmcache_1_EnvMessage_otel AS SELECT
    'EnvMessage' AS `message_type`,
    toInt64(1) AS `schema_version`,
    if(ResourceAttributes['service.instance.id'] = '', '', ResourceAttributes['service.instance.id']) AS `session_id`,
    if(ResourceAttributes['lmcache.machine_id'] = '', '', ResourceAttributes['lmcache.machine_id']) AS `machine_id`,
    if(ResourceAttributes['lmcache.deployment_mode'] = '', 'single_process', ResourceAttributes['lmcache.deployment_mode']) AS `deployment_mode`,
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
WHERE SpanAttributes['otel_usage.contract'] = 'lmcache/1' AND SpanName = 'lmcache.environment';

CREATE TABLE IF NOT EXISTS usage_lmcache_1_EngineMessage (
    `message_type` LowCardinality(String) COMMENT 'Which message this is.' CODEC(ZSTD),
    `schema_version` Int64 COMMENT 'Changes only when a field changes its meaning.',
    `session_id` String COMMENT 'Random identity of the process.' CODEC(ZSTD),
    `machine_id` String COMMENT 'Random identity of the machine, kept by LMCache in a file.' CODEC(ZSTD),
    `deployment_mode` LowCardinality(String) COMMENT 'Whether LMCache runs inside an engine or as a server of its own.' CODEC(ZSTD),
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
) ENGINE = ReplacingMergeTree ORDER BY (`session_id`, `worker_id`)
TTL toDateTime(received) + INTERVAL 400 DAY;

CREATE VIEW IF NOT EXISTS usage_lmcache_1_EngineMessage_otel AS SELECT
    'EngineMessage' AS `message_type`,
    toInt64(1) AS `schema_version`,
    if(ResourceAttributes['service.instance.id'] = '', '', ResourceAttributes['service.instance.id']) AS `session_id`,
    if(ResourceAttributes['lmcache.machine_id'] = '', '', ResourceAttributes['lmcache.machine_id']) AS `machine_id`,
    if(ResourceAttributes['lmcache.deployment_mode'] = '', 'single_process', ResourceAttributes['lmcache.deployment_mode']) AS `deployment_mode`,
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
WHERE SpanAttributes['otel_usage.contract'] = 'lmcache/1' AND SpanName = 'lmcache.engine';

CREATE TABLE IF NOT EXISTS usage_lmcache_1_MetadataMessage (
    `message_type` LowCardinality(String) COMMENT 'Which message this is.' CODEC(ZSTD),
    `schema_version` Int64 COMMENT 'Changes only when a field changes its meaning.',
    `session_id` String COMMENT 'Random identity of the process.' CODEC(ZSTD),
    `machine_id` String COMMENT 'Random identity of the machine, kept by LMCache in a file.' CODEC(ZSTD),
    `deployment_mode` LowCardinality(String) COMMENT 'Whether LMCache runs inside an engine or as a server of its own.' CODEC(ZSTD),
    `start_time` LowCardinality(String) COMMENT 'When the run started, local time.' CODEC(ZSTD),
    `duration` Float64 COMMENT 'Seconds from the start of the run to this message.',
    `received` DateTime64(3) DEFAULT now64(3) CODEC(Delta, ZSTD)
) ENGINE = ReplacingMergeTree ORDER BY (`session_id`)
TTL toDateTime(received) + INTERVAL 400 DAY;

CREATE VIEW IF NOT EXISTS usage_lmcache_1_MetadataMessage_otel AS SELECT
    'MetadataMessage' AS `message_type`,
    toInt64(1) AS `schema_version`,
    if(ResourceAttributes['service.instance.id'] = '', '', ResourceAttributes['service.instance.id']) AS `session_id`,
    if(ResourceAttributes['lmcache.machine_id'] = '', '', ResourceAttributes['lmcache.machine_id']) AS `machine_id`,
    if(ResourceAttributes['lmcache.deployment_mode'] = '', 'single_process', ResourceAttributes['lmcache.deployment_mode']) AS `deployment_mode`,
    if(SpanAttributes['otel_usage.run.start_time'] = '', '', SpanAttributes['otel_usage.run.start_time']) AS `start_time`,
    if(SpanAttributes['otel_usage.run.duration'] = '', toFloat64(0), toFloat64(SpanAttributes['otel_usage.run.duration'])) AS `duration`
FROM otel_traces
WHERE SpanAttributes['otel_usage.contract'] = 'lmcache/1' AND SpanName = 'lmcache.metadata';

CREATE TABLE IF NOT EXISTS usage_lmcache_1_MPServerMessage (
    `message_type` LowCardinality(String) COMMENT 'Which message this is.' CODEC(ZSTD),
    `schema_version` Int64 COMMENT 'Changes only when a field changes its meaning.',
    `session_id` String COMMENT 'Random identity of the process.' CODEC(ZSTD),
    `machine_id` String COMMENT 'Random identity of the machine, kept by LMCache in a file.' CODEC(ZSTD),
    `deployment_mode` LowCardinality(String) COMMENT 'Whether LMCache runs inside an engine or as a server of its own.' CODEC(ZSTD),
    `lmcache_version` LowCardinality(String) COMMENT 'Package version.' CODEC(ZSTD),
    `chunk_size` Int64 COMMENT 'Tokens in one chunk.',
    `hash_algorithm` LowCardinality(String) COMMENT 'Hash of the chunks; LMCache\'s default is `blake3`.' CODEC(ZSTD),
    `engine_type` LowCardinality(String) COMMENT 'Engine type; LMCache\'s default is `default`.' CODEC(ZSTD),
    `enable_segmented_prefix` Bool COMMENT 'Whether prefixes are segmented.',
    `enable_dedup_content` Bool COMMENT 'Whether content is de-duplicated.',
    `supported_transfer_mode` LowCardinality(String) COMMENT 'Transfer mode; LMCache\'s default is `lmcache_driven`.' CODEC(ZSTD),
    `separate_object_groups` Bool COMMENT 'Whether object groups are separate.',
    `max_gpu_workers` Int64 COMMENT 'GPU workers at most.',
    `max_cpu_workers` Int64 COMMENT 'CPU workers at most.',
    `p2p_enabled` Bool COMMENT 'Whether peers exchange chunks.',
    `l1_size_bytes` Int64 COMMENT 'Size of the first level in bytes.',
    `l1_medium` LowCardinality(String) COMMENT 'Medium of the first level: `dram`, `gds`, `dram+devdax`.' CODEC(ZSTD),
    `l1_shm_enabled` Bool COMMENT 'Whether the first level is in shared memory.',
    `eviction_policy` LowCardinality(String) COMMENT 'Eviction policy, for example `LRU`.' CODEC(ZSTD),
    `l2_adapter_types` LowCardinality(String) COMMENT 'Adapter types of the second level, comma-joined.' CODEC(ZSTD),
    `l2_serde_types` LowCardinality(String) COMMENT 'Serializers of the second level, comma-joined, aligned with the adapters.' CODEC(ZSTD),
    `l2_store_policy` LowCardinality(String) COMMENT 'Store policy of the second level.' CODEC(ZSTD),
    `l2_prefetch_policy` LowCardinality(String) COMMENT 'Prefetch policy of the second level.' CODEC(ZSTD),
    `received` DateTime64(3) DEFAULT now64(3) CODEC(Delta, ZSTD)
) ENGINE = ReplacingMergeTree ORDER BY (`session_id`)
TTL toDateTime(received) + INTERVAL 400 DAY;

CREATE VIEW IF NOT EXISTS usage_lmcache_1_MPServerMessage_otel AS SELECT
    'MPServerMessage' AS `message_type`,
    toInt64(1) AS `schema_version`,
    if(ResourceAttributes['service.instance.id'] = '', '', ResourceAttributes['service.instance.id']) AS `session_id`,
    if(ResourceAttributes['lmcache.machine_id'] = '', '', ResourceAttributes['lmcache.machine_id']) AS `machine_id`,
    if(ResourceAttributes['lmcache.deployment_mode'] = '', 'single_process', ResourceAttributes['lmcache.deployment_mode']) AS `deployment_mode`,
    if(ResourceAttributes['service.version'] = '', '', ResourceAttributes['service.version']) AS `lmcache_version`,
    if(SpanAttributes['lmcache.chunk_size'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.chunk_size'])) AS `chunk_size`,
    if(SpanAttributes['lmcache.hash_algorithm'] = '', '', SpanAttributes['lmcache.hash_algorithm']) AS `hash_algorithm`,
    if(SpanAttributes['lmcache.engine_type'] = '', '', SpanAttributes['lmcache.engine_type']) AS `engine_type`,
    if(SpanAttributes['lmcache.segmented_prefix'] = '', false, toBool(SpanAttributes['lmcache.segmented_prefix'])) AS `enable_segmented_prefix`,
    if(SpanAttributes['lmcache.dedup_content'] = '', false, toBool(SpanAttributes['lmcache.dedup_content'])) AS `enable_dedup_content`,
    if(SpanAttributes['lmcache.transfer_mode'] = '', '', SpanAttributes['lmcache.transfer_mode']) AS `supported_transfer_mode`,
    if(SpanAttributes['lmcache.separate_object_groups'] = '', false, toBool(SpanAttributes['lmcache.separate_object_groups'])) AS `separate_object_groups`,
    if(SpanAttributes['lmcache.workers.gpu'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.workers.gpu'])) AS `max_gpu_workers`,
    if(SpanAttributes['lmcache.workers.cpu'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.workers.cpu'])) AS `max_cpu_workers`,
    if(SpanAttributes['lmcache.p2p'] = '', false, toBool(SpanAttributes['lmcache.p2p'])) AS `p2p_enabled`,
    if(SpanAttributes['lmcache.l1.size'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.l1.size'])) AS `l1_size_bytes`,
    if(SpanAttributes['lmcache.l1.medium'] = '', '', SpanAttributes['lmcache.l1.medium']) AS `l1_medium`,
    if(SpanAttributes['lmcache.l1.shared_memory'] = '', false, toBool(SpanAttributes['lmcache.l1.shared_memory'])) AS `l1_shm_enabled`,
    if(SpanAttributes['lmcache.eviction_policy'] = '', '', SpanAttributes['lmcache.eviction_policy']) AS `eviction_policy`,
    if(SpanAttributes['lmcache.l2.adapters'] = '', '', SpanAttributes['lmcache.l2.adapters']) AS `l2_adapter_types`,
    if(SpanAttributes['lmcache.l2.serdes'] = '', '', SpanAttributes['lmcache.l2.serdes']) AS `l2_serde_types`,
    if(SpanAttributes['lmcache.l2.store_policy'] = '', '', SpanAttributes['lmcache.l2.store_policy']) AS `l2_store_policy`,
    if(SpanAttributes['lmcache.l2.prefetch_policy'] = '', '', SpanAttributes['lmcache.l2.prefetch_policy']) AS `l2_prefetch_policy`
FROM otel_traces
WHERE SpanAttributes['otel_usage.contract'] = 'lmcache/1' AND SpanName = 'lmcache.mp_server';

CREATE TABLE IF NOT EXISTS usage_lmcache_1_ContinuousContextMessage (
    `message_type` LowCardinality(String) COMMENT 'Which message this is.' CODEC(ZSTD),
    `schema_version` Int64 COMMENT 'Changes only when a field changes its meaning.',
    `session_id` String COMMENT 'Random identity of the process.' CODEC(ZSTD),
    `machine_id` String COMMENT 'Random identity of the machine, kept by LMCache in a file.' CODEC(ZSTD),
    `deployment_mode` LowCardinality(String) COMMENT 'Whether LMCache runs inside an engine or as a server of its own.' CODEC(ZSTD),
    `interval_num_stored_tokens` Int64 COMMENT 'Tokens stored in the interval.',
    `interval_num_hit_tokens` Int64 COMMENT 'Tokens retrieved from the cache in the interval.',
    `interval_stored_kv_size` Int64 COMMENT 'Bytes stored in the interval; an estimate in an engine, exact in a server.',
    `sequence_number` Int64 COMMENT 'Which interval this is, from 1; a lost one leaves a gap.',
    `uptime_seconds` Float64 COMMENT 'Seconds since the run started.',
    `received` DateTime64(3) DEFAULT now64(3) CODEC(Delta, ZSTD)
) ENGINE = ReplacingMergeTree ORDER BY (`session_id`, `sequence_number`)
TTL toDateTime(received) + INTERVAL 400 DAY;

CREATE VIEW IF NOT EXISTS usage_lmcache_1_ContinuousContextMessage_otel AS SELECT
    'ContinuousContextMessage' AS `message_type`,
    toInt64(1) AS `schema_version`,
    if(ResourceAttributes['service.instance.id'] = '', '', ResourceAttributes['service.instance.id']) AS `session_id`,
    if(ResourceAttributes['lmcache.machine_id'] = '', '', ResourceAttributes['lmcache.machine_id']) AS `machine_id`,
    if(ResourceAttributes['lmcache.deployment_mode'] = '', 'single_process', ResourceAttributes['lmcache.deployment_mode']) AS `deployment_mode`,
    if(SpanAttributes['lmcache.tokens.stored'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.tokens.stored'])) AS `interval_num_stored_tokens`,
    if(SpanAttributes['lmcache.tokens.hit'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.tokens.hit'])) AS `interval_num_hit_tokens`,
    if(SpanAttributes['lmcache.bytes.stored'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.bytes.stored'])) AS `interval_stored_kv_size`,
    if(SpanAttributes['otel_usage.sequence_number'] = '', toInt64(0), toInt64(SpanAttributes['otel_usage.sequence_number'])) AS `sequence_number`,
    if(SpanAttributes['otel_usage.run.duration'] = '', toFloat64(0), toFloat64(SpanAttributes['otel_usage.run.duration'])) AS `uptime_seconds`
FROM otel_traces
WHERE SpanAttributes['otel_usage.contract'] = 'lmcache/1' AND SpanName = 'lmcache.cache_usage';

CREATE TABLE IF NOT EXISTS usage_lmcache_1_CacheLifespanMessage (
    `message_type` LowCardinality(String) COMMENT 'Which message this is.' CODEC(ZSTD),
    `schema_version` Int64 COMMENT 'Changes only when a field changes its meaning.',
    `session_id` String COMMENT 'Random identity of the process.' CODEC(ZSTD),
    `machine_id` String COMMENT 'Random identity of the machine, kept by LMCache in a file.' CODEC(ZSTD),
    `deployment_mode` LowCardinality(String) COMMENT 'Whether LMCache runs inside an engine or as a server of its own.' CODEC(ZSTD),
    `cache_lifespan_histogram` Map(String, Int64) COMMENT 'Minutes from storing a chunk to its reuse: each key is the upper bound of its count.' CODEC(ZSTD),
    `sequence_number` Int64 COMMENT 'Which interval this is, from 1; a lost one leaves a gap.',
    `uptime_seconds` Float64 COMMENT 'Seconds since the run started.',
    `received` DateTime64(3) DEFAULT now64(3) CODEC(Delta, ZSTD)
) ENGINE = ReplacingMergeTree ORDER BY (`session_id`, `sequence_number`)
TTL toDateTime(received) + INTERVAL 400 DAY;

CREATE VIEW IF NOT EXISTS usage_lmcache_1_CacheLifespanMessage_otel AS SELECT
    'CacheLifespanMessage' AS `message_type`,
    toInt64(1) AS `schema_version`,
    if(ResourceAttributes['service.instance.id'] = '', '', ResourceAttributes['service.instance.id']) AS `session_id`,
    if(ResourceAttributes['lmcache.machine_id'] = '', '', ResourceAttributes['lmcache.machine_id']) AS `machine_id`,
    if(ResourceAttributes['lmcache.deployment_mode'] = '', 'single_process', ResourceAttributes['lmcache.deployment_mode']) AS `deployment_mode`,
    mapFromArrays(['0', '1', '5', '10', '20', '40', '60', '80', '100', '250', '500', '750', '1000', '2500', '5000'], arrayResize(JSONExtract(SpanAttributes['lmcache.cache.lifespan'], 'Array(Int64)'), 15, 0)) AS `cache_lifespan_histogram`,
    if(SpanAttributes['otel_usage.sequence_number'] = '', toInt64(0), toInt64(SpanAttributes['otel_usage.sequence_number'])) AS `sequence_number`,
    if(SpanAttributes['otel_usage.run.duration'] = '', toFloat64(0), toFloat64(SpanAttributes['otel_usage.run.duration'])) AS `uptime_seconds`
FROM otel_traces
WHERE SpanAttributes['otel_usage.contract'] = 'lmcache/1' AND SpanName = 'lmcache.cache_lifespan';

CREATE TABLE IF NOT EXISTS usage_lmcache_1_L1UsageMessage (
    `message_type` LowCardinality(String) COMMENT 'Which message this is.' CODEC(ZSTD),
    `schema_version` Int64 COMMENT 'Changes only when a field changes its meaning.',
    `session_id` String COMMENT 'Random identity of the process.' CODEC(ZSTD),
    `machine_id` String COMMENT 'Random identity of the machine, kept by LMCache in a file.' CODEC(ZSTD),
    `deployment_mode` LowCardinality(String) COMMENT 'Whether LMCache runs inside an engine or as a server of its own.' CODEC(ZSTD),
    `active_seconds` Float64 COMMENT 'Length of the interval.',
    `bytes_used` Int64 COMMENT 'Bytes held by the first level; -1 when its probe failed.',
    `capacity_bytes` Int64 COMMENT 'Capacity of the first level; 0 when its probe failed.',
    `sequence_number` Int64 COMMENT 'Which interval this is, from 1; a lost one leaves a gap.',
    `uptime_seconds` Float64 COMMENT 'Seconds since the run started.',
    `received` DateTime64(3) DEFAULT now64(3) CODEC(Delta, ZSTD)
) ENGINE = ReplacingMergeTree ORDER BY (`session_id`, `sequence_number`)
TTL toDateTime(received) + INTERVAL 400 DAY;

CREATE VIEW IF NOT EXISTS usage_lmcache_1_L1UsageMessage_otel AS SELECT
    'L1UsageMessage' AS `message_type`,
    toInt64(1) AS `schema_version`,
    if(ResourceAttributes['service.instance.id'] = '', '', ResourceAttributes['service.instance.id']) AS `session_id`,
    if(ResourceAttributes['lmcache.machine_id'] = '', '', ResourceAttributes['lmcache.machine_id']) AS `machine_id`,
    if(ResourceAttributes['lmcache.deployment_mode'] = '', 'single_process', ResourceAttributes['lmcache.deployment_mode']) AS `deployment_mode`,
    if(SpanAttributes['otel_usage.interval.duration'] = '', toFloat64(0), toFloat64(SpanAttributes['otel_usage.interval.duration'])) AS `active_seconds`,
    if(SpanAttributes['lmcache.l1.used'] = '', toInt64(-1), toInt64(SpanAttributes['lmcache.l1.used'])) AS `bytes_used`,
    if(SpanAttributes['lmcache.l1.capacity'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.l1.capacity'])) AS `capacity_bytes`,
    if(SpanAttributes['otel_usage.sequence_number'] = '', toInt64(0), toInt64(SpanAttributes['otel_usage.sequence_number'])) AS `sequence_number`,
    if(SpanAttributes['otel_usage.run.duration'] = '', toFloat64(0), toFloat64(SpanAttributes['otel_usage.run.duration'])) AS `uptime_seconds`
FROM otel_traces
WHERE SpanAttributes['otel_usage.contract'] = 'lmcache/1' AND SpanName = 'lmcache.l1_usage';

CREATE TABLE IF NOT EXISTS usage_lmcache_1_L2ConnectorUsageMessage (
    `message_type` LowCardinality(String) COMMENT 'Which message this is.' CODEC(ZSTD),
    `schema_version` Int64 COMMENT 'Changes only when a field changes its meaning.',
    `session_id` String COMMENT 'Random identity of the process.' CODEC(ZSTD),
    `machine_id` String COMMENT 'Random identity of the machine, kept by LMCache in a file.' CODEC(ZSTD),
    `deployment_mode` LowCardinality(String) COMMENT 'Whether LMCache runs inside an engine or as a server of its own.' CODEC(ZSTD),
    `l2_name` LowCardinality(String) COMMENT 'Type of the adapter.' CODEC(ZSTD),
    `active_seconds` Float64 COMMENT 'Length of the interval.',
    `interval_stored_bytes` Int64 COMMENT 'Bytes stored in the interval.',
    `interval_store_succeeded_keys` Int64 COMMENT 'Chunks stored in the interval.',
    `interval_store_failed_keys` Int64 COMMENT 'Chunks that could not be stored in the interval.',
    `interval_load_submitted_keys` Int64 COMMENT 'Chunks asked for in the interval.',
    `interval_load_submitted_bytes` Int64 COMMENT 'Bytes asked for in the interval.',
    `bytes_used` Int64 COMMENT 'Bytes held by adapters of this type; -1 when unknown.',
    `capacity_bytes` Int64 COMMENT 'Capacity of the bounded adapters of this type; 0 when none is bounded.',
    `unbounded_adapters` Int64 COMMENT 'Adapters of this type without a known capacity.',
    `sequence_number` Int64 COMMENT 'Which interval this is, from 1; a lost one leaves a gap.',
    `uptime_seconds` Float64 COMMENT 'Seconds since the run started.',
    `received` DateTime64(3) DEFAULT now64(3) CODEC(Delta, ZSTD)
) ENGINE = ReplacingMergeTree ORDER BY (`session_id`, `l2_name`, `sequence_number`)
TTL toDateTime(received) + INTERVAL 400 DAY;

CREATE VIEW IF NOT EXISTS usage_lmcache_1_L2ConnectorUsageMessage_otel AS SELECT
    'L2ConnectorUsageMessage' AS `message_type`,
    toInt64(1) AS `schema_version`,
    if(ResourceAttributes['service.instance.id'] = '', '', ResourceAttributes['service.instance.id']) AS `session_id`,
    if(ResourceAttributes['lmcache.machine_id'] = '', '', ResourceAttributes['lmcache.machine_id']) AS `machine_id`,
    if(ResourceAttributes['lmcache.deployment_mode'] = '', 'single_process', ResourceAttributes['lmcache.deployment_mode']) AS `deployment_mode`,
    if(SpanAttributes['lmcache.l2.adapter'] = '', '', SpanAttributes['lmcache.l2.adapter']) AS `l2_name`,
    if(SpanAttributes['otel_usage.interval.duration'] = '', toFloat64(0), toFloat64(SpanAttributes['otel_usage.interval.duration'])) AS `active_seconds`,
    if(SpanAttributes['lmcache.l2.bytes.stored'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.l2.bytes.stored'])) AS `interval_stored_bytes`,
    if(SpanAttributes['lmcache.l2.keys.stored'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.l2.keys.stored'])) AS `interval_store_succeeded_keys`,
    if(SpanAttributes['lmcache.l2.keys.failed'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.l2.keys.failed'])) AS `interval_store_failed_keys`,
    if(SpanAttributes['lmcache.l2.keys.loading'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.l2.keys.loading'])) AS `interval_load_submitted_keys`,
    if(SpanAttributes['lmcache.l2.bytes.loading'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.l2.bytes.loading'])) AS `interval_load_submitted_bytes`,
    if(SpanAttributes['lmcache.l2.used'] = '', toInt64(-1), toInt64(SpanAttributes['lmcache.l2.used'])) AS `bytes_used`,
    if(SpanAttributes['lmcache.l2.capacity'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.l2.capacity'])) AS `capacity_bytes`,
    if(SpanAttributes['lmcache.l2.unbounded'] = '', toInt64(0), toInt64(SpanAttributes['lmcache.l2.unbounded'])) AS `unbounded_adapters`,
    if(SpanAttributes['otel_usage.sequence_number'] = '', toInt64(0), toInt64(SpanAttributes['otel_usage.sequence_number'])) AS `sequence_number`,
    if(SpanAttributes['otel_usage.run.duration'] = '', toFloat64(0), toFloat64(SpanAttributes['otel_usage.run.duration'])) AS `uptime_seconds`
FROM otel_traces
WHERE SpanAttributes['otel_usage.contract'] = 'lmcache/1' AND SpanName = 'lmcache.l2_usage';
