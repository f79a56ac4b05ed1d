//! A disk in memory that loses what was not synced, and whose calls can fail.
//!
//! A power cut leaves of each file what it would leave on the worst file system: every name is in any state
//! that it had since the last sync of the folder, independently of the others; content that was not synced is
//! missing, cut off, zeros, longer, or a mixture of sectors that were written, sectors of zeros and sectors of
//! older files; and a folder whose name was not synced is gone with all that is in it. A failed call may have done
//! its work, and a sync after a failed sync says that all is well and saves nothing.
//!
//! It does not model a disk that changes or forgets what it has synced. Nothing is renamed, so neither is it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::disk::{Disk, Found, LISTED, Listing, Lock, NewFile};
use super::name::Name;

/// A small generator with a seed, so that a failure can be repeated.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    /// Returns a number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end.max(1) as u64).unwrap()
    }
}

/// The unit in which a disk writes.
const SECTOR: usize = 512;

#[derive(Debug, Clone, Default)]
struct Content {
    /// The bytes that a power cut leaves for certain.
    synced: Option<Vec<u8>>,
    written: Vec<u8>,
    /// Whether a sync failed. The system then takes the content for clean, and no later sync writes it.
    failed: bool,
    /// The time of the last write. That of a message is 0 unless a test sets it.
    modified: i64,
}

/// The folder itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Missing,
    /// It is there, but a power cut may remove it.
    Made,
    Safe,
}

#[derive(Debug, Default)]
struct State {
    contents: Vec<Content>,
    /// Names as programs see them.
    names: BTreeMap<String, usize>,
    /// The states of each name that changed since the last sync of the folder, the synced one first.
    changes: BTreeMap<String, Vec<Option<usize>>>,
    place: Place,
    /// The folders on the way that were made, and whose names were synced.
    made: BTreeSet<PathBuf>,
    safe: BTreeSet<PathBuf>,
    locks: BTreeSet<String>,
    /// Files that may not be read.
    unreadable: BTreeSet<String>,
    calls: usize,
    /// The calls that fail, each with its error, and whether they do their work nevertheless.
    failing: Option<(std::ops::Range<usize>, i32, bool)>,
    /// The call at which the power goes.
    off_at: Option<usize>,
}

impl State {
    /// Lets a name stand for a content, or for none.
    fn set(&mut self, name: &str, place: Option<usize>) {
        let before = match place {
            Some(place) => self.names.insert(name.to_owned(), place),
            None => self.names.remove(name),
        };
        self.changes.entry(name.to_owned()).or_insert_with(|| vec![before]).push(place);
    }

    fn add(&mut self, name: &str, content: Content) -> usize {
        let place = self.contents.len();
        self.contents.push(content);
        self.set(name, Some(place));
        place
    }

    /// Fails if there is no folder.
    fn folder(&self) -> io::Result<()> {
        if self.place == Place::Missing { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
    }
}

/// Clones share one disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Simulated(Arc<Mutex<State>>);

impl Simulated {
    /// Makes the calls of `range` fail, which do their work nevertheless if they are `done`.
    pub(crate) fn fail(&self, range: std::ops::Range<usize>, code: i32, done: bool) {
        self.0.lock().unwrap().failing = Some((range, code, done));
    }

    /// Makes every call fail from the call `at` on.
    pub(super) fn cut_at(&self, at: usize) {
        self.0.lock().unwrap().off_at = Some(at);
    }

    pub(crate) fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().names.keys().cloned().collect()
    }

    pub(super) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.0.lock().unwrap();
        state.contents[state.names[name]].written.clone()
    }

    /// Sets the time of the last write of a file.
    pub(super) fn set_modified(&self, name: &str, time: i64) {
        let mut state = self.0.lock().unwrap();
        let place = state.names[name];
        state.contents[place].modified = time;
    }

    /// Makes each read of a file fail, or no more.
    pub(super) fn set_readable(&self, name: &str, readable: bool) {
        let unreadable = &mut self.0.lock().unwrap().unreadable;
        if readable {
            unreadable.remove(name);
        } else {
            unreadable.insert(name.to_owned());
        }
    }

    /// Deletes a file, as another process does.
    pub(crate) fn lose(&self, name: &str) {
        self.0.lock().unwrap().set(name, None);
    }

    /// Returns whether a call failed after the first `calls`.
    pub(crate) fn failed_since(&self, calls: usize) -> bool {
        let state = self.0.lock().unwrap();
        let failing = state.failing.as_ref().map(|(range, ..)| range.clone());
        failing.is_some_and(|range| range.start < state.calls && range.end > calls)
    }

    /// Puts a file there, synced.
    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.0.lock().unwrap();
        state.place = Place::Safe;
        let synced = Some(bytes.clone());
        state.add(name, Content { synced, written: bytes, ..Content::default() });
        state.changes.remove(name);
    }

    /// Returns the disk after the power came back.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> Self {
        let state = self.0.lock().unwrap();
        let after = Self::default();
        if state.place == Place::Missing || state.place == Place::Made && random.below(2) == 0 {
            return after;
        }
        after.0.lock().unwrap().place = Place::Safe;
        let all: BTreeSet<&String> = state.names.keys().chain(state.changes.keys()).collect();
        for name in all {
            let place = match state.changes.get(name) {
                Some(states) => states[random.below(states.len())],
                None => state.names.get(name).copied(),
            };
            let Some(place) = place else { continue };
            let content = &state.contents[place];
            let bytes = match &content.synced {
                Some(synced) => synced.clone(),
                None => torn(&content.written, &state.contents, random),
            };
            after.put(name, bytes);
        }
        after
    }

    /// Frees all locks, because their processes were killed.
    pub(crate) fn after_kill(&self) -> Self {
        let mut state = self.0.lock().unwrap();
        state.locks.clear();
        state.off_at = None;
        state.failing = None;
        drop(state);
        self.clone()
    }

    /// Counts a call, and does its `work` unless it fails.
    fn call<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        let call = state.calls;
        state.calls += 1;
        if state.off_at.is_some_and(|at| call >= at) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        if let Some((range, code, done)) = state.failing.clone()
            && range.contains(&call)
        {
            let result = if done { Some(work(&mut state)) } else { None };
            // First, because dropping a lock needs the state.
            drop(state);
            drop(result);
            return Err(io::Error::from_raw_os_error(code));
        }
        work(&mut state)
    }
}

