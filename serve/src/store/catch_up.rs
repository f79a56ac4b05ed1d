//! Brings the projection up to the batches: at start, after an error, and when it is made again.
//!
//! One thread reads and decompresses, the other writes. Many batches go into one transaction, so that a session's row
//! of a day is written once and not for each of its messages.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rusqlite::{Connection, OptionalExtension as _};

use super::core::{Core, read_batch};
use super::file;
use super::heard::Heard;
use super::shape::Shapes;

/// Messages of one transaction.
const TOGETHER: usize = 200_000;

/// A batch that was read: its number, its messages, and how many lines are damaged.
type Batch = (i64, Vec<Heard>, usize);

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
        while let Ok((id, heard, broken)) = queue.recv() {
            if broken > 0 {
                tracing::error!(
                    batch = id,
                    lines = broken,
                    "damaged lines are left out: see `otel-usage serve check`"
                );
            }
            together.extend(heard.into_iter().filter(|heard| !self.is_forgotten(heard)));
            last = id;
            if together.len() >= TOGETHER {
                self.write(&together, last, now)?;
                together.clear();
            }
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
        let (heard, broken) = read_batch(shapes, frame);
        if batches.send((id, heard, broken)).is_err() {
            break;
        }
    }
    Ok(())
}
