//! A made-up fleet reports to the usage server's store for some weeks, on a clock that this crate moves.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context as _, anyhow};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use otel_usage_bridge::{Received, Refusal, Store as _};
use otel_usage_serve::questions::{Rules, close};
use otel_usage_serve::store::{Core, Store};
use otel_usage_testing::fleet::{Fleet, Plan};
use tempfile::TempDir;

/// Milliseconds of a day.
pub const DAY: i64 = 86_400_000;

/// Days of a month: the 28 of the page, and those that are not closed yet.
pub const DAYS: i64 = 31;

/// Answers that may be awaited at the same time. The writer gathers a thousand messages of them.
const WAITING: usize = 2_000;

/// Returns the month of the demo, which begins at this day (days since 1970).
#[must_use]
pub const fn month(first: i64) -> Plan {
    Plan { begin: first.saturating_mul(DAY), days: DAYS, starts: 800, flood: 8_000 }
}

/// Returns a folder in memory where there is one, because nothing in it has to last, so it need not wait for a disk.
///
/// # Errors
///
/// If no folder can be made.
pub fn scratch() -> std::io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}

/// Fills the store at `file` with what a fleet reports. After each day it calls `progress` with the number of days and
/// of messages so far. Returns the time at which the plan ends.
///
/// # Errors
///
/// If the file cannot be written.
pub async fn live(
    file: &Path,
    plan: Plan,
    mut progress: impl FnMut(i64, usize),
) -> anyhow::Result<i64> {
    let clock = Arc::new(AtomicI64::new(plan.begin));
    let reader = Arc::clone(&clock);
    let store = Store::open(file, &[], 0, Arc::new(move || reader.load(Ordering::Relaxed)))?;
    let mut fleet = Fleet::new(33, plan);
    let mut waiting: FuturesUnordered<BoxFuture<'static, Result<(), Refusal>>> =
        FuturesUnordered::new();
    let (mut messages, mut now) = (0_usize, plan.begin);
    for slot in fleet.slots() {
        now = slot;
        clock.store(now, Ordering::Relaxed);
        for sent in fleet.arriving(now) {
            let received = Received {
                contract: sent.contract.into(),
                message: sent.message.into(),
                body: sent.body.into(),
                time_nanos: sent.time_nanos,
            };
            messages = messages.saturating_add(1);
            waiting.push(store.keep(sent.from, vec![received]));
            if waiting.len() >= WAITING {
                answered(waiting.next().await)?;
            }
        }
        if now.rem_euclid(DAY) == 0 {
            while let Some(answer) = waiting.next().await {
                answered(Some(answer))?;
            }
            // The server also packs closed days, but no page shows that.
            let close = move |core: &mut Core| close(core.connection(), &Rules::default(), now);
            store.run(close).await.context("the store is closed")??;
            progress(now.saturating_sub(plan.begin).div_euclid(DAY), messages);
        }
    }
    store.close();
    Ok(now)
}

fn answered(answer: Option<Result<(), Refusal>>) -> anyhow::Result<()> {
    answer.unwrap_or(Ok(())).map_err(|refusal| anyhow!("the store refuses: {refusal:?}"))
}