/// Returns what a power cut may leave of bytes that were not synced.
fn torn(bytes: &[u8], others: &[Content], random: &mut Random) -> Vec<u8> {
    let mut left = bytes.to_vec();
    match random.below(6) {
        0 => left.clear(),
        1 => left.truncate(random.below(bytes.len())),
        2 => left.fill(0),
        3 => {
            for (number, sector) in left.chunks_mut(SECTOR).enumerate() {
                match random.below(3) {
                    0 => {}
                    1 => sector.fill(0),
                    _ => {
                        let old = &others[random.below(others.len())].written;
                        let old = old.get(number * SECTOR..).unwrap_or_default();
                        let length = old.len().min(sector.len());
                        sector[..length].copy_from_slice(&old[..length]);
                        sector[length..].fill(0);
                    }
                }
            }
        }
        4 => left.resize(bytes.len().next_multiple_of(8 * SECTOR), 0),
        _ => {}
    }
    left
}

struct Open(Simulated, usize);

impl NewFile for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self(disk, place) = self;
        let written = disk.call(|state| {
            state.contents[*place].written.extend_from_slice(bytes);
            Ok(())
        });
        let mut state = disk.0.lock().unwrap();
        let content = &mut state.contents[*place].written;
        if written.is_err() && content.is_empty() {
            // A full disk takes a part.
            content.extend_from_slice(&bytes[..bytes.len() / 2]);
        }
        written
    }

    fn sync(&mut self) -> io::Result<()> {
        let Self(disk, place) = self;
        let synced = disk.call(|state| {
            let content = &mut state.contents[*place];
            if !content.failed {
                content.synced = Some(content.written.clone());
            }
            Ok(())
        });
        if synced.is_err() {
            disk.0.lock().unwrap().contents[*place].failed = true;
        }
        synced
    }
}

/// The folder of the spool and the one above it, neither of which is there at first.
const FOLDERS: [&str; 2] = ["/state", "/state/spool"];

struct Held(Simulated, String);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().locks.remove(&self.1);
    }
}

impl Disk for Simulated {
    fn folders(&self) -> Vec<PathBuf> {
        FOLDERS.map(PathBuf::from).to_vec()
    }

    fn make_folder(&self, path: &Path) -> io::Result<bool> {
        self.call(|state| {
            let made = state.place == Place::Missing && state.made.insert(path.to_owned());
            if state.made.len() == FOLDERS.len() && state.place == Place::Missing {
                state.place = Place::Made;
            }
            Ok(made)
        })
    }

    fn sync_above(&self, path: &Path) -> io::Result<()> {
        self.call(|state| {
            // It is safe once its own name and that of the folder above it are.
            state.safe.insert(path.to_owned());
            if state.safe.len() == FOLDERS.len() {
                state.place = Place::Safe;
            }
            Ok(())
        })
    }

    fn list(&self) -> io::Result<Listing> {
        self.call(|state| {
            let own = state.names.iter().filter(|(name, _)| Name::parse(name).is_some());
            let found = own.map(|(name, place)| {
                let Content { written, modified, .. } = &state.contents[*place];
                Found { name: name.clone(), bytes: written.len() as u64, modified: *modified }
            });
            let mut files: Vec<Found> = found.collect();
            let is_cut = files.len() > LISTED;
            files.truncate(LISTED);
            Ok(Listing { files, is_cut })
        })
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        self.call(|state| {
            state.folder()?;
            if state.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let place = state.add(name, Content::default());
            Ok(Box::new(Open(self.clone(), place)) as Box<dyn NewFile>)
        })
    }

    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        self.call(|state| {
            if state.unreadable.contains(name) {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            let place = state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
            let mut bytes = state.contents[*place].written.clone();
            bytes.truncate(usize::try_from(limit).unwrap() + 1);
            Ok(bytes)
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(|state| {
            if !state.names.contains_key(name) {
                return Err(io::ErrorKind::NotFound.into());
            }
            state.set(name, None);
            Ok(())
        })
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.call(|state| {
            state.folder()?;
            state.changes.clear();
            Ok(())
        })
    }

    fn lock(&self, name: &str) -> io::Result<Option<Lock>> {
        self.call(|state| {
            state.folder()?;
            if !state.locks.insert(name.to_owned()) {
                return Ok(None);
            }
            if !state.names.contains_key(name) {
                state.add(name, Content::default());
            }
            Ok(Some(Box::new(Held(self.clone(), name.to_owned())) as Lock))
        })
    }

    fn lock_existing(&self, name: &str) -> io::Result<Option<Lock>> {
        self.call(|state| {
            if !state.names.contains_key(name) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let new = state.locks.insert(name.to_owned());
            Ok(new.then(|| Box::new(Held(self.clone(), name.to_owned())) as Lock))
        })
    }
}
