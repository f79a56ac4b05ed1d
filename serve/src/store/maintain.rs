//! What the store does from time to time: it takes note of what was refused, erases, deletes and packs.

use std::sync::PoisonError;

use otel_usage_bridge::Store as _;

use super::core::Core;
use super::{Days, Store, project, recompress, time};
use crate::questions::{self, Rules};

/// Frames that are packed at one time, so that a large day does not fill the machine.
const FRAMES: usize = 8;

impl Store {
    /// Does what is due. The server calls it every minute.
    pub async fn maintain(&self, keep: Days, rules: Rules) {
        let now = (self.clock)();
        self.keep_notes(now).await;
        // The close of a day erases its origins.
        match self.run(move |core| questions::close(core.connection(), &rules, now)).await {
            Some(Err(error)) => {
                tracing::error!("a day cannot be closed; it is tried again: {error:#}");
            }
            Some(Ok(done)) if done.days > 0 => tracing::info!(days = done.days, "days are closed"),
            _ => {}
        }
        loop {
            match self.run(move |core| core.retain(keep, now)).await {
                Some(Ok(true)) => {}
                done => break tell("old data cannot be deleted", done),
            }
        }
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

    /// Adds what was received and not kept to the counters of the day. What cannot be added waits for the next time.
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

    /// Deletes what is known of an identity, a piece at a time.
    ///
    /// # Errors
    ///
    /// The text is no UUID, or the file cannot be written.
    pub async fn forget(&self, id: String) -> anyhow::Result<super::Forgotten> {
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
}

fn tell<T>(what: &str, done: Option<rusqlite::Result<T>>) {
    if let Some(Err(error)) = done {
        tracing::error!(%error, "{what}; it is tried again: make room on the disk");
    }
}
