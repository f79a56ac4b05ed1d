//! LMCache's contracts: as documented, and schema version 1 of its released clients.
//!
//! One flat object per message, each to its own endpoint; unknown is a sentinel (`0`, `""`), never
//! `null` except for the two remote settings. Records: `lmcache.environment` (made for the engine),
//! `lmcache.engine` ([`Engine`]), `lmcache.mp_server` ([`MpServer`]) and `lmcache.metadata` (made for
//! the engine).

use std::borrow::Cow;

use super::field::{
    AS_IS, FALSE, ONE, ZERO, accelerator_or, attributes, field, fields, list, record, resource,
    text,
};
use super::record::typed_record;
use super::sanitize::FREE_TEXT;
use super::{
    Attribute, Contract, Directory, Field, Literal, MessageSpec, OffWhen, Sanitizer, Source,
    Switch, Trigger, Type, environment,
};

use Literal::Null;

/// The kind of the environment report.
pub const ENVIRONMENT: &str = "lmcache.environment";
/// The kind of the single-process engine's report.
pub const ENGINE: &str = "lmcache.engine";
/// The kind of the multi-process server's report.
pub const MP_SERVER: &str = "lmcache.mp_server";
/// The kind of the run's metadata.
pub const METADATA: &str = "lmcache.metadata";

/// Identity of the machine, from LMCache's own file; read, never created here.
pub const MACHINE_ID: &str = "lmcache.machine_id";
/// `single_process` or `mp_server`.
pub const DEPLOYMENT_MODE: &str = "lmcache.deployment_mode";
/// How LMCache was installed.
pub const INSTALL_SOURCE: &str = "lmcache.install.source";
/// When the run started, local time without zone, `YYYY-MM-DD HH:MM:SS`.
pub(crate) const START_TIME: &str = "usage.run.start_time";
/// Seconds since the run started.
pub(crate) const DURATION: &str = "usage.run.duration";

/// LMCache with schema version 1, as of 0.5.6.
pub static V1: Contract = contract("lmcache/1", V1_MESSAGES);
/// LMCache as its documentation shows it: no header fields, metadata at the end of the run.
pub static DOC: Contract = contract("lmcache/doc", DOC_MESSAGES);

typed_record! {
    /// What a single-process LMCache engine says about itself at start.
    ///
    /// Fill it with `..Default::default()`, so that a field added later does not break the engine.
    pub struct Engine = ENGINE {
        /// Tokens in one chunk.
        chunk_size: i64 = "lmcache.chunk_size",
        /// `cpu` when CPU caching is on, else the accelerator type (`cuda`, `xpu`, ...).
        local_device: String = "lmcache.local_device",
        /// Configured CPU cache in GB, truncated.
        max_local_cache_size: i64 = "lmcache.local_cache.max_gb",
        /// Remote backend. Only the URL's scheme leaves.
        remote_url: Option<String> = "lmcache.remote.url",
        /// Serializer of the remote backend.
        remote_serde: Option<String> = "lmcache.remote.serde",
        /// Whether the cache of decoded tokens is kept.
        save_decode_cache: bool = "lmcache.save_decode_cache",
        /// Whether blending is on.
        enable_blending: bool = "lmcache.blending.enabled",
        /// Least tokens to blend.
        blend_min_tokens: i64 = "lmcache.blending.min_tokens",
        /// The model. A path on this machine becomes `<local>`.
        model_name: String = "gen_ai.request.model",
        /// Ranks.
        world_size: i64 = "lmcache.world_size",
        /// This rank.
        worker_id: i64 = "lmcache.worker_id",
        /// KV data type, `torch.<name>`.
        kv_dtype: String = "lmcache.kv.dtype",
        /// Layers, K/V planes, tokens of a chunk, KV heads, head size.
        kv_shape: Vec<i64> = "lmcache.kv.shape",
    }
}

