//! LMCache's contracts: schema version 1 of its released clients, what came before it, and what its
//! documentation shows.
//!
//! One flat object per message, each to its own endpoint; unknown is a sentinel (`0`, `""`), never
//! `null` except for the two remote settings. Records that an engine makes: `lmcache.engine`
//! ([`Engine`]), `lmcache.mp_server` ([`MpServer`]). Made for it: the environment, the run's metadata, and
//! at intervals what its counters hold ([`usage`]).

mod engine;
mod machine;
mod mp_server;
pub mod usage;

use std::borrow::Cow;

use crate::contracts::table::{ONE, attributes, fields, list, text};
use crate::field::put;
use crate::resource::INSTANCE_ID;
use crate::run::{DURATION, START_TIME};
use crate::{
    Attribute, Contract, Directory, Field, Literal, MessageSpec, OffWhen, Origin, Privacy,
    Sanitizer, Switch, Trigger, Type,
};

pub use engine::Engine;
pub use mp_server::MpServer;

use Literal::{Float, Int};
use Privacy::{Configuration, Identity, Workload};
use Type::Str;
use engine::*;
use machine::*;
use mp_server::*;
use usage::*;

/// The kind of the environment record.
pub const ENVIRONMENT: &str = "lmcache.environment";
/// The kind of the single-process engine's record.
pub const ENGINE: &str = "lmcache.engine";
/// The kind of the multi-process server's record.
pub const MP_SERVER: &str = "lmcache.mp_server";
/// The kind of the run's metadata.
pub const METADATA: &str = "lmcache.metadata";

/// Identity of the machine, from LMCache's own file, which is made if it is not there.
pub const MACHINE_ID: &str = "lmcache.machine_id";
/// `single_process` or `mp_server`.
pub const DEPLOYMENT_MODE: &str = "lmcache.deployment_mode";
/// How LMCache was installed.
pub const INSTALL_SOURCE: &str = "lmcache.install.source";
/// The serving engine; before schema 1 only.
pub const FMT: &str = "lmcache.fmt";
/// LMCache with schema version 1, as of 0.5.6.
pub static V1: Contract = contract("lmcache/1", V1_ATTRIBUTES, V1_MESSAGES);
/// LMCache before schema version 1: no header fields, `message_type` last.
pub static LEGACY: Contract = contract("lmcache/legacy", ATTRIBUTES, LEGACY_MESSAGES);
/// LMCache as its documentation shows it: no header fields, metadata at the end of the run.
pub static DOC: Contract = contract("lmcache/doc", ATTRIBUTES, DOC_MESSAGES);

const fn contract(
    id: &'static str,
    attributes: &'static [Attribute],
    messages: &'static [MessageSpec],
) -> Contract {
    Contract {
        id: Cow::Borrowed(id),
        system: Cow::Borrowed("lmcache"),
        // Clear text, as upstream: docs/operator/privacy.md says so, and `otel-usage status` marks it.
        server: Some(Cow::Borrowed("http://stats.lmcache.ai:8080")),
        server_variable: Some(Cow::Borrowed("LMCACHE_USAGE_TRACK_URL")),
        local_file: None,
        switches: Cow::Borrowed(SWITCHES),
        directory: Directory::Home(Cow::Borrowed("lmcache")),
        attributes: Cow::Borrowed(attributes),
        messages: Cow::Borrowed(messages),
        ci_variable: None,
        notice_url: Some(Cow::Borrowed(
            "https://docs.lmcache.ai/developer_guide/usage/usage_stats_collection.html",
        )),
        interval_variable: Some(Cow::Borrowed("LMCACHE_USAGE_TRACK_INTERVAL")),
        omitted: Cow::Borrowed(&[]),
    }
}

static SWITCHES: &[Switch] =
    &[Switch { variable: Cow::Borrowed("LMCACHE_TRACK_USAGE"), off: OffWhen::NotTrue }];

attributes! {
    ATTRIBUTES:
    /// How LMCache was installed.
    (INSTALL_SOURCE, Str).sanitized(INSTALLED).privacy(Configuration).example(text("PIP"));
}

attributes! {
    V1_ATTRIBUTES:
    /// UUID v4 that LMCache keeps in `~/.config/lmcache/machine_id`; empty if it can keep none.
    (MACHINE_ID, Str).sanitized(&[Sanitizer::Uuid]).privacy(Identity)
        .example(text("f4b6a2c8-9d17-4e57-8a0b-6c1d2e3f4a5b")).from(Origin::MachineId);
    /// Whether LMCache runs inside an engine or as a server of its own; the engine supplies it.
    (DEPLOYMENT_MODE, Str).sanitized(MODES).privacy(Configuration)
        .example(text("single_process"));
    /// How LMCache was installed.
    (INSTALL_SOURCE, Str).sanitized(INSTALLED).privacy(Configuration).example(text("PIP"));
}

