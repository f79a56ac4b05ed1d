//! The tables: one for each message, which the contracts give, and those of this server.

/// The server's own tables. A day is a number of days since 1970 (UTC).
///
/// Rows about sessions go after as long as their messages, also where no server closes days any more.
///
/// - `usage_origin`: the network from which a session was heard of on a day, as in the SQLite file. Its rows go when the
///   day is closed.
/// - `usage_erasing`: rows of `usage_origin` on their way out. See `erase`.
/// - `usage_start`: starts whose messages carry no identity, by network and day of receipt. Its rows go likewise. Rows are
///   summed, so an insert that is repeated must be known by its token, which a table that is not replicated does for as
///   many inserts as it is told.
/// - `usage_counted`: the sessions of a closed day, so that a late one is known.
/// - `usage_weight`: what an engine counts that started in a network with many starts; else it counts one.
/// - `usage_published`: what each close and each correction published, as JSON. `closed` is the last closed day and
///   `number` the last correction after it, so both only grow.
/// - `usage_quality`: the counters of each server, which only grow.
/// - `usage_publisher`: the server that closes days: the one of the last turn.
pub const TABLES: [&str; 8] = [
    "CREATE TABLE IF NOT EXISTS usage_origin (
    `day` Int32 CODEC(Delta, ZSTD),
    `session` UUID CODEC(ZSTD),
    `key` Int64 CODEC(ZSTD),
    `origin` UInt32 CODEC(ZSTD)
) ENGINE = ReplacingMergeTree PARTITION BY day ORDER BY (day, session, key)
TTL toDate(day) + INTERVAL 400 DAY",
    "CREATE TABLE IF NOT EXISTS usage_erasing (
    `day` Int32 CODEC(Delta, ZSTD),
    `session` UUID CODEC(ZSTD),
    `key` Int64 CODEC(ZSTD),
    `origin` UInt32 CODEC(ZSTD)
) ENGINE = ReplacingMergeTree PARTITION BY day ORDER BY (day, session, key)
TTL toDate(day) + INTERVAL 400 DAY",
    "CREATE TABLE IF NOT EXISTS usage_start (
    `day` Int32 CODEC(Delta, ZSTD),
    `engine` LowCardinality(String) CODEC(ZSTD),
    `contract` LowCardinality(String) CODEC(ZSTD),
    `key` Int64 CODEC(ZSTD),
    `origin` UInt32 CODEC(ZSTD),
    `count` UInt64 CODEC(ZSTD)
) ENGINE = SummingMergeTree(count) PARTITION BY day ORDER BY (day, engine, contract, key, origin)
TTL toDate(day) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000",
    "CREATE TABLE IF NOT EXISTS usage_counted (
    `day` Int32 CODEC(Delta, ZSTD),
    `session` UUID CODEC(ZSTD)
) ENGINE = ReplacingMergeTree PARTITION BY day ORDER BY (day, session)
TTL toDate(day) + INTERVAL 400 DAY",
    "CREATE TABLE IF NOT EXISTS usage_weight (
    `day` Int32 CODEC(Delta, ZSTD),
    `session` UUID CODEC(ZSTD),
    `weight` Float64
) ENGINE = ReplacingMergeTree PARTITION BY day ORDER BY session
TTL toDate(day) + INTERVAL 400 DAY",
    "CREATE TABLE IF NOT EXISTS usage_published (
    `closed` Int32,
    `number` Int64,
    `changes` String CODEC(ZSTD)
) ENGINE = ReplacingMergeTree ORDER BY (closed, number)",
    "CREATE TABLE IF NOT EXISTS usage_quality (
    `day` Int32 CODEC(Delta, ZSTD),
    `receiver` LowCardinality(String) CODEC(ZSTD),
    `name` LowCardinality(String) CODEC(ZSTD),
    `label` String CODEC(ZSTD),
    `count` Int64 CODEC(ZSTD)
) ENGINE = ReplacingMergeTree(count) ORDER BY (day, receiver, name, label)
TTL toDate(day) + INTERVAL 400 DAY",
    "CREATE TABLE IF NOT EXISTS usage_publisher (
    `turn` UInt64,
    `receiver` String
) ENGINE = ReplacingMergeTree ORDER BY (turn, receiver)",
];

/// Returns the table of a message. Only letters and digits are kept, others become `_`.
pub(crate) fn table(contract: &str, message: &str) -> String {
    let joined = format!("usage_{contract}_{message}");
    joined.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
