//! The reports of LMCache at intervals: names of the counters, gauges and the histogram that an engine
//! fills, and the row of each of their fields.
//!
//! A single-process engine reports cache usage and lifespans, first at its first look at the
//! statistics, ten seconds after its start; a server reports cache usage, the first level and each adapter
//! type of the second, first after a whole interval, and what is left at its end. Idle intervals are
//! reported too: they are LMCache's sign of life.

use std::borrow::Cow;

use super::{ENGINE, MP_SERVER};
use crate::contracts::table::{ZERO, fields, text};
use crate::run::{DURATION, INTERVAL, SEQUENCE_NUMBER};
use crate::{Buckets, Literal, Privacy, Schedule, Trigger, Type};

use Literal::{Float, Int};
use Privacy::Workload;

/// The kind of the cache-usage record.
pub const CACHE_USAGE: &str = "lmcache.cache_usage";
/// The kind of the lifespan record.
pub const LIFESPAN: &str = "lmcache.cache_lifespan";
/// The kind of the first level's record.
pub const L1_USAGE: &str = "lmcache.l1_usage";
/// The kind of an adapter type's record.
pub const L2_USAGE: &str = "lmcache.l2_usage";

/// Counter, tokens: stored.
pub const TOKENS_STORED: &str = "lmcache.tokens.stored";
/// Counter, tokens: retrieved from the cache.
pub const TOKENS_HIT: &str = "lmcache.tokens.hit";
/// Counter, bytes: stored. In an engine tokens times [`super::Engine::bytes_per_token`], in a server exact.
pub const BYTES_STORED: &str = "lmcache.bytes.stored";
/// Histogram, minutes: from storing a chunk to its reuse.
pub const LIFESPAN_MINUTES: &str = "lmcache.cache.lifespan";
/// Gauge, bytes: held by the first level. Not set: the probe failed.
pub const L1_BYTES_USED: &str = "lmcache.l1.used";
/// Gauge, bytes: capacity of the first level. Not set: the probe failed.
pub const L1_BYTES_CAPACITY: &str = "lmcache.l1.capacity";
/// Series: the type of an adapter of the second level.
pub const L2_ADAPTER: &str = "lmcache.l2.adapter";
/// Counter of an adapter type, bytes: stored.
pub const L2_BYTES_STORED: &str = "lmcache.l2.bytes.stored";
/// Counter of an adapter type, chunks: stored.
pub const L2_KEYS_STORED: &str = "lmcache.l2.keys.stored";
/// Counter of an adapter type, chunks: not stored.
pub const L2_KEYS_FAILED: &str = "lmcache.l2.keys.failed";
/// Counter of an adapter type, chunks: asked for, whether they came or not.
pub const L2_KEYS_LOADING: &str = "lmcache.l2.keys.loading";
/// Counter of an adapter type, bytes: asked for, whether they came or not.
pub const L2_BYTES_LOADING: &str = "lmcache.l2.bytes.loading";
/// Gauge of an adapter type, bytes: held. Not set: unknown.
pub const L2_BYTES_USED: &str = "lmcache.l2.used";
/// Gauge of an adapter type, bytes: sum over its bounded adapters.
pub const L2_BYTES_CAPACITY: &str = "lmcache.l2.capacity";
/// Gauge of an adapter type: adapters without a known capacity.
pub const L2_ADAPTERS_UNBOUNDED: &str = "lmcache.l2.unbounded";

/// Upstream's default.
const SECONDS: u32 = 600;

/// In an engine: first with its first look at the statistics, nothing at the end, whole seconds only.
const ENGINE_SCHEDULE: Schedule = Schedule {
    after: Cow::Borrowed(ENGINE),
    first_seconds: Some(10),
    last: false,
    fractions: false,
};
/// In a server: first after a whole interval, and what is left at the end.
const SERVER_SCHEDULE: Schedule =
    Schedule { after: Cow::Borrowed(MP_SERVER), first_seconds: None, last: true, fractions: true };

pub(crate) const IN_ENGINE: Trigger =
    Trigger::Interval { seconds: SECONDS, schedules: Cow::Borrowed(&[ENGINE_SCHEDULE]) };
pub(crate) const IN_SERVER: Trigger =
    Trigger::Interval { seconds: SECONDS, schedules: Cow::Borrowed(&[SERVER_SCHEDULE]) };
pub(crate) const IN_BOTH: Trigger = Trigger::Interval {
    seconds: SECONDS,
    schedules: Cow::Borrowed(&[ENGINE_SCHEDULE, SERVER_SCHEDULE]),
};

/// Minutes. Upstream calls its keys lower bounds, but the count under a key is that of the samples below
/// it: the first is always 0, and what is above the last is not counted. Receivers have learnt to live
/// with that.
const LIFESPAN_BOUNDS: &[f64] = &[
    0.0, 1.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0,
];

