//! Takes messages from files: vLLM's `usage_stats.json`, lines of our file exporter, archives of a collector (OTLP as
//! JSON). A second import of the same messages changes nothing.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use anyhow::Context as _;
use otel_usage_bridge::{Importer, Received};
use sha2::{Digest as _, Sha256};

use super::core::{Core, Kept, Trouble};
use super::heard::{self, Tells};
use super::line::Line;

/// Longest line. A collector writes a batch as one line.
const LONGEST: u64 = 64 << 20;

/// Messages of one batch, and of one transaction of the projection.
const BATCH: (usize, usize) = (10_000, 200_000);

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Lines of the files.
    pub lines: usize,
    /// Messages that are kept now.
    pub messages: usize,
    /// Lines that are no message that a contract knows.
    pub unknown: usize,
    /// Files that had been imported before.
    pub known_files: usize,
}

impl Core {
    /// Imports a file. `progress` is told the bytes that are done, and their total.
    ///
    /// A message counts at the time that its engine gave, however old it is, else at `written`, the time of the file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the store cannot be written.
    pub fn import(
        &mut self,
        importer: &Importer,
        path: &Path,
        (written, now): (i64, i64),
        done: &mut Imported,
        progress: &mut dyn FnMut(u64, u64),
    ) -> anyhow::Result<()> {
        let named = || format!("{}: cannot be read", path.display());
        let hash = hash_of(path).with_context(named)?;
        if self.is_imported(&hash)? {
            done.known_files = done.known_files.saturating_add(1);
            return Ok(());
        }
        let file = File::open(path).with_context(named)?;
        let total = file.metadata().with_context(named)?.len();
        let (mut reader, mut read, mut line) = (BufReader::new(file), 0_u64, Vec::new());
        let mut batch = Vec::new();
        loop {
            line.clear();
            let bytes =
                (&mut reader).take(LONGEST).read_until(b'\n', &mut line).with_context(named)?;
            if bytes == 0 {
                break;
            }
            read = read.saturating_add(bytes as u64);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            done.lines = done.lines.saturating_add(1);
            match importer.read(&line) {
                Some(messages) => {
                    for message in messages {
                        match self.imported(&message, written)? {
                            Some(kept) => batch.push(kept),
                            None => done.unknown = done.unknown.saturating_add(1),
                        }
                    }
                }
                None => done.unknown = done.unknown.saturating_add(1),
            }
            if batch.len() >= BATCH.0 {
                self.append_imported(&mut batch, now, done)?;
                progress(read, total);
            }
        }
        self.append_imported(&mut batch, now, done)?;
        self.project(now)?;
        self.connection().execute("INSERT OR IGNORE INTO imported (hash) VALUES (?1)", [hash])?;
        progress(total, total);
        Ok(())
    }

    fn append_imported(
        &mut self,
        batch: &mut Vec<Kept>,
        now: i64,
        done: &mut Imported,
    ) -> anyhow::Result<()> {
        done.messages = done.messages.saturating_add(batch.len());
        self.append(std::mem::take(batch)).map_err(|trouble| {
            let (Trouble::Passing(error) | Trouble::Fatal(error)) = trouble;
            let what = "the store cannot be written: make room on the disk, and import again";
            anyhow::Error::from(error).context(what)
        })?;
        if self.pending() >= BATCH.1 {
            self.project(now)?;
        }
        Ok(())
    }

    /// Returns the message with its line. A message without identity counts once, however often it is imported.
    fn imported(&mut self, message: &Received, written: i64) -> anyhow::Result<Option<Kept>> {
        let Some(place) = self.shapes.find(&message.contract, &message.message) else {
            return Ok(None);
        };
        let given = message.time_nanos.div_euclid(1_000_000);
        let received = if message.time_nanos == 0 { written } else { given };
        let heard = heard::hear(&self.shapes, place, &message.body, received, message.time_nanos);
        let (Some(heard), Ok(body)) = (heard, std::str::from_utf8(&message.body)) else {
            return Ok(None);
        };
        let mut line = Vec::new();
        Line {
            contract: &message.contract,
            message: &message.message,
            received,
            time_nanos: message.time_nanos,
            body,
        }
        .append(&mut line);
        if heard.id.is_none() && matches!(heard.tells, Tells::Start { .. }) {
            let hash: [u8; 32] = Sha256::digest(&line).into();
            if self.is_imported(&hash)? {
                return Ok(None);
            }
            self.connection()
                .execute("INSERT OR IGNORE INTO imported (hash) VALUES (?1)", [hash])?;
        }
        Ok(Some(Kept { line, heard }))
    }

    fn is_imported(&mut self, hash: &[u8; 32]) -> rusqlite::Result<bool> {
        let found = "SELECT EXISTS (SELECT 1 FROM imported WHERE hash = ?1)";
        self.connection().prepare_cached(found)?.query_row([hash], |row| row.get(0))
    }
}

fn hash_of(path: &Path) -> std::io::Result<[u8; 32]> {
    let (mut file, mut hash, mut piece) = (File::open(path)?, Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(piece.get(..read).unwrap_or_default()),
        }
    }
}
