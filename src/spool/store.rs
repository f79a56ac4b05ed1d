//! The queue on disk of one exporter of one process, and what it takes over from processes that ended.
//!
//! The names of the files say whose they are, so that no file has to be read to find that out:
//! `<contract>-<queue>-<owner>.<time>-<number>`, and `<contract>-<queue>-<owner>.lock`, which the owner holds
//! while it lives. The content decides whether and where an entry is sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};

use otel_usage_schema::Loss;
use uuid::Uuid;

use super::disk::{Disk, Found, Lock};
use super::entry::{Address, Entry, Unreadable, hexadecimal, sha256};
use crate::cutoff::Cutoff;

/// Most files of the folder: 16 processes with a full outbox. A listing of them takes less than a millisecond.
const FILES: usize = 256;

/// Most bytes of the folder. A start message has 1.5 kB, so only texts of unusual length come near it.
const BYTES: u64 = 4 * 1024 * 1024;

/// Longest file that is read: an outbox that is full of one message, and what stands around its body.
pub(super) const FILE_BYTES: u64 = 257 * 1024;

/// Seconds for which a file may stay: what a start report is worth, which lasts longest. It ends also those
/// that nobody reads, because no process has their destination.
const AGE: i64 = 7 * 24 * 3600;

/// Most ended processes that are taken over at once. Each costs a file descriptor until its files are sent.
const OWNERS: usize = 8;

/// Most identities that are remembered to recognise a copy of an entry.
const SEEN: usize = 1024;

/// The mark at the end of a name of a message that a newer one replaces.
const NEWEST: char = 'h';

/// A message of a process that ended.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) name: String,
    pub(crate) entry: Entry,
}

/// The files of one process, whose lock is held.
struct Owner {
    name: String,
    files: BTreeSet<String>,
    lock: Lock,
}

#[derive(Debug)]
pub(crate) struct Spool {
    disk: Box<dyn Disk>,
    contract: String,
    cutoff: Cutoff,
    /// The beginning of the names of the contract's files.
    of_contract: String,
    /// The beginning of the names of this queue's files.
    of_queue: String,
    own: Option<Owner>,
    number: u32,
    adopted: Vec<Owner>,
    /// The last owner that was looked at, unless all were.
    looked: Option<String>,
    /// The files that were taken over and not read yet.
    unread: VecDeque<String>,
    seen: BTreeSet<([u8; 16], Address)>,
    /// Files that could not be deleted. They would otherwise be sent a second time.
    undeleted: Vec<String>,
    losses: Vec<Loss>,
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").field("name", &self.name).field("files", &self.files).finish()
    }
}

/// A name of a file, taken apart.
pub(super) struct Name<'a> {
    pub(super) owner: &'a str,
    /// `None` for a lock.
    pub(super) time: Option<i64>,
}

impl<'a> Name<'a> {
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let (owner, rest) = name.split_once('.')?;
        let mut parts = owner.split('-').map(str::len);
        if ![16, 16, 32].into_iter().eq(parts.by_ref()) {
            return None;
        }
        if rest == "lock" {
            return Some(Self { owner, time: None });
        }
        let (time, _) = rest.split_once('-')?;
        Some(Self { owner, time: Some(i64::from_str_radix(time, 16).ok()?) })
    }
}

impl Spool {
    /// Makes the queue of the exporter whose base is `queue`. The disk is not touched.
    pub(crate) fn new(disk: Box<dyn Disk>, contract: &str, queue: Address) -> Self {
        let of_contract = of_contract(contract);
        Self {
            disk,
            contract: contract.to_owned(),
            cutoff: Cutoff::default(),
            of_queue: format!("{of_contract}{}-", short(&queue.0)),
            of_contract,
            own: None,
            number: 0,
            adopted: Vec::new(),
            looked: None,
            unread: VecDeque::new(),
            seen: BTreeSet::new(),
            undeleted: Vec::new(),
            losses: Vec::new(),
        }
    }

