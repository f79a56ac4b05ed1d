//! Brings the projection up to the batches: at start, after an error, and when it is made again.
//!
//! One thread reads and decompresses, the other writes. Many batches go into one transaction, so that a session's row
//! of a day is written once and not for each of its messages.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rusqlite::{Connection, OptionalExtension as _};

use super::core::{Contents, Core, read_batch};
use super::file;
use super::shape::Shapes;

/// Messages of one transaction.
const TOGETHER: usize = 200_000;

/// A batch that was read, with its number.
type Batch = (i64, Contents);

impl Core {
    /// Projects the batches that the projection does not contain. A damaged batch is left out, and the log names it.
    pub(crate) fn catch_up(&mut self, now: i64) -> rusqlite::Result<()> {
        let done: i64 = self
            .connection()
            .query_row("SELECT value FROM meta WHERE key = 'projected'", [], |row| row.get(0))
            .optional()?
            .unwrap_or(0);
        let last: i64 =
            self.connection()
                .query_row("SELECT coalesce(max(id), 0) FROM batch", [], |row| row.get(0))?;
        if last <= done {
            return Ok(());
        }
        let reader = file::read_only(&self.path)?;
        let shapes = std::sync::Arc::clone(&self.shapes);
        let (batches, queue) = sync_channel(8);
        std::thread::scope(|scope| {
            let reading = scope.spawn(move || read(&reader, &shapes, done, &batches));
            let written = self.take(&queue, now);
            // The other thread ends when its batches are not taken.
            drop(queue);
            let read = reading.join();
            written?;
            read.unwrap_or(Ok(()))
        })
    }

    fn take(&mut self, queue: &Receiver<Batch>, now: i64) -> rusqlite::Result<()> {
        let (mut together, mut last) = (Vec::new(), 0);
        let mut left_out = BTreeMap::<String, u64>::new();
        while let Ok((id, Contents { heard, broken, strange })) = queue.recv() {
            if broken > 0 {
                tracing::error!(
                    batch = id,
                    lines = broken,
                    "damaged lines are left out: see `otel-usage serve check`"
                );
            }
            for (contract, messages) in strange {
                let count = left_out.entry(contract).or_default();
                *count = count.saturating_add(messages);
            }
            together.extend(heard.into_iter().filter(|heard| !self.is_forgotten(heard)));
            last = id;
            if together.len() >= TOGETHER {
                self.write(&together, last, now)?;
                together.clear();
            }
        }
        for (contract, messages) in left_out {
            tracing::warn!(
                contract,
                messages,
                "messages of a contract that is not known here are in no table: `otel-usage serve rebuild` with its \
                 --contract-file adds them"
            );
        }
        if last > 0 { self.write(&together, last, now) } else { Ok(()) }
    }
}

/// Sends the batches after `done`, in their order.
fn read(
    connection: &Connection,
    shapes: &Shapes,
    done: i64,
    batches: &SyncSender<Batch>,
) -> rusqlite::Result<()> {
    let mut after = connection.prepare("SELECT id, lines FROM batch WHERE id > ?1 ORDER BY id")?;
    let mut rows = after.query([done])?;
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let frame = row.get_ref(1)?.as_blob().unwrap_or_default();
        if batches.send((id, read_batch(shapes, frame))).is_err() {
            break;
        }
    }
    Ok(())
}
