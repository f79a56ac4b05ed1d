//! A disk in memory that loses what was not synced, and whose calls can fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use super::disk::{Disk, Found, Lock, NewFile};

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

#[derive(Debug, Clone, Default)]
struct Content {
    /// What a power cut leaves for certain.
    synced: Option<Vec<u8>>,
    written: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    contents: Vec<Content>,
    /// Names as programs see them.
    names: BTreeMap<String, usize>,
    /// Names as a power cut leaves them for certain.
    synced_names: BTreeMap<String, usize>,
    locks: BTreeSet<String>,
    calls: usize,
    /// The calls that fail, each with its error.
    failing: Option<(std::ops::Range<usize>, i32)>,
    /// The call at which the power goes.
    off_at: Option<usize>,
}

/// Clones share one disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Simulated(Arc<Mutex<State>>);

impl Simulated {
    /// Makes the calls of `range` fail.
    pub(super) fn fail(&self, range: std::ops::Range<usize>, code: i32) {
        self.0.lock().unwrap().failing = Some((range, code));
    }

    /// Makes every call fail from the call `at` on.
    pub(super) fn cut_at(&self, at: usize) {
        self.0.lock().unwrap().off_at = Some(at);
    }

    pub(super) fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().names.keys().cloned().collect()
    }

    pub(super) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.0.lock().unwrap();
        state.contents[state.names[name]].written.clone()
    }

    /// Puts a file there, synced.
    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.0.lock().unwrap();
        let place = state.contents.len();
        state.contents.push(Content { synced: Some(bytes.clone()), written: bytes });
        state.names.insert(name.to_owned(), place);
        state.synced_names.insert(name.to_owned(), place);
    }

    /// Returns the disk after the power came back: each name that was not synced is as before or as after, and
    /// each content that was not synced is anything between.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> Self {
        let state = self.0.lock().unwrap();
        let after = Self::default();
        let all: BTreeSet<&String> = state.names.keys().chain(state.synced_names.keys()).collect();
        for name in all {
            let (then, now) = (state.synced_names.get(name), state.names.get(name));
            let Some(place) = (if random.below(2) == 0 { then } else { now }) else { continue };
            let content = &state.contents[*place];
            let bytes = content.synced.clone().unwrap_or_else(|| torn(&content.written, random));
            after.put(name, bytes);
        }
        after
    }

    /// Frees all locks, because their processes were killed.
    pub(super) fn after_kill(&self) -> Self {
        let mut state = self.0.lock().unwrap();
        state.locks.clear();
        state.off_at = None;
        state.failing = None;
        drop(state);
        self.clone()
    }

    /// Counts a call and decides whether it works.
    fn call(&self) -> io::Result<std::sync::MutexGuard<'_, State>> {
        let mut state = self.0.lock().unwrap();
        let call = state.calls;
        state.calls += 1;
        if state.off_at.is_some_and(|at| call >= at) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        match &state.failing {
            Some((range, code)) if range.contains(&call) => {
                Err(io::Error::from_raw_os_error(*code))
            }
            _ => Ok(state),
        }
    }
}

/// Returns what a power cut may leave of bytes that were not synced.
fn torn(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut left = bytes.to_vec();
    match random.below(5) {
        0 => left.clear(),
        1 => left.truncate(random.below(bytes.len())),
        2 => left.fill(0),
        3 => {
            let from = random.below(bytes.len());
            left[from..].fill(0);
        }
        _ => {}
    }
    left
}

struct Open(Simulated, usize);

impl NewFile for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.0.call() {
            Ok(mut state) => {
                state.contents[self.1].written.extend_from_slice(bytes);
                Ok(())
            }
            Err(error) => {
                // A full disk takes a part.
                let half = bytes.len() / 2;
                let mut state = self.0.0.lock().unwrap();
                state.contents[self.1].written.extend_from_slice(&bytes[..half]);
                Err(error)
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.0.call()?;
        let content = &mut state.contents[self.1];
        content.synced = Some(content.written.clone());
        Ok(())
    }
}

struct Held(Simulated, String);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().locks.remove(&self.1);
    }
}

impl Disk for Simulated {
    fn make_folder(&self) -> io::Result<()> {
        self.call().map(|_| ())
    }

    fn list(&self) -> io::Result<Vec<Found>> {
        let state = self.call()?;
        let found = state.names.iter().map(|(name, place)| {
            let bytes = state.contents[*place].written.len() as u64;
            Found { name: name.clone(), bytes }
        });
        Ok(found.collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        let mut state = self.call()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let place = state.contents.len();
        state.contents.push(Content::default());
        state.names.insert(name.to_owned(), place);
        Ok(Box::new(Open(self.clone(), place)))
    }

    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        let state = self.call()?;
        let place = state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = state.contents[*place].written.clone();
        bytes.truncate(usize::try_from(limit).unwrap() + 1);
        Ok(bytes)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.call()?;
        state.names.remove(name).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.call()?;
        state.synced_names = state.names.clone();
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<Option<Lock>> {
        let mut state = self.call()?;
        if !state.locks.insert(name.to_owned()) {
            return Ok(None);
        }
        if !state.names.contains_key(name) {
            let place = state.contents.len();
            state.contents.push(Content::default());
            state.names.insert(name.to_owned(), place);
        }
        Ok(Some(Box::new(Held(self.clone(), name.to_owned()))))
    }
}
