//! Writes the journal, and keeps it within its limits.
//!
//! There are two files: a full one is renamed to `<name>.1`, which replaces the older one. A line that is forgotten is
//! overwritten in its place. Nothing else is ever rewritten, so that several processes need no lock to write a line.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use uuid::Uuid;

use super::line::{Line, START_BYTES, time_of};
use super::older;
use crate::append::append;
use crate::delivery::Delivery;
use crate::files;
use crate::notifier::Notifier;
use crate::settings::{ReceiptsMode, ReceiptsSettings};

/// Most bytes of each of the two files, 1 MiB together. They hold two weeks of heartbeats, or two days with bodies.
const BYTES: u64 = 512 * 1024;

/// Milliseconds after which nothing is kept: 30 days. It is longer than a report can wait for its server, and the
/// record of what was sent is itself data that should not stay for ever.
const AGE: i64 = 30 * 24 * 3600 * 1000;

/// Milliseconds that the lines of one file span, so that the older file can be deleted as a whole.
const SPAN: i64 = AGE / 2;

/// Longest body that is kept. A message is a tenth of it; a longer one is left out of its line.
const BODY_BYTES: usize = 64 * 1024;

/// Writes the lines of one exporter.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    bodies: bool,
    notifier: Notifier,
    warned: bool,
}

/// The name of an attempt whose first line is written.
#[derive(Debug)]
pub(crate) struct Written(String);

impl Journal {
    /// Returns the journal that the operator asked for. The disk is not touched.
    pub(crate) fn new(settings: &ReceiptsSettings, notifier: &Notifier) -> Option<Self> {
        let path = settings.journal.clone()?;
        let bodies = match settings.mode {
            ReceiptsMode::Off => return None,
            ReceiptsMode::On => false,
            ReceiptsMode::Bodies => true,
        };
        Some(Self { path, bodies, notifier: notifier.clone(), warned: false })
    }

    /// Writes that an attempt is about to be made. `body` makes the text of what leaves.
    ///
    /// Returns `None` if the line cannot be written, after one warning. The message is sent nevertheless,
    /// because a full disk must not change what the receiver gets.
    pub(crate) fn begin(
        &mut self,
        delivery: &Delivery,
        body: impl FnOnce() -> Option<String>,
    ) -> Option<Written> {
        let body = self.bodies.then(body).flatten().filter(|body| body.len() <= BODY_BYTES);
        let attempt = Uuid::new_v4().simple().to_string();
        let line = Line::begun(&attempt, delivery, body);
        self.write(&line, delivery.unix_millis).then_some(Written(attempt))
    }

    /// Writes how an attempt ended. It is not called after consent was withdrawn.
    pub(crate) fn end(&mut self, attempt: &Written, delivery: &Delivery, unix_millis: i64) {
        let line = Line::ended(&attempt.0, delivery, unix_millis);
        self.write(&line, unix_millis);
    }

    fn write(&mut self, line: &Line, now: i64) -> bool {
        let result = self.delete_old(now).and_then(|()| {
            let line = line.encode();
            append(&self.path, &line, b"\n", |file| is_full(file, line.len() as u64, now))
        });
        if let Err(error) = &result
            && !self.warned
        {
            self.warned = true;
            self.notifier.warn(&format!(
                "cannot write the journal of what is sent {}: {error}; messages are sent without a receipt; make \
                 it writable, or end the journal with OTEL_USAGE_RECEIPTS=off",
                self.path.display(),
            ));
        }
        result.is_ok()
    }

    /// Deletes the older file once its first line is too old.
    fn delete_old(&self, now: i64) -> io::Result<()> {
        let older = older(&self.path);
        let Ok(mut file) = files::open(&older, File::options().read(true)) else { return Ok(()) };
        let begin = begin(&mut file).ok().flatten();
        if begin.is_some_and(|time| now.saturating_sub(time) > AGE) {
            return match fs::remove_file(&older) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        Ok(())
    }
}

/// Returns whether `more` bytes belong into a new file.
fn is_full(file: &mut File, more: u64, now: i64) -> io::Result<bool> {
    let length = file.metadata()?.len();
    if length > 0 && length.saturating_add(more) > BYTES {
        return Ok(true);
    }
    Ok(begin(file)?.is_some_and(|time| now.saturating_sub(time) > SPAN))
}

/// Returns the time of the first line that can be read. Of a file without one, it is that of its last change, so that
/// damage keeps nothing longer. An empty file has none.
fn begin(file: &mut File) -> io::Result<Option<i64>> {
    file.seek(SeekFrom::Start(0))?;
    // Nearly always it is the first line, of which a few bytes are enough.
    let mut start = Vec::new();
    file.by_ref().take(START_BYTES).read_to_end(&mut start)?;
    if start.is_empty() {
        return Ok(None);
    }
    if let Some(time) = time_of(&start) {
        return Ok(Some(time));
    }
    file.seek(SeekFrom::Start(0))?;
    let mut text = Vec::new();
    file.by_ref().take(BYTES).read_to_end(&mut text)?;
    if let Some(time) = text.split(|byte| *byte == b'\n').find_map(time_of) {
        return Ok(Some(time));
    }
    let changed = file.metadata()?.modified()?.duration_since(UNIX_EPOCH);
    Ok(changed.ok().and_then(|since| i64::try_from(since.as_millis()).ok()))
}
