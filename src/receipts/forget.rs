//! Takes what was sent for some contracts out of the journal.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::line::Line;
use super::read::BYTES;
use super::{files, is_missing};
use crate::files::open;

/// Takes the attempts to send messages of these contracts out of the journal at `path` and its older part.
///
/// Their lines are overwritten in their place and keep only their times. So an engine that appends at the same
/// moment loses nothing, and no lock is needed.
///
/// # Errors
///
/// A file cannot be read or written. Some lines may be left.
pub fn forget(path: &Path, contracts: &[&str]) -> io::Result<()> {
    let mut parts = Vec::new();
    // The newer part comes first: if it is renamed meanwhile, it is looked through twice and not missed.
    let [older, newer] = files(path);
    for part in [newer, older] {
        match open(&part, OpenOptions::new().read(true).write(true)) {
            Err(error) if is_missing(&error) => {}
            file => parts.push(read(file?)?),
        }
    }
    let mut attempts = BTreeSet::new();
    for line in parts.iter().flat_map(|(_, text)| text.split(|byte| *byte == b'\n')) {
        if let Some(Line::Begun(begun)) = Line::decode(line)
            && contracts.contains(&begun.contract())
        {
            attempts.insert(begun.attempt);
        }
    }
    for (mut file, text) in parts {
        let mut place = 0_u64;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let end = line.strip_suffix(b"\n").unwrap_or(line);
            if let Some(empty) =
                Line::decode(end).and_then(|line| line.forgotten(&attempts, end.len()))
            {
                file.seek(SeekFrom::Start(place))?;
                file.write_all(&empty)?;
            }
            place = place.saturating_add(line.len() as u64);
        }
        file.sync_all()?;
    }
    Ok(())
}

fn read(file: File) -> io::Result<(File, Vec<u8>)> {
    let mut text = Vec::new();
    (&file).take(BYTES).read_to_end(&mut text)?;
    Ok((file, text))
}
