//! The messages and rows that wait for ClickHouse, and how long it is waited for them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Store;

/// How often it is looked whether ClickHouse has some messages, and how many times.
const LOOKS: (Duration, u32) = (Duration::from_millis(200), 150);

/// The messages and rows that wait for ClickHouse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Messages in the spool.
    pub(crate) messages: u64,
    /// Their bytes on disk.
    pub(crate) bytes: u64,
    /// Rows that ClickHouse refused.
    pub(crate) aside: u64,
    /// Their bytes.
    pub(crate) aside_bytes: u64,
}

impl Store {
    /// Returns what waits for ClickHouse. `None` if messages are kept in the file.
    pub(crate) fn waits(&self) -> Option<Waits> {
        self.waits.as_ref().map(|waits| *waits.borrow())
    }

    /// Returns whether the tables are there, so that days can be closed. Those of ClickHouse are made when it first answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Waits until ClickHouse has the messages up to `last` of the spool. Returns `false` if that takes too long.
    pub(crate) async fn is_delivered(&self, last: i64) -> anyhow::Result<bool> {
        for _ in 0..LOOKS.1 {
            let waits = self.run(move |core| core.waits_until(last)).await.transpose()?;
            if !waits.unwrap_or(true) {
                return Ok(true);
            }
            tokio::time::sleep(LOOKS.0).await;
        }
        Ok(false)
    }
}