typed_record! {
    /// What a multi-process LMCache server says about itself at start.
    ///
    /// Fill it with `..Default::default()`, so that a field added later does not break the engine.
    pub struct MpServer = MP_SERVER {
        /// Tokens in one chunk.
        chunk_size: i64 = "lmcache.chunk_size",
        /// Hash of the chunks; LMCache's default is `blake3`.
        hash_algorithm: String = "lmcache.hash_algorithm",
        /// Engine type; LMCache's default is `default`.
        engine_type: String = "lmcache.engine_type",
        /// Whether prefixes are segmented.
        enable_segmented_prefix: bool = "lmcache.segmented_prefix",
        /// Whether content is de-duplicated.
        enable_dedup_content: bool = "lmcache.dedup_content",
        /// Transfer mode; LMCache's default is `lmcache_driven`.
        supported_transfer_mode: String = "lmcache.transfer_mode",
        /// Whether object groups are separate.
        separate_object_groups: bool = "lmcache.separate_object_groups",
        /// GPU workers at most.
        max_gpu_workers: i64 = "lmcache.workers.gpu",
        /// CPU workers at most.
        max_cpu_workers: i64 = "lmcache.workers.cpu",
        /// Whether peers exchange chunks.
        p2p_enabled: bool = "lmcache.p2p",
        /// Size of the first level in bytes.
        l1_size_bytes: i64 = "lmcache.l1.size",
        /// Medium of the first level: `dram`, `gds`, `dram+devdax`.
        l1_medium: String = "lmcache.l1.medium",
        /// Whether the first level is in shared memory.
        l1_shm_enabled: bool = "lmcache.l1.shared_memory",
        /// Eviction policy, for example `LRU`.
        eviction_policy: String = "lmcache.eviction_policy",
        /// Adapter types of the second level, comma-joined.
        l2_adapter_types: String = "lmcache.l2.adapters",
        /// Serializers of the second level, comma-joined, aligned with the adapters.
        l2_serde_types: String = "lmcache.l2.serdes",
        /// Store policy of the second level.
        l2_store_policy: String = "lmcache.l2.store_policy",
        /// Prefetch policy of the second level.
        l2_prefetch_policy: String = "lmcache.l2.prefetch_policy",
    }
}

const fn contract(id: &'static str, messages: &'static [MessageSpec]) -> Contract {
    Contract {
        id: Cow::Borrowed(id),
        system: Cow::Borrowed("lmcache"),
        // Clear text, as upstream: docs/privacy.md says so, and `otel-usage status` marks it.
        server: Some(Cow::Borrowed("http://stats.lmcache.ai:8080")),
        server_variable: Some(Cow::Borrowed("LMCACHE_USAGE_TRACK_URL")),
        local_file: None,
        switches: Cow::Borrowed(SWITCHES),
        directory: Directory::Home(Cow::Borrowed("lmcache")),
        attributes: Cow::Borrowed(ATTRIBUTES),
        messages: Cow::Borrowed(messages),
        omitted: Cow::Borrowed(&[]),
    }
}

static SWITCHES: &[Switch] =
    &[Switch { variable: Cow::Borrowed("LMCACHE_TRACK_USAGE"), off: OffWhen::NotTrue }];

static ATTRIBUTES: &[Attribute] = attributes! {
    MACHINE_ID, Str, FREE_TEXT,
        "UUID v4 that LMCache keeps in `~/.config/lmcache/machine_id`; empty if there is none.";
    DEPLOYMENT_MODE, Str, FREE_TEXT,
        "`single_process` or `mp_server`; the engine supplies it.";
    INSTALL_SOURCE, Str, FREE_TEXT,
        "How LMCache was installed.";
};