const MODES: &[Sanitizer] =
    &[Sanitizer::choice(&[Cow::Borrowed("mp_server"), Cow::Borrowed("single_process")])];
const INSTALLED: &[Sanitizer] = &[Sanitizer::choice(&[
    Cow::Borrowed("CONDA"),
    Cow::Borrowed("DOCKER"),
    Cow::Borrowed("PIP"),
    Cow::Borrowed("UNKNOWN"),
])];

fields! {
    /// Changes only when a field changes its meaning.
    SCHEMA_VERSION = constant("schema_version", Type::Int, Int(1)).when_absent(ONE).example(Int(1));
    /// Random identity of the process.
    SESSION_ID = resource("session_id", Str, INSTANCE_ID).when_absent(text("")).privacy(Identity)
        .example(text("6a1c9e52-1f0a-4c6b-bb7e-90d5c2f3a7e8"));
    /// Random identity of the machine, kept by LMCache in a file.
    MACHINE = resource("machine_id", Str, MACHINE_ID).when_absent(text("")).privacy(Identity)
        .example(text("f4b6a2c8-9d17-4e57-8a0b-6c1d2e3f4a5b"));
    /// Whether LMCache runs inside an engine or as a server of its own.
    MODE = resource("deployment_mode", Str, DEPLOYMENT_MODE).when_absent(text("single_process"))
        .privacy(Configuration).example(text("mp_server"));
    /// When the run started, local time.
    RUN_START = record("start_time", Str, START_TIME).when_absent(text("")).privacy(Workload)
        .example(text("2026-08-20 08:15:13"));
    /// Seconds from the start of the run to this message.
    RUN_DURATION = record("duration", Type::Float, DURATION).in_unit("s").when_absent(Float(0.0))
        .privacy(Workload).example(Float(1.734521));
    /// Package version.
    LMCACHE_VERSION = resource("lmcache_version", Str, "service.version").when_absent(text(""))
        .privacy(Configuration).example(text("0.4.2"));
}

static V1_MESSAGES: &[MessageSpec] = &[
    message("EnvMessage", ENVIRONMENT, Trigger::Start, V1_ENVIRONMENT),
    message("EngineMessage", ENGINE, Trigger::Record, V1_ENGINE),
    message("MetadataMessage", METADATA, Trigger::After(Cow::Borrowed(ENGINE)), V1_METADATA),
    message("MPServerMessage", MP_SERVER, Trigger::Record, V1_MP_SERVER),
    at("cache-usage", message("ContinuousContextMessage", CACHE_USAGE, IN_BOTH, V1_CACHE_USAGE)),
    at("cache-lifespan", message("CacheLifespanMessage", LIFESPAN, IN_ENGINE, V1_LIFESPAN)),
    at("l1-usage", message("L1UsageMessage", L1_USAGE, IN_SERVER, V1_L1_USAGE)),
    at("l2-usage", message("L2ConnectorUsageMessage", L2_USAGE, IN_SERVER, V1_L2_USAGE)),
];