fields! {
    /// Tokens stored in the interval.
    STORED_TOKENS = record("interval_num_stored_tokens", Type::Int, TOKENS_STORED)
        .in_unit("{token}").when_absent(ZERO).counted().example(Int(524_288));
    /// Tokens retrieved from the cache in the interval.
    HIT_TOKENS = record("interval_num_hit_tokens", Type::Int, TOKENS_HIT)
        .in_unit("{token}").when_absent(ZERO).counted().example(Int(393_216));
    /// Bytes stored in the interval; an estimate in an engine, exact in a server.
    STORED_BYTES = record("interval_stored_kv_size", Type::Int, BYTES_STORED)
        .in_unit("By").when_absent(ZERO).counted().example(Int(68_719_476_736));
    /// Minutes from storing a chunk to its reuse: each key is the upper bound of its count.
    LIFESPANS = record("cache_lifespan_histogram", Type::Histogram, LIFESPAN_MINUTES)
        .in_unit("min").distributed(LIFESPAN_BOUNDS).with_buckets(Buckets::Below)
        .example(Literal::ints(&[0, 118, 64, 21, 9, 4, 0, 2, 0, 1, 0, 0, 0, 0, 0]));
    /// Which interval this is, from 1; a lost one leaves a gap.
    SEQUENCE = record("sequence_number", Type::Int, SEQUENCE_NUMBER).when_absent(ZERO)
        .privacy(Privacy::Envelope).example(Int(7));
    /// Seconds since the run started.
    UPTIME = record("uptime_seconds", Type::Float, DURATION).in_unit("s").when_absent(Float(0.0))
        .privacy(Workload).example(Float(3604.518203));
    /// Length of the interval.
    ACTIVE = record("active_seconds", Type::Float, INTERVAL).in_unit("s").when_absent(Float(0.0))
        .privacy(Workload).example(Float(600.009113));
    /// Bytes held by the first level; -1 when its probe failed.
    L1_USED = record("bytes_used", Type::Int, L1_BYTES_USED).in_unit("By").when_absent(Int(-1)).gauged()
        .example(Int(41_875_931_136));
    /// Capacity of the first level; 0 when its probe failed.
    L1_CAPACITY = record("capacity_bytes", Type::Int, L1_BYTES_CAPACITY).in_unit("By").when_absent(ZERO)
        .gauged().example(Int(64_424_509_440));
    /// Type of the adapter.
    L2_NAME = record("l2_name", Type::Str, L2_ADAPTER).when_absent(text("")).per_series()
        .example(text("fs"));
    /// Bytes stored in the interval.
    L2_STORED_BYTES = record("interval_stored_bytes", Type::Int, L2_BYTES_STORED).in_unit("By")
        .when_absent(ZERO).counted().example(Int(12_884_901_888));
    /// Chunks stored in the interval.
    L2_STORE_SUCCEEDED = record("interval_store_succeeded_keys", Type::Int, L2_KEYS_STORED)
        .in_unit("{chunk}").when_absent(ZERO).counted().example(Int(384));
    /// Chunks that could not be stored in the interval.
    L2_STORE_FAILED = record("interval_store_failed_keys", Type::Int, L2_KEYS_FAILED)
        .in_unit("{chunk}").when_absent(ZERO).counted().example(Int(0));
    /// Chunks asked for in the interval.
    L2_LOAD_SUBMITTED = record("interval_load_submitted_keys", Type::Int, L2_KEYS_LOADING)
        .in_unit("{chunk}").when_absent(ZERO).counted().example(Int(96));
    /// Bytes asked for in the interval.
    L2_LOAD_SUBMITTED_BYTES = record("interval_load_submitted_bytes", Type::Int, L2_BYTES_LOADING)
        .in_unit("By").when_absent(ZERO).counted().example(Int(3_221_225_472));
    /// Bytes held by adapters of this type; -1 when unknown.
    L2_USED = record("bytes_used", Type::Int, L2_BYTES_USED).in_unit("By").when_absent(Int(-1)).gauged()
        .example(Int(214_748_364_800));
    /// Capacity of the bounded adapters of this type; 0 when none is bounded.
    L2_CAPACITY = record("capacity_bytes", Type::Int, L2_BYTES_CAPACITY).in_unit("By").when_absent(ZERO)
        .gauged().example(Int(1_099_511_627_776));
    /// Adapters of this type without a known capacity.
    L2_UNBOUNDED = record("unbounded_adapters", Type::Int, L2_ADAPTERS_UNBOUNDED)
        .in_unit("{adapter}").when_absent(ZERO).gauged().example(Int(0));
}