fields! {
    SCHEMA_VERSION = "schema_version": Int, Source::Constant(Literal::Int(1)), else ONE, AS_IS,
        "Changes only when a field changes its meaning.";
    SESSION_ID = "session_id": Str, resource("service.instance.id"), else text(""), AS_IS,
        "Random identity of the process.";
    MACHINE = "machine_id": Str, resource(MACHINE_ID), else text(""), AS_IS,
        "Random identity of the machine, kept by LMCache in a file.";
    MODE = "deployment_mode": Str, resource(DEPLOYMENT_MODE), else text("single_process"), AS_IS,
        "`single_process` or `mp_server`.";
    PROVIDER = "provider": Str, Source::ResourceMapped(Cow::Borrowed("cloud.provider"), Cow::Borrowed(environment::PROVIDERS)), else text("UNKNOWN"), AS_IS,
        "Cloud provider.";
    NUM_CPU = "num_cpu": Int in "{cpu}", resource("usage.cpu.count"), else ZERO, AS_IS,
        "Online logical CPUs of the host.";
    CPU_TYPE = "cpu_type": Str, resource("host.cpu.model.name"), else text(""), AS_IS,
        "CPU brand string.";
    CPU_FAMILY = "cpu_family_model_stepping": Str, Source::ResourceJoined(Cow::Borrowed(environment::CPU_PARTS)), else text(",,"), AS_IS,
        "CPU family, model and stepping, decimal.";
    TOTAL_MEMORY = "total_memory": Int in "By", resource("usage.memory.total"), else ZERO, AS_IS,
        "Physical memory of the host.";
    ARCHITECTURE = "architecture": Strs, resource("usage.architecture"), else Literal::Strs(Cow::Borrowed(&[Cow::Borrowed(""), Cow::Borrowed("")])), AS_IS,
        "Word size and linkage.";
    PLATFORMS = "platforms": Str, resource("usage.platform"), else text(""), AS_IS,
        "Python's `platform.platform()`.";
    GPU_COUNT = "gpu_count": Int in "{device}", accelerator_or("usage.accelerator.count", "usage.cpu.physical_count"), else ZERO, AS_IS,
        "Accelerators; without any, physical CPU cores.";
    GPU_TYPE = "gpu_type": Str, resource("usage.accelerator.name"), else text(""), AS_IS,
        "Name of the first accelerator.";
    GPU_MEMORY = "gpu_memory_per_device": Int in "By", accelerator_or("usage.accelerator.memory", "usage.memory.total"), else ZERO, AS_IS,
        "Memory of the first accelerator; without any, of the host.";
    SOURCE = "source": Str, resource(INSTALL_SOURCE), else text("UNKNOWN"), AS_IS,
        "`DOCKER`, `PIP`, `CONDA` or `UNKNOWN`.";
    CHUNK_SIZE = "chunksize": Int in "{token}", record("lmcache.chunk_size"), else ZERO, AS_IS,
        "Tokens in one chunk.";
    LOCAL_DEVICE = "local_device": Str, record("lmcache.local_device"), else text(""), FREE_TEXT,
        "`cpu` when CPU caching is on, else the accelerator type.";
    MAX_LOCAL = "max_local_cache_size": Int in "GBy", record("lmcache.local_cache.max_gb"), else ZERO, AS_IS,
        "Configured CPU cache, truncated.";
    REMOTE_URL = "remote_url": Str, record("lmcache.remote.url"), else Null, &[Sanitizer::SchemeOnly],
        "Scheme of the remote backend's URL.";
    REMOTE_SERDE = "remote_serde": Str, record("lmcache.remote.serde"), else Null, FREE_TEXT,
        "Serializer of the remote backend.";
    PIPELINED = "pipelined_backend": Bool, Source::Constant(Literal::Bool(false)), else FALSE, AS_IS,
        "Constant.";
    SAVE_DECODE = "save_decode_cache": Bool, record("lmcache.save_decode_cache"), else FALSE, AS_IS,
        "Whether the cache of decoded tokens is kept.";
    BLENDING = "enable_blending": Bool, record("lmcache.blending.enabled"), else FALSE, AS_IS,
        "Whether blending is on.";
    BLEND_RATIO = "blend_recompute_ratio": Float in "1", Source::Constant(Literal::Float(0.15)), else Literal::Float(0.15), AS_IS,
        "Constant.";
    BLEND_MIN = "blend_min_tokens": Int in "{token}", record("lmcache.blending.min_tokens"), else ZERO, AS_IS,
        "Least tokens to blend.";
    MODEL_NAME = "model_name": Str, record("gen_ai.request.model"), else text(""), &[Sanitizer::PathOrRepoId, Sanitizer::CapLen(super::sanitize::TEXT)],
        "The model; `<local>` for a path.";
    WORLD_SIZE = "world_size": Int in "{rank}", record("lmcache.world_size"), else ZERO, AS_IS,
        "Ranks.";
    WORKER_ID = "worker_id": Int, record("lmcache.worker_id"), else ZERO, AS_IS,
        "This rank.";
    KV_DTYPE = "kv_dtype": Str, record("lmcache.kv.dtype"), else text(""), FREE_TEXT,
        "KV data type.";
    KV_SHAPE = "kv_shape": Ints, record("lmcache.kv.shape"), else Literal::Strs(Cow::Borrowed(&[])), AS_IS,
        "Layers, K/V planes, tokens of a chunk, KV heads, head size.";
    RUN_START = "start_time": Str, record(START_TIME), else text(""), FREE_TEXT,
        "When the run started, local time.";
    RUN_DURATION = "duration": Float in "s", record(DURATION), else Literal::Float(0.0), AS_IS,
        "Seconds from the start of the run to this message.";
    LMCACHE_VERSION = "lmcache_version": Str, resource("service.version"), else text(""), AS_IS,
        "Package version.";
    CHUNK_SIZE_FIELD = "chunk_size": Int in "{token}", record("lmcache.chunk_size"), else ZERO, AS_IS,
        "Tokens in one chunk.";
    HASH_ALGORITHM = "hash_algorithm": Str, record("lmcache.hash_algorithm"), else text(""), FREE_TEXT,
        "Hash of the chunks.";
    ENGINE_TYPE = "engine_type": Str, record("lmcache.engine_type"), else text(""), FREE_TEXT,
        "Engine type.";
    ENABLE_SEGMENTED_PREFIX = "enable_segmented_prefix": Bool, record("lmcache.segmented_prefix"), else FALSE, AS_IS,
        "Whether prefixes are segmented.";
    ENABLE_DEDUP_CONTENT = "enable_dedup_content": Bool, record("lmcache.dedup_content"), else FALSE, AS_IS,
        "Whether content is de-duplicated.";
    SUPPORTED_TRANSFER_MODE = "supported_transfer_mode": Str, record("lmcache.transfer_mode"), else text(""), FREE_TEXT,
        "Transfer mode.";
    SEPARATE_OBJECT_GROUPS = "separate_object_groups": Bool, record("lmcache.separate_object_groups"), else FALSE, AS_IS,
        "Whether object groups are separate.";
    MAX_GPU_WORKERS = "max_gpu_workers": Int in "{worker}", record("lmcache.workers.gpu"), else ZERO, AS_IS,
        "GPU workers at most.";
    MAX_CPU_WORKERS = "max_cpu_workers": Int in "{worker}", record("lmcache.workers.cpu"), else ZERO, AS_IS,
        "CPU workers at most.";
    P2P_ENABLED = "p2p_enabled": Bool, record("lmcache.p2p"), else FALSE, AS_IS,
        "Whether peers exchange chunks.";
    L1_SIZE_BYTES = "l1_size_bytes": Int in "By", record("lmcache.l1.size"), else ZERO, AS_IS,
        "Size of the first level.";
    L1_MEDIUM = "l1_medium": Str, record("lmcache.l1.medium"), else text(""), FREE_TEXT,
        "Medium of the first level.";
    L1_SHM_ENABLED = "l1_shm_enabled": Bool, record("lmcache.l1.shared_memory"), else FALSE, AS_IS,
        "Whether the first level is in shared memory.";
    EVICTION_POLICY = "eviction_policy": Str, record("lmcache.eviction_policy"), else text(""), FREE_TEXT,
        "Eviction policy.";
    L2_ADAPTER_TYPES = "l2_adapter_types": Str, record("lmcache.l2.adapters"), else text(""), FREE_TEXT,
        "Adapter types of the second level.";
    L2_SERDE_TYPES = "l2_serde_types": Str, record("lmcache.l2.serdes"), else text(""), FREE_TEXT,
        "Serializers of the second level, aligned with the adapters.";
    L2_STORE_POLICY = "l2_store_policy": Str, record("lmcache.l2.store_policy"), else text(""), FREE_TEXT,
        "Store policy of the second level.";
    L2_PREFETCH_POLICY = "l2_prefetch_policy": Str, record("lmcache.l2.prefetch_policy"), else text(""), FREE_TEXT,
        "Prefetch policy of the second level.";
}