// The text log and the receiver know the order in which the first client sent them: metadata last.
static LEGACY_MESSAGES: &[MessageSpec] = &[
    message("EnvMessage", ENVIRONMENT, Trigger::Start, LEGACY_ENVIRONMENT),
    message("EngineMessage", ENGINE, Trigger::Record, LEGACY_ENGINE),
    message("MetadataMessage", METADATA, Trigger::After(Cow::Borrowed(ENGINE)), LEGACY_METADATA),
    at(
        "cache-usage",
        message("ContinuousContextMessage", CACHE_USAGE, IN_ENGINE, LEGACY_CACHE_USAGE),
    ),
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

const fn at(endpoint: &'static str, mut message: MessageSpec) -> MessageSpec {
    put(&mut message.endpoint, Cow::Borrowed(endpoint));
    message
}

const fn discriminator(name: &'static str) -> Field {
    Field::constant("message_type", Str, text(name), "Which message this is.")
        .when_absent(text(name))
        .example(text(name))
}

const TYPE_ENV: Field = discriminator("EnvMessage");
const TYPE_ENGINE: Field = discriminator("EngineMessage");
const TYPE_METADATA: Field = discriminator("MetadataMessage");
const TYPE_MP_SERVER: Field = discriminator("MPServerMessage");
const TYPE_CACHE_USAGE: Field = discriminator("ContinuousContextMessage");
const TYPE_LIFESPAN: Field = discriminator("CacheLifespanMessage");
const TYPE_L1_USAGE: Field = discriminator("L1UsageMessage");
const TYPE_L2_USAGE: Field = discriminator("L2ConnectorUsageMessage");

static DOC_ENVIRONMENT: &[Field] = list! {
    TYPE_ENV PROVIDER NUM_CPU CPU_TYPE CPU_FAMILY TOTAL_MEMORY ARCHITECTURE PLATFORMS
    GPU_COUNT GPU_TYPE GPU_MEMORY SOURCE
};
static DOC_ENGINE: &[Field] = list! {
    TYPE_ENGINE CHUNK_SIZE LOCAL_DEVICE MAX_LOCAL REMOTE_URL REMOTE_SERDE PIPELINED
    SAVE_DECODE BLENDING BLEND_RATIO BLEND_MIN MODEL_NAME WORLD_SIZE WORKER_ID KV_DTYPE KV_SHAPE
};
static DOC_METADATA: &[Field] = list! {
    TYPE_METADATA RUN_START RUN_DURATION
};

static LEGACY_ENVIRONMENT: &[Field] = list! {
    PROVIDER NUM_CPU CPU_TYPE CPU_FAMILY TOTAL_MEMORY ARCHITECTURE PLATFORMS
    GPU_COUNT GPU_TYPE GPU_MEMORY SOURCE TYPE_ENV
};
static LEGACY_ENGINE: &[Field] = list! {
    CHUNK_SIZE LOCAL_DEVICE MAX_LOCAL REMOTE_URL REMOTE_SERDE PIPELINED SAVE_DECODE BLENDING
    BLEND_RATIO BLEND_MIN MODEL_NAME WORLD_SIZE WORKER_ID FORMAT KV_DTYPE KV_SHAPE TYPE_ENGINE
};
static LEGACY_METADATA: &[Field] = list! {
    RUN_START RUN_DURATION TYPE_METADATA
};
static LEGACY_CACHE_USAGE: &[Field] = list! {
    STORED_TOKENS HIT_TOKENS STORED_BYTES TYPE_CACHE_USAGE
};

static V1_ENVIRONMENT: &[Field] = list! {
    TYPE_ENV SCHEMA_VERSION SESSION_ID MACHINE MODE PROVIDER NUM_CPU CPU_TYPE CPU_FAMILY
    TOTAL_MEMORY ARCHITECTURE PLATFORMS GPU_COUNT GPU_TYPE GPU_MEMORY SOURCE
};
static V1_ENGINE: &[Field] = list! {
    TYPE_ENGINE SCHEMA_VERSION SESSION_ID MACHINE MODE CHUNK_SIZE LOCAL_DEVICE MAX_LOCAL
    REMOTE_URL REMOTE_SERDE PIPELINED SAVE_DECODE BLENDING BLEND_RATIO BLEND_MIN MODEL_NAME
    WORLD_SIZE WORKER_ID KV_DTYPE KV_SHAPE
};
static V1_METADATA: &[Field] = list! {
    TYPE_METADATA SCHEMA_VERSION SESSION_ID MACHINE MODE RUN_START RUN_DURATION
};
static V1_MP_SERVER: &[Field] = list! {
    TYPE_MP_SERVER SCHEMA_VERSION SESSION_ID MACHINE MODE LMCACHE_VERSION CHUNK_TOKENS
    HASH_ALGORITHM ENGINE_TYPE ENABLE_SEGMENTED_PREFIX ENABLE_DEDUP_CONTENT
    SUPPORTED_TRANSFER_MODE SEPARATE_OBJECT_GROUPS MAX_GPU_WORKERS MAX_CPU_WORKERS P2P_ENABLED
    L1_SIZE_BYTES L1_MEDIUM L1_SHM_ENABLED EVICTION_POLICY L2_ADAPTER_TYPES L2_SERDE_TYPES
    L2_STORE_POLICY L2_PREFETCH_POLICY
};
static V1_CACHE_USAGE: &[Field] = list! {
    TYPE_CACHE_USAGE SCHEMA_VERSION SESSION_ID MACHINE MODE STORED_TOKENS HIT_TOKENS STORED_BYTES
    SEQUENCE UPTIME
};
static V1_LIFESPAN: &[Field] = list! {
    TYPE_LIFESPAN SCHEMA_VERSION SESSION_ID MACHINE MODE LIFESPANS SEQUENCE UPTIME
};
static V1_L1_USAGE: &[Field] = list! {
    TYPE_L1_USAGE SCHEMA_VERSION SESSION_ID MACHINE MODE ACTIVE L1_USED L1_CAPACITY SEQUENCE UPTIME
};
static V1_L2_USAGE: &[Field] = list! {
    TYPE_L2_USAGE SCHEMA_VERSION SESSION_ID MACHINE MODE L2_NAME ACTIVE L2_STORED_BYTES
    L2_STORE_SUCCEEDED L2_STORE_FAILED L2_LOAD_SUBMITTED L2_LOAD_SUBMITTED_BYTES L2_USED
    L2_CAPACITY L2_UNBOUNDED SEQUENCE UPTIME
};
