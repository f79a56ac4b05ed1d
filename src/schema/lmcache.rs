//! LMCache's contracts: as documented, and schema version 1 of its released clients.
//!
//! One flat object per message, each to its own endpoint; unknown is a sentinel (`0`, `""`), never
//! `null` except for the two remote settings. Records: `lmcache.environment` (made for the engine),
//! `lmcache.engine` ([`Engine`]), `lmcache.mp_server` ([`MpServer`]) and `lmcache.metadata` (made for
//! the engine).

use std::borrow::Cow;

use super::field::{attribute, field, record, resource, text};
use super::sanitize::FREE_TEXT;
use super::{
    Attribute, Contract, Directory, Field, Literal, MessageSpec, OffWhen, Sanitizer, Source, Switch,
    Trigger, Type,
};
use crate::record::typed_record;

use Literal::Null;
use Type::{Bool, Float, Int, Ints, Str, Strs};

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
    }
}

static SWITCHES: &[Switch] =
    &[Switch { variable: Cow::Borrowed("LMCACHE_TRACK_USAGE"), off: OffWhen::NotTrue }];

static ATTRIBUTES: &[Attribute] = &[
    attribute(MACHINE_ID, Str, FREE_TEXT, "UUID v4 that LMCache keeps in `~/.config/lmcache/machine_id`; empty if there is none."),
    attribute(DEPLOYMENT_MODE, Str, FREE_TEXT, "`single_process` or `mp_server`; the engine supplies it."),
    attribute(INSTALL_SOURCE, Str, FREE_TEXT, "How LMCache was installed."),
];

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

/// Wire words of `cloud.provider`; a provider that the originals do not know is `UNKNOWN`.
pub(super) const PROVIDERS: &[(Cow<'static, str>, Cow<'static, str>)] = &[
    (Cow::Borrowed("aws"), Cow::Borrowed("AWS")),
    (Cow::Borrowed("azure"), Cow::Borrowed("AZURE")),
    (Cow::Borrowed("gcp"), Cow::Borrowed("GCP")),
    (Cow::Borrowed("oracle_cloud"), Cow::Borrowed("OCI")),
    (Cow::Borrowed("runpod"), Cow::Borrowed("RUNPOD")),
];

/// The three parts of `cpu_family_model_stepping`.
pub(super) const CPU_PARTS: &[Cow<'static, str>] = &[
    Cow::Borrowed("host.cpu.family"),
    Cow::Borrowed("host.cpu.model.id"),
    Cow::Borrowed("host.cpu.stepping"),
];

const fn discriminator(name: &'static str) -> Field {
    field("message_type", Str, "", Source::Constant(text(name)), text(name), &[], "Which message this is.")
}

const SCHEMA_VERSION: Field = field("schema_version", Int, "", Source::Constant(Literal::Int(1)), Literal::Int(1), &[], "Changes only when a field changes its meaning.");
const SESSION_ID: Field = field("session_id", Str, "", resource("service.instance.id"), text(""), &[], "Random identity of the process.");
const MACHINE: Field = field("machine_id", Str, "", resource(MACHINE_ID), text(""), &[], "Random identity of the machine, kept by LMCache in a file.");
const MODE: Field = field("deployment_mode", Str, "", resource(DEPLOYMENT_MODE), text("single_process"), &[], "`single_process` or `mp_server`.");

const PROVIDER: Field = field("provider", Str, "", Source::ResourceMapped(Cow::Borrowed("cloud.provider"), Cow::Borrowed(PROVIDERS)), text("UNKNOWN"), &[], "Cloud provider.");
const NUM_CPU: Field = field("num_cpu", Int, "{cpu}", resource("usage.cpu.count"), Literal::Int(0), &[], "Online logical CPUs of the host.");
const CPU_TYPE: Field = field("cpu_type", Str, "", resource("host.cpu.model.name"), text(""), &[], "CPU brand string.");
const CPU_FAMILY: Field = field("cpu_family_model_stepping", Str, "", Source::ResourceJoined(Cow::Borrowed(CPU_PARTS)), text(",,"), &[], "CPU family, model and stepping, decimal.");
const TOTAL_MEMORY: Field = field("total_memory", Int, "By", resource("usage.memory.total"), Literal::Int(0), &[], "Physical memory of the host.");
const ARCHITECTURE: Field = field("architecture", Strs, "", resource("usage.architecture"), Literal::Strs(Cow::Borrowed(&[Cow::Borrowed(""), Cow::Borrowed("")])), &[], "Word size and linkage.");
const PLATFORMS: Field = field("platforms", Str, "", resource("usage.platform"), text(""), &[], "Python's `platform.platform()`.");
// Without an accelerator LMCache counts the CPU as the one device, and so do we.
const GPU_COUNT: Field = field("gpu_count", Int, "{device}", Source::ResourceFirst(Cow::Borrowed(&[Cow::Borrowed("usage.accelerator.count"), Cow::Borrowed("usage.cpu.physical_count")])), Literal::Int(0), &[], "Accelerators; without any, physical CPU cores.");
const GPU_TYPE: Field = field("gpu_type", Str, "", resource("usage.accelerator.name"), text(""), &[], "Name of the first accelerator.");
const GPU_MEMORY: Field = field("gpu_memory_per_device", Int, "By", Source::ResourceFirst(Cow::Borrowed(&[Cow::Borrowed("usage.accelerator.memory"), Cow::Borrowed("usage.memory.total")])), Literal::Int(0), &[], "Memory of the first accelerator; without any, of the host.");
const SOURCE: Field = field("source", Str, "", resource(INSTALL_SOURCE), text("UNKNOWN"), &[], "`DOCKER`, `PIP`, `CONDA` or `UNKNOWN`.");