static V1_MESSAGES: &[MessageSpec] = &[
    message("EnvMessage", ENVIRONMENT, Trigger::Start, V1_ENVIRONMENT),
    message("EngineMessage", ENGINE, Trigger::Record, V1_ENGINE),
    message("MetadataMessage", METADATA, Trigger::After(Cow::Borrowed(ENGINE)), V1_METADATA),
    message("MPServerMessage", MP_SERVER, Trigger::Record, V1_MP_SERVER),
];

static DOC_MESSAGES: &[MessageSpec] = &[
    message("EnvMessage", ENVIRONMENT, Trigger::Start, DOC_ENVIRONMENT),
    message("EngineMessage", ENGINE, Trigger::Record, DOC_ENGINE),
    message("MetadataMessage", METADATA, Trigger::Finish, DOC_METADATA),
];

const fn message(
    name: &'static str,
    record: &'static str,
    trigger: Trigger,
    fields: &'static [Field],
) -> MessageSpec {
    MessageSpec {
        name: Cow::Borrowed(name),
        record: Cow::Borrowed(record),
        endpoint: Cow::Borrowed("context"),
        trigger,
        fields: Cow::Borrowed(fields),
    }
}

const fn discriminator(name: &'static str) -> Field {
    let value = Source::Constant(text(name));
    field("message_type", Type::Str, "", value, text(name), AS_IS, "Which message this is.")
}