    /// Sets the time of the last opt-out. What is older is deleted and not sent.
    pub(crate) fn with_cutoff(mut self, cutoff: Cutoff) -> Self {
        self.cutoff = cutoff;
        self
    }

    /// Writes entries so that they survive a crash and a power cut, and returns the names of their files.
    ///
    /// The oldest files of the folder are deleted if there is no room. [`Self::holds`] then says no for those
    /// of this process.
    ///
    /// # Errors
    ///
    /// None of the entries is safe.
    pub(crate) fn save(&mut self, entries: &[Entry]) -> io::Result<Vec<String>> {
        let too_long = || io::Error::from(ErrorKind::FileTooLarge);
        let encoded: Option<Vec<_>> = entries.iter().map(Entry::encode).collect();
        let encoded = encoded.ok_or_else(too_long)?;
        if encoded.iter().any(|bytes| bytes.len() as u64 > FILE_BYTES) {
            return Err(too_long());
        }
        self.disk.make_folder()?;
        self.delete_again();
        self.make_room(entries.len(), encoded.iter().map(|bytes| bytes.len() as u64).sum())?;
        let owner = self.owner()?;
        let names: Vec<String> = entries
            .iter()
            .map(|entry| {
                self.number = self.number.wrapping_add(1);
                let mark = if entry.newest_only { NEWEST.to_string() } else { String::new() };
                format!("{owner}.{:010x}-{:08x}{mark}", entry.time.max(0), self.number)
            })
            .collect();
        if let Err(error) = self.write(&names, &encoded) {
            for name in &names {
                self.delete(name);
            }
            return Err(error);
        }
        if let Some(own) = &mut self.own {
            own.files.extend(names.iter().cloned());
        }
        Ok(names)
    }

    /// Writes and syncs each file, then the folder once.
    fn write(&self, names: &[String], encoded: &[Vec<u8>]) -> io::Result<()> {
        for (name, bytes) in names.iter().zip(encoded) {
            let mut file = self.disk.create(name)?;
            file.write(bytes)?;
            file.sync()?;
        }
        self.disk.sync_folder()
    }

