//! Maintains the store from time to time: takes note of refusals, erases, deletes and packs.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use otel_usage_bridge::Store as _;

use super::core::Core;
use super::forget::LOG_HOLDS_IT;
use super::{Days, Store, file, project, recompress, time};
use crate::clickhouse::{catch_up, exchange};
use crate::questions::{self, Closed, Counted, Progress, Rules};

/// How often a deletion tries to empty the log, and the pause between two tries.
const TRIES: (u32, Duration) = (20, Duration::from_millis(250));

/// Frames that are packed at one time, so that a large day does not fill the machine.
const FRAMES: usize = 8;

impl Store {
    /// Does what is due. The server calls it every minute.
    pub async fn maintain(&self, keep: Days, rules: Rules) {
        let now = (self.clock)();
        self.keep_notes(now).await;
        self.exchange_counters(now).await;
        match self.close_days(rules, now).await {
            Err(error) => {
                tracing::error!("a day cannot be closed; it is tried again: {error:#}");
            }
            Ok(done) if done.days > 0 => tracing::info!(days = done.days, "days are closed"),
            Ok(_) => {}
        }
        if self.log_holds_deleted.load(Ordering::Relaxed) {
            self.empty_log().await;
        }
        loop {
            match self.run(move |core| core.retain(keep, now)).await {
                Some(Ok(true)) => {}
                done => break tell("old data cannot be deleted", done),
            }
        }
        let forgotten = self.run(move |core| core.forget_words(now)).await;
        tell("texts that no row names any more cannot be deleted", forgotten);
        for _ in 0..FRAMES {
            let path = self.path.clone();
            let packed = tokio::task::spawn_blocking(move || recompress::pack(&path, now)).await;
            match packed {
                Ok(Ok(Some(packed))) => {
                    tell("a day cannot be packed", self.run(|core| core.replace(packed)).await);
                }
                Ok(Ok(None)) | Err(_) => break,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a day cannot be packed");
                    break;
                }
            }
        }
    }

    /// Adds what was received and not kept to the counters of the day. A counter that cannot be written waits for the next time.
    async fn keep_notes(&self, now: i64) {
        let notes = std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        if notes.is_empty() {
            return;
        }
        let added = notes.clone();
        let done = self.run(move |core| -> rusqlite::Result<()> {
            let transaction = core.connection().transaction()?;
            for (what, count) in added {
                let (name, label) =
                    if what == "unknown_key" { (what, "") } else { ("refused", what) };
                project::add(&transaction, time::day(now), name, label, count)?;
            }
            transaction.commit()
        });
        let done = done.await;
        if !matches!(done, Some(Ok(()))) {
            for (what, count) in notes {
                self.note(what, usize::try_from(count).unwrap_or(0));
            }
        }
        tell("counters cannot be kept", done);
    }

    /// Adds up the counters of all servers with the same ClickHouse, once the tables are there.
    async fn exchange_counters(&self, now: i64) {
        let Some(clickhouse) = self.clickhouse.as_ref().filter(|_| self.is_ready()) else { return };
        if let Err(error) = exchange(self, clickhouse, now).await {
            tracing::warn!("the counters of the other servers cannot be read: {error:#}");
        }
    }

    /// Closes and corrects days. It counts on a connection of its own, so new messages wait for the short writes only.
    async fn close_days(&self, rules: Rules, now: i64) -> anyhow::Result<Closed> {
        let mut done = Closed::default();
        // Messages that were received before belong to the count: in the file, or in ClickHouse.
        self.run(|_| ()).await;
        if !self.closes || !self.is_ready() {
            return Ok(done);
        }
        if self.clickhouse.is_some() {
            let last = self.run(Core::last_in_spool).await.transpose()?.unwrap_or(0);
            if !self.is_delivered(last).await? {
                return Ok(done);
            }
        }
        if let Some(clickhouse) = &self.clickhouse {
            catch_up(self, clickhouse).await?;
        }
        loop {
            let (path, clickhouse) = (self.path.clone(), self.clickhouse.clone());
            let count = move || {
                let file = file::read_only(&path)?;
                let Some(clickhouse) = clickhouse else {
                    return questions::count(&file, &rules, now);
                };
                let counted = questions::count_in(&*clickhouse, &file, &rules, now)?;
                if let Some(changes) = counted.as_ref().and_then(Counted::changes) {
                    clickhouse.keep(&changes)?;
                }
                anyhow::Ok(counted)
            };
            let Some(mut counted) = tokio::task::spawn_blocking(count).await?? else { break };
            loop {
                let write = move |core: &mut Core| (counted.write(core.connection()), counted);
                let Some((progress, rest)) = self.run(write).await else { return Ok(done) };
                match progress? {
                    Progress::More => counted = rest,
                    Progress::Stale => break,
                    Progress::Done(one) => {
                        done.days = done.days.saturating_add(one.days);
                        done.revisions = done.revisions.saturating_add(one.revisions);
                        break;
                    }
                }
            }
        }
        if done != Closed::default() {
            if let Some(clickhouse) = self.clickhouse.clone() {
                let closed = self.run(|core| questions::closed(core.connection())).await;
                let closed = closed.transpose()?.flatten().unwrap_or(0);
                tokio::task::spawn_blocking(move || clickhouse.erase(closed)).await??;
            }
            self.log_holds_deleted.store(true, Ordering::Relaxed);
        }
        Ok(done)
    }

    /// Deletes what is known of an identity.
    ///
    /// # Errors
    ///
    /// The text is no UUID, the file cannot be written, or somebody reads the log, which still holds what is deleted.
    pub async fn forget(&self, id: String) -> anyhow::Result<super::Forgotten> {
        let done = self.forget_rows(id).await?;
        self.empty_log_of_deletion().await?;
        Ok(done)
    }

    /// Deletes what is known of an identity, a piece at a time. The log may still hold it.
    pub(crate) async fn forget_rows(&self, id: String) -> anyhow::Result<super::Forgotten> {
        let closed = || anyhow::anyhow!("the store is closed");
        let started = self.run(move |core| core.start_to_forget(&id)).await.ok_or_else(closed)?;
        let mut forget = started?;
        loop {
            let step = move |core: &mut Core| core.go_on(&mut forget).map(|done| (done, forget));
            let (done, rest) = self.run(step).await.ok_or_else(closed)??;
            if let Some(done) = done {
                return Ok(done);
            }
            forget = rest;
        }
    }

    /// Empties the log, for which a page may have to be waited for.
    pub(crate) async fn empty_log_of_deletion(&self) -> anyhow::Result<()> {
        let (tries, pause) = TRIES;
        for _ in 0..tries {
            if self.empty_log().await {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
        }
        anyhow::bail!(
            "{LOG_HOLDS_IT}: the server empties the log once nothing reads it, and says so if you delete it once more"
        )
    }

    /// Empties the log, unless a reader needs it now; then it is emptied the next time. Returns whether it is empty.
    async fn empty_log(&self) -> bool {
        self.log_holds_deleted.store(false, Ordering::Relaxed);
        // New messages must not wait for a reader.
        let emptied = self.run(|core| core.empty_log(Duration::ZERO)).await;
        let is_empty = matches!(emptied, Some(Ok(true)));
        if !is_empty {
            self.log_holds_deleted.store(true, Ordering::Relaxed);
        }
        tell("the log cannot be emptied", emptied);
        is_empty
    }
}

fn tell<T>(what: &str, done: Option<rusqlite::Result<T>>) {
    if let Some(Err(error)) = done {
        tracing::error!(%error, "{what}; it is tried again: make room on the disk");
    }
}
