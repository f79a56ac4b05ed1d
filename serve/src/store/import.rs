//! Takes messages from files: vLLM's `usage_stats.json`, lines of our file exporter, archives of a collector (OTLP as
//! JSON), also compressed. A second import of the same messages changes nothing.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// The beginning of 2020, before which no engine reported. Unit: milliseconds since the Unix epoch.
const FIRST: i64 = 1_577_836_800_000;

/// The counts of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Lines of the files.
    pub lines: usize,
    /// Messages that are kept now.
    pub messages: usize,
    /// Lines that are no message that a contract knows.
    pub unknown: usize,
    /// Messages of identities that were deleted. They are not kept.
    pub deleted: usize,
    /// Files that had been imported before.
    pub known_files: usize,
}

/// The end of one file's import.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Taken {
    /// At least one of its messages was understood. The file is not read again.
    Read,
    /// It was imported before.
    Before,
    /// It has no line.
    Empty,
    /// Nothing in it was understood, so it is read again next time: another contract or program may know it.
    Strange {
        /// The number of the first line that has something in it.
        line: usize,
        /// Why that line is no message.
        why: String,
    },
}

impl Core {
    /// Imports a file, and returns what became of it. `progress` is told the bytes that are done, and their total.
    ///
    /// A message counts at the time that its engine gave, however old it is. Without one, or with one before 2020 or in the
    /// future, it counts at `written`, the time of the file.
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
    ) -> anyhow::Result<Taken> {
        let named = || format!("{}: cannot be read", path.display());
        let hash = self.hash_of(path).with_context(named)?;
        if self.is_imported(&hash)? {
            done.known_files = done.known_files.saturating_add(1);
            return Ok(Taken::Before);
        }
        let file = File::open(path).with_context(named)?;
        let total = file.metadata().with_context(named)?.len();
        let read = Arc::new(AtomicU64::new(0));
        let mut reader = plain(Counted { file, read: Arc::clone(&read) }).with_context(named)?;
        let (mut line, mut batch) = (Vec::new(), Batch::default());
        let (mut number, mut taken) = (0_usize, Taken::Empty);
        loop {
            line.clear();
            number = number.saturating_add(1);
            match (&mut reader).take(LONGEST).read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    // The lines before it are kept. A later import of the whole file adds the rest.
                    self.append_imported(&mut batch, now, done)?;
                    self.project(now)?;
                    let what = format!("{}: cannot be read from line {number} on", path.display());
                    return Err(anyhow::Error::from(error).context(what));
                }
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            done.lines = done.lines.saturating_add(1);
            match importer.read(&line) {
                Ok(messages) => {
                    taken = Taken::Read;
                    for message in messages {
                        self.imported(&message, (written, now), &mut batch, done)?;
                    }
                }
                Err(why) => {
                    done.unknown = done.unknown.saturating_add(1);
                    if taken == Taken::Empty {
                        taken = Taken::Strange { line: number, why };
                    }
                }
            }
            if batch.messages.len() >= BATCH.0 {
                self.append_imported(&mut batch, now, done)?;
                progress(read.load(Ordering::Relaxed), total);
            }
        }
        self.append_imported(&mut batch, now, done)?;
        self.project(now)?;
        if taken == Taken::Read {
            let insert = "INSERT OR IGNORE INTO imported (hash) VALUES (?1)";
            self.connection().execute(insert, [hash])?;
        }
        progress(total, total);
        Ok(taken)
    }

    fn append_imported(
        &mut self,
        batch: &mut Batch,
        now: i64,
        done: &mut Imported,
    ) -> anyhow::Result<()> {
        let Batch { messages, starts } = std::mem::take(batch);
        done.messages = done.messages.saturating_add(messages.len());
        self.append(messages).map_err(|trouble| {
            let (Trouble::Passing(error) | Trouble::Fatal(error)) = trouble;
            let what = "the store cannot be written: make room on the disk, and import again";
            anyhow::Error::from(error).context(what)
        })?;
        // After the messages, because a start that is noted and not kept would be lost.
        let transaction = self.connection().transaction()?;
        for hash in starts {
            let insert = "INSERT OR IGNORE INTO imported (hash) VALUES (?1)";
            transaction.prepare_cached(insert)?.execute([hash])?;
        }
        transaction.commit()?;
        if self.pending() >= BATCH.1 {
            self.project(now)?;
        }
        Ok(())
    }

    /// Adds a message with its line. A message without identity counts once, however often it is imported.
    fn imported(
        &mut self,
        message: &Received,
        (written, now): (i64, i64),
        batch: &mut Batch,
        done: &mut Imported,
    ) -> anyhow::Result<()> {
        let given = message.time_nanos.div_euclid(1_000_000);
        let received = if (FIRST..=now).contains(&given) { given } else { written };
        let heard = self.shapes.find(&message.contract, &message.message).and_then(|place| {
            heard::hear(&self.shapes, place, &message.body, received, message.time_nanos)
        });
        let (Some(heard), Ok(body)) = (heard, std::str::from_utf8(&message.body)) else {
            done.unknown = done.unknown.saturating_add(1);
            return Ok(());
        };
        if self.is_forgotten(&heard) {
            done.deleted = done.deleted.saturating_add(1);
            return Ok(());
        }
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
            if self.is_imported(&hash)? || !batch.starts.insert(hash) {
                return Ok(());
            }
        }
        batch.messages.push(Kept { line, heard });
        Ok(())
    }

    /// Returns the hash of a file and of the contracts that read it, because other contracts read more of it.
    fn hash_of(&self, path: &Path) -> std::io::Result<[u8; 32]> {
        let (mut file, mut hash, mut piece) = (File::open(path)?, Sha256::new(), vec![0; 1 << 16]);
        loop {
            match file.read(&mut piece)? {
                0 => break,
                read => hash.update(piece.get(..read).unwrap_or_default()),
            }
        }
        hash.update(self.shapes.contracts_hash());
        Ok(hash.finalize().into())
    }

    fn is_imported(&mut self, hash: &[u8; 32]) -> rusqlite::Result<bool> {
        let found = "SELECT EXISTS (SELECT 1 FROM imported WHERE hash = ?1)";
        self.connection().prepare_cached(found)?.query_row([hash], |row| row.get(0))
    }
}

/// Messages that become one batch, and the hashes of those that name no engine.
#[derive(Debug, Default)]
struct Batch {
    messages: Vec<Kept>,
    starts: HashSet<[u8; 32]>,
}

/// A file that tells how much of it is read.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(into)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Returns the content of a file without its compression, by its first bytes.
fn plain(file: Counted) -> std::io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::new(file);
    Ok(match file.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(BufReader::new(zstd::Decoder::with_buffer(file)?)),
        _ => Box::new(file),
    })
}