const TYPE_ENV_MESSAGE: Field = discriminator("EnvMessage");
const TYPE_ENGINE_MESSAGE: Field = discriminator("EngineMessage");
const TYPE_METADATA_MESSAGE: Field = discriminator("MetadataMessage");
const TYPE_MPSERVER_MESSAGE: Field = discriminator("MPServerMessage");

static DOC_ENVIRONMENT: &[Field] = list! {
    TYPE_ENV_MESSAGE PROVIDER NUM_CPU CPU_TYPE CPU_FAMILY TOTAL_MEMORY ARCHITECTURE PLATFORMS
    GPU_COUNT GPU_TYPE GPU_MEMORY SOURCE
};
static DOC_ENGINE: &[Field] = list! {
    TYPE_ENGINE_MESSAGE CHUNK_SIZE LOCAL_DEVICE MAX_LOCAL REMOTE_URL REMOTE_SERDE PIPELINED
    SAVE_DECODE BLENDING BLEND_RATIO BLEND_MIN MODEL_NAME WORLD_SIZE WORKER_ID KV_DTYPE KV_SHAPE
};
static DOC_METADATA: &[Field] = list! {
    TYPE_METADATA_MESSAGE RUN_START RUN_DURATION
};

static V1_ENVIRONMENT: &[Field] = list! {
    TYPE_ENV_MESSAGE SCHEMA_VERSION SESSION_ID MACHINE MODE PROVIDER NUM_CPU CPU_TYPE CPU_FAMILY
    TOTAL_MEMORY ARCHITECTURE PLATFORMS GPU_COUNT GPU_TYPE GPU_MEMORY SOURCE
};
static V1_ENGINE: &[Field] = list! {
    TYPE_ENGINE_MESSAGE SCHEMA_VERSION SESSION_ID MACHINE MODE CHUNK_SIZE LOCAL_DEVICE MAX_LOCAL
    REMOTE_URL REMOTE_SERDE PIPELINED SAVE_DECODE BLENDING BLEND_RATIO BLEND_MIN MODEL_NAME
    WORLD_SIZE WORKER_ID KV_DTYPE KV_SHAPE
};
static V1_METADATA: &[Field] = list! {
    TYPE_METADATA_MESSAGE SCHEMA_VERSION SESSION_ID MACHINE MODE RUN_START RUN_DURATION
};
static V1_MP_SERVER: &[Field] = list! {
    TYPE_MPSERVER_MESSAGE SCHEMA_VERSION SESSION_ID MACHINE MODE LMCACHE_VERSION CHUNK_SIZE_FIELD
    HASH_ALGORITHM ENGINE_TYPE ENABLE_SEGMENTED_PREFIX ENABLE_DEDUP_CONTENT
    SUPPORTED_TRANSFER_MODE SEPARATE_OBJECT_GROUPS MAX_GPU_WORKERS MAX_CPU_WORKERS P2P_ENABLED
    L1_SIZE_BYTES L1_MEDIUM L1_SHM_ENABLED EVICTION_POLICY L2_ADAPTER_TYPES L2_SERDE_TYPES
    L2_STORE_POLICY L2_PREFETCH_POLICY
};