const CHUNK_SIZE: Field = field("chunksize", Int, "{token}", record("lmcache.chunk_size"), Literal::Int(0), &[], "Tokens in one chunk.");
const LOCAL_DEVICE: Field = field("local_device", Str, "", record("lmcache.local_device"), text(""), FREE_TEXT, "`cpu` when CPU caching is on, else the accelerator type.");
const MAX_LOCAL: Field = field("max_local_cache_size", Int, "GBy", record("lmcache.local_cache.max_gb"), Literal::Int(0), &[], "Configured CPU cache, truncated.");
const REMOTE_URL: Field = field("remote_url", Str, "", record("lmcache.remote.url"), Null, &[Sanitizer::SchemeOnly], "Scheme of the remote backend's URL.");
const REMOTE_SERDE: Field = field("remote_serde", Str, "", record("lmcache.remote.serde"), Null, FREE_TEXT, "Serializer of the remote backend.");
const PIPELINED: Field = field("pipelined_backend", Bool, "", Source::Constant(Literal::Bool(false)), Literal::Bool(false), &[], "Constant.");
const SAVE_DECODE: Field = field("save_decode_cache", Bool, "", record("lmcache.save_decode_cache"), Literal::Bool(false), &[], "Whether the cache of decoded tokens is kept.");
const BLENDING: Field = field("enable_blending", Bool, "", record("lmcache.blending.enabled"), Literal::Bool(false), &[], "Whether blending is on.");
const BLEND_RATIO: Field = field("blend_recompute_ratio", Float, "1", Source::Constant(Literal::Float(0.15)), Literal::Float(0.15), &[], "Constant.");
const BLEND_MIN: Field = field("blend_min_tokens", Int, "{token}", record("lmcache.blending.min_tokens"), Literal::Int(0), &[], "Least tokens to blend.");
const MODEL_NAME: Field = field("model_name", Str, "", record("gen_ai.request.model"), text(""), &[Sanitizer::PathOrRepoId, Sanitizer::CapLen(super::sanitize::TEXT)], "The model; `<local>` for a path.");
const WORLD_SIZE: Field = field("world_size", Int, "{rank}", record("lmcache.world_size"), Literal::Int(0), &[], "Ranks.");
const WORKER_ID: Field = field("worker_id", Int, "", record("lmcache.worker_id"), Literal::Int(0), &[], "This rank.");
const KV_DTYPE: Field = field("kv_dtype", Str, "", record("lmcache.kv.dtype"), text(""), FREE_TEXT, "KV data type.");
const KV_SHAPE: Field = field("kv_shape", Ints, "", record("lmcache.kv.shape"), Literal::Strs(Cow::Borrowed(&[])), &[], "Layers, K/V planes, tokens of a chunk, KV heads, head size.");

const RUN_START: Field = field("start_time", Str, "", record(START_TIME), text(""), FREE_TEXT, "When the run started, local time.");
const RUN_DURATION: Field = field("duration", Float, "s", record(DURATION), Literal::Float(0.0), &[], "Seconds from the start of the run to this message.");

