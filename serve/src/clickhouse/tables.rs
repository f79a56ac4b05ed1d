//! The tables: one for each message, which the contracts give, and those of this server.

/// The server's own tables. A day is a number of days since 1970 (UTC).
///
/// - `usage_origin`: the network from which a session was heard of on a day, as in the SQLite file. Its rows go when the
///   day is closed.
/// - `usage_start`: starts whose messages carry no identity, by network and day of receipt. Its rows go likewise.
/// - `usage_counted`: the sessions of a closed day, so that a late one is known. `receiver` closed the day.
/// - `usage_weight`: what an engine counts that started in a network with many starts; else it counts one.
pub const TABLES: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS usage_origin (
    `day` Int32 CODEC(Delta, ZSTD),
    `session` UUID CODEC(ZSTD),
    `key` Int64 CODEC(ZSTD),
    `origin` UInt32 CODEC(ZSTD)
) ENGINE = ReplacingMergeTree PARTITION BY day ORDER BY (day, session, key)",
    "CREATE TABLE IF NOT EXISTS usage_start (
    `day` Int32 CODEC(Delta, ZSTD),
    `engine` LowCardinality(String) CODEC(ZSTD),
    `contract` LowCardinality(String) CODEC(ZSTD),
    `key` Int64 CODEC(ZSTD),
    `origin` UInt32 CODEC(ZSTD),
    `count` UInt64 CODEC(ZSTD)
) ENGINE = SummingMergeTree(count) PARTITION BY day ORDER BY (day, engine, contract, key, origin)",
    "CREATE TABLE IF NOT EXISTS usage_counted (
    `day` Int32 CODEC(Delta, ZSTD),
    `session` UUID CODEC(ZSTD),
    `receiver` LowCardinality(String) CODEC(ZSTD)
) ENGINE = ReplacingMergeTree PARTITION BY day ORDER BY (day, session)",
    "CREATE TABLE IF NOT EXISTS usage_weight (
    `day` Int32 CODEC(Delta, ZSTD),
    `session` UUID CODEC(ZSTD),
    `weight` Float64
) ENGINE = ReplacingMergeTree PARTITION BY day ORDER BY session",
];

/// Returns the table of a message. Only letters and digits are kept, others become `_`.
pub(crate) fn table(contract: &str, message: &str) -> String {
    let joined = format!("usage_{contract}_{message}");
    joined.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
