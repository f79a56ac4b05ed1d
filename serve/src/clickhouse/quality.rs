//! Tells the counters of this server to the others with the same ClickHouse, and reads theirs, so that the page of
//! quality counts all of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use serde_json::json;

use super::{ClickHouse, quote};
use crate::store::{Counter, Store, time};

/// Days whose counters may still grow: messages count on the day of their receipt.
const GROWING: i64 = 2;
/// Days that are read: those that the page shows, and some more.
const SHOWN: i64 = 40;

impl ClickHouse {
    /// Keeps counters of this server. Of two of the same name the larger one holds, because they only grow.
    fn keep_counters(&self, counters: &[Counter]) -> anyhow::Result<()> {
        if counters.is_empty() {
            return Ok(());
        }
        let row = |(day, name, label, count): &Counter| {
            json!({"day": day, "receiver": self.receiver, "name": name, "label": label, "count": count}).to_string()
        };
        let rows: Vec<String> = counters.iter().map(row).collect();
        self.insert("usage_quality", &rows)
    }

    /// Returns the sums of the other servers since a day, and how many they are.
    fn counters_of_others(&self, first: i64) -> anyhow::Result<(Vec<Counter>, i64)> {
        let others = format!(
            "FROM usage_quality FINAL WHERE receiver != {} AND day >= {first}",
            quote::text(&self.receiver)
        );
        let counters = self.rows(&format!(
            "SELECT day, name, label, sum(count) {others} GROUP BY day, name, label"
        ))?;
        let servers = self.number(&format!("SELECT uniqExact(receiver) {others}"))?;
        Ok((counters, servers.unwrap_or(0)))
    }
}

/// Exchanges counters with the other servers.
pub(crate) async fn exchange(
    store: &Store,
    clickhouse: &Arc<ClickHouse>,
    now: i64,
) -> anyhow::Result<()> {
    let (ended, today) = ("the server ends", time::day(now));
    // The first time since the start a server tells everything, because it may have ended before it told the last.
    let days = if store.told.load(Ordering::Relaxed) { GROWING } else { SHOWN };
    let first = today.saturating_sub(days);
    let own = store.run(move |core| core.counters_since(first)).await.context(ended)??;
    let asked = Arc::clone(clickhouse);
    let (others, servers) = tokio::task::spawn_blocking(move || {
        asked.keep_counters(&own)?;
        asked.counters_of_others(today.saturating_sub(SHOWN))
    })
    .await??;
    store
        .run(move |core| core.keep_counters_of_others(&others, servers))
        .await
        .context(ended)??;
    store.told.store(true, Ordering::Relaxed);
    Ok(())
}