static DOC_ENVIRONMENT: &[Field] = &[
    discriminator("EnvMessage"), PROVIDER, NUM_CPU, CPU_TYPE, CPU_FAMILY, TOTAL_MEMORY,
    ARCHITECTURE, PLATFORMS, GPU_COUNT, GPU_TYPE, GPU_MEMORY, SOURCE,
];
static DOC_ENGINE: &[Field] = &[
    discriminator("EngineMessage"), CHUNK_SIZE, LOCAL_DEVICE, MAX_LOCAL, REMOTE_URL, REMOTE_SERDE,
    PIPELINED, SAVE_DECODE, BLENDING, BLEND_RATIO, BLEND_MIN, MODEL_NAME, WORLD_SIZE, WORKER_ID,
    KV_DTYPE, KV_SHAPE,
];
static DOC_METADATA: &[Field] = &[discriminator("MetadataMessage"), RUN_START, RUN_DURATION];

static V1_ENVIRONMENT: &[Field] = &[
    discriminator("EnvMessage"), SCHEMA_VERSION, SESSION_ID, MACHINE, MODE, PROVIDER, NUM_CPU,
    CPU_TYPE, CPU_FAMILY, TOTAL_MEMORY, ARCHITECTURE, PLATFORMS, GPU_COUNT, GPU_TYPE, GPU_MEMORY,
    SOURCE,
];
static V1_ENGINE: &[Field] = &[
    discriminator("EngineMessage"), SCHEMA_VERSION, SESSION_ID, MACHINE, MODE, CHUNK_SIZE,
    LOCAL_DEVICE, MAX_LOCAL, REMOTE_URL, REMOTE_SERDE, PIPELINED, SAVE_DECODE, BLENDING,
    BLEND_RATIO, BLEND_MIN, MODEL_NAME, WORLD_SIZE, WORKER_ID, KV_DTYPE, KV_SHAPE,
];
static V1_METADATA: &[Field] = &[
    discriminator("MetadataMessage"), SCHEMA_VERSION, SESSION_ID, MACHINE, MODE, RUN_START,
    RUN_DURATION,
];
static V1_MP_SERVER: &[Field] = &[
    discriminator("MPServerMessage"), SCHEMA_VERSION, SESSION_ID, MACHINE, MODE,
    field("lmcache_version", Str, "", resource("service.version"), text(""), &[], "Package version."),
    field("chunk_size", Int, "{token}", record("lmcache.chunk_size"), Literal::Int(0), &[], "Tokens in one chunk."),
    field("hash_algorithm", Str, "", record("lmcache.hash_algorithm"), text(""), FREE_TEXT, "Hash of the chunks."),
    field("engine_type", Str, "", record("lmcache.engine_type"), text(""), FREE_TEXT, "Engine type."),
    field("enable_segmented_prefix", Bool, "", record("lmcache.segmented_prefix"), Literal::Bool(false), &[], "Whether prefixes are segmented."),
    field("enable_dedup_content", Bool, "", record("lmcache.dedup_content"), Literal::Bool(false), &[], "Whether content is de-duplicated."),
    field("supported_transfer_mode", Str, "", record("lmcache.transfer_mode"), text(""), FREE_TEXT, "Transfer mode."),
    field("separate_object_groups", Bool, "", record("lmcache.separate_object_groups"), Literal::Bool(false), &[], "Whether object groups are separate."),
    field("max_gpu_workers", Int, "{worker}", record("lmcache.workers.gpu"), Literal::Int(0), &[], "GPU workers at most."),
    field("max_cpu_workers", Int, "{worker}", record("lmcache.workers.cpu"), Literal::Int(0), &[], "CPU workers at most."),
    field("p2p_enabled", Bool, "", record("lmcache.p2p"), Literal::Bool(false), &[], "Whether peers exchange chunks."),
    field("l1_size_bytes", Int, "By", record("lmcache.l1.size"), Literal::Int(0), &[], "Size of the first level."),
    field("l1_medium", Str, "", record("lmcache.l1.medium"), text(""), FREE_TEXT, "Medium of the first level."),
    field("l1_shm_enabled", Bool, "", record("lmcache.l1.shared_memory"), Literal::Bool(false), &[], "Whether the first level is in shared memory."),
    field("eviction_policy", Str, "", record("lmcache.eviction_policy"), text(""), FREE_TEXT, "Eviction policy."),
    field("l2_adapter_types", Str, "", record("lmcache.l2.adapters"), text(""), FREE_TEXT, "Adapter types of the second level."),
    field("l2_serde_types", Str, "", record("lmcache.l2.serdes"), text(""), FREE_TEXT, "Serializers of the second level, aligned with the adapters."),
    field("l2_store_policy", Str, "", record("lmcache.l2.store_policy"), text(""), FREE_TEXT, "Store policy of the second level."),
    field("l2_prefetch_policy", Str, "", record("lmcache.l2.prefetch_policy"), text(""), FREE_TEXT, "Prefetch policy of the second level."),
];
