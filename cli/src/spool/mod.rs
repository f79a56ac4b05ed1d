//! `otel-usage spool`: shows, deletes and sends the messages that wait on disk.

mod purge;

pub(crate) use purge::{forbid_older, purge, told};

use otel_usage::clock::Clock;

/// Returns the whole seconds of the wall time.
fn now(clock: &Clock) -> i64 {
    clock.unix_nanos().div_euclid(1_000_000_000)
}

/// Returns `1 message`, `2 messages`.
fn many(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