    /// Returns the name of this process's files, and takes its lock first.
    fn owner(&mut self) -> io::Result<String> {
        if let Some(own) = &self.own {
            return Ok(own.name.clone());
        }
        // Another process may take the lock for that of a process that ended.
        for _ in 0..3 {
            let name = format!("{}{}", self.of_queue, Uuid::new_v4().simple());
            if let Some(lock) = self.disk.lock(&lock_of(&name))? {
                self.own = Some(Owner { name: name.clone(), files: BTreeSet::new(), lock });
                return Ok(name);
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }

    /// Deletes the oldest files until `files` more with `bytes` have room.
    fn make_room(&mut self, files: usize, bytes: u64) -> io::Result<()> {
        let mut there: Vec<(i64, Found)> = self
            .disk
            .list()?
            .into_iter()
            .filter_map(|found| Some((Name::parse(&found.name)?.time?, found)))
            .collect();
        there.sort_by(|(one, a), (other, b)| (one, &a.name).cmp(&(other, &b.name)));
        let mut count = there.len().saturating_add(files);
        let mut sum = there.iter().fold(bytes, |sum, (_, found)| sum.saturating_add(found.bytes));
        for (_, found) in there {
            if count <= FILES && sum <= BYTES {
                return Ok(());
            }
            match self.disk.remove(&found.name) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            count = count.saturating_sub(1);
            sum = sum.saturating_sub(found.bytes);
            // Those of this process wait in memory, too, and of those of others nobody else knows.
            if !self.forget(&found.name) {
                self.losses.push(Loss::QueueFull);
            }
        }
        if count <= FILES && sum <= BYTES { Ok(()) } else { Err(ErrorKind::StorageFull.into()) }
    }

    /// Returns whether the file of an entry is still there.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.own.iter().chain(&self.adopted).any(|owner| owner.files.contains(name))
    }

    /// Deletes an entry that was delivered or dropped.
    ///
    /// The deletion is not synced. After a power cut the entry may be there again, and it is then sent again
    /// with the same identity.
    pub(crate) fn remove(&mut self, name: &str) {
        self.delete(name);
        self.forget(name);
        self.release();
    }

    /// Takes over the files of processes that ended, and deletes those that are too old for anybody. Returns
    /// whether more such processes may be left.
    ///
    /// # Errors
    ///
    /// The folder cannot be read. Nothing is lost.
    pub(crate) fn adopt(&mut self, now: i64) -> io::Result<bool> {
        self.delete_again();
        if !self.adopted.is_empty() {
            return Ok(false);
        }
        let mut owners: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for found in self.disk.list()? {
            let Some(Name { owner, time }) = Name::parse(&found.name) else { continue };
            let Some(time) = time else {
                owners.entry(owner.to_owned()).or_default();
                continue;
            };
            if now.abs_diff(time) > AGE.unsigned_abs() {
                self.delete(&found.name);
                if !self.forget(&found.name) && owner.starts_with(&self.of_queue) {
                    self.losses.push(Loss::Expired);
                }
            } else {
                owners.entry(owner.to_owned()).or_default().insert(found.name.clone());
            }
        }
        let own = self.own.as_ref().map(|own| own.name.clone());
        let looked = self.looked.take();
        owners.retain(|owner, _| {
            owner.starts_with(&self.of_queue)
                && Some(owner) != own.as_ref()
                && looked.as_ref().is_none_or(|looked| looked < owner)
        });
        for (name, mut files) in owners {
            if self.adopted.len() >= OWNERS {
                break;
            }
            self.looked = Some(name.clone());
            // A lock that cannot be taken now can be taken the next time.
            let Ok(Some(lock)) = self.disk.lock(&lock_of(&name)) else { continue };
            let replaced: Vec<String> =
                files.iter().filter(|file| file.ends_with(NEWEST)).cloned().collect();
            for old in replaced.iter().rev().skip(1) {
                files.remove(old);
                self.delete(old);
                self.losses.push(Loss::Superseded);
            }
            self.unread.extend(files.iter().cloned());
            self.adopted.push(Owner { name, files, lock });
        }
        if self.adopted.len() < OWNERS {
            self.looked = None;
        }
        self.release();
        Ok(self.looked.is_some())
    }

    /// Returns the next entry that was taken over and may be sent to one of the addresses that are `mine`.
    ///
    /// Damaged, late and copied ones, and those from before an opt-out, are deleted and counted. Those of other destinations stay until they are
    /// too old.
    pub(crate) fn next(&mut self, now: i64, mine: impl Fn(&Address) -> bool) -> Option<Taken> {
        for _ in 0..self.unread.len() {
            let name = self.unread.pop_front()?;
            let loss = match self.disk.read(&name, FILE_BYTES) {
                Ok(bytes) if bytes.len() as u64 > FILE_BYTES => Some(Loss::Io),
                Ok(bytes) => match Entry::decode(&bytes) {
                    Ok(entry) if entry.contract != self.contract || !mine(&entry.address) => None,
                    Ok(entry) => match self.cutoff.allows(entry.time) {
                        // What cannot be compared stays until it is too old for anybody.
                        None => None,
                        Some(false) => Some(Loss::Consent),
                        Some(true) if entry.is_late(now) => Some(Loss::Expired),
                        Some(true) if !self.is_new(&entry) => Some(Loss::Io),
                        Some(true) => return Some(Taken { name, entry }),
                    },
                    Err(Unreadable::Damaged) => Some(Loss::Io),
                    Err(Unreadable::Foreign) => None,
                },
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(_) => {
                    // It may be readable later.
                    self.unread.push_back(name);
                    continue;
                }
            };
            if let Some(loss) = loss {
                self.delete(&name);
                self.losses.push(loss);
            }
            self.forget(&name);
        }
        self.release();
        None
    }

    fn is_new(&mut self, entry: &Entry) -> bool {
        if self.seen.len() >= SEEN {
            self.seen.clear();
        }
        self.seen.insert((entry.identity, entry.address))
    }

    /// Deletes the contract's entries, apart from those of processes that live, because consent was withdrawn.
    /// They delete theirs.
    ///
    /// # Errors
    ///
    /// Something may be left.
    pub(crate) fn purge(&mut self) -> io::Result<()> {
        self.unread.clear();
        self.seen.clear();
        let held: Vec<Owner> = self.own.take().into_iter().chain(self.adopted.drain(..)).collect();
        let mut locks: BTreeMap<String, Lock> =
            held.into_iter().map(|owner| (owner.name, owner.lock)).collect();
        let mut result = Ok(());
        let mut names: Vec<String> =
            self.disk.list()?.into_iter().map(|found| found.name).collect();
        // A lock sorts after the entries that it guards.
        names.sort_unstable();
        for name in names {
            let Some(Name { owner, .. }) = Name::parse(&name) else { continue };
            if !owner.starts_with(&self.of_contract) {
                continue;
            }
            if !locks.contains_key(owner) {
                match self.disk.lock(&lock_of(owner)) {
                    Ok(Some(lock)) => locks.insert(owner.to_owned(), lock),
                    Ok(None) => continue,
                    Err(error) => {
                        result = Err(error);
                        continue;
                    }
                };
            }
            if let Err(error) = self.disk.remove(&name)
                && error.kind() != ErrorKind::NotFound
            {
                result = Err(error);
            }
        }
        for owner in locks.keys() {
            let _ = self.disk.remove(&lock_of(owner));
        }
        self.undeleted.clear();
        // Also if nothing was there, because the sync of an earlier purge may have failed.
        match self.disk.sync_folder() {
            Err(error) if error.kind() == ErrorKind::NotFound => result,
            synced => result.and(synced),
        }
    }

    /// Returns the reasons for which entries of processes that ended were lost since the last call.
    pub(crate) fn take_losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    /// Deletes a file, or remembers that it has to be deleted.
    fn delete(&mut self, name: &str) {
        if let Err(error) = self.disk.remove(name)
            && error.kind() != ErrorKind::NotFound
            && self.undeleted.len() < FILES
        {
            self.undeleted.push(name.to_owned());
        }
    }

    fn delete_again(&mut self) {
        for name in std::mem::take(&mut self.undeleted) {
            self.delete(&name);
        }
        self.release();
    }

    /// Forgets that a file is there. Returns whether it was known.
    fn forget(&mut self, name: &str) -> bool {
        self.own.iter_mut().chain(&mut self.adopted).any(|owner| owner.files.remove(name))
    }

    /// Gives the locks back whose files are all gone.
    fn release(&mut self) {
        let undeleted = &self.undeleted;
        let done = |owner: &Owner| {
            let mut left = undeleted.iter();
            owner.files.is_empty() && !left.any(|name| name.starts_with(&owner.name))
        };
        let mut free: Vec<Owner> = Vec::new();
        let (done_now, kept) = std::mem::take(&mut self.adopted).into_iter().partition(done);
        self.adopted = kept;
        free.extend::<Vec<Owner>>(done_now);
        free.extend(self.own.take_if(|own| done(own)));
        for owner in free {
            // While it is held, so that it is not the lock of another.
            let _ = self.disk.remove(&lock_of(&owner.name));
            drop(owner.lock);
        }
    }
}

pub(super) fn lock_of(owner: &str) -> String {
    format!("{owner}.lock")
}

/// Returns the beginning of the names of a contract's files.
pub(super) fn of_contract(contract: &str) -> String {
    format!("{}-", short(&sha256(contract.as_bytes())))
}

/// Returns the first eight bytes in hexadecimal form.
fn short(digest: &[u8; 32]) -> String {
    hexadecimal(digest.first_chunk::<8>().unwrap_or(&[0; 8]))
}
