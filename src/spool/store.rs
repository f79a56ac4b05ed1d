//! The queue on disk of one exporter of one process, and what it takes over from processes that ended.
//!
//! The content of a file decides whether and where it is sent.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, ErrorKind};

use otel_usage_schema::Loss;
use uuid::Uuid;

use super::disk::{Disk, Found, Lock};
use super::entry::{Address, Entry};
use super::name::{NEWEST, Name, lock_of, of_contract, short};
use crate::cutoff::Cutoff;

/// Most files of the folder: 16 processes with a full outbox. A listing of them takes less than a millisecond.
const FILES: usize = 256;

/// Most bytes of the folder. A start message has 1.5 kB, so only texts of unusual length come near it.
const BYTES: u64 = 4 * 1024 * 1024;

/// Longest file that is read: an outbox that is full of one message, and what stands around its body.
pub(super) const FILE_BYTES: u64 = 257 * 1024;

/// A message of a process that ended.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) name: String,
    pub(crate) entry: Entry,
}

/// The files of one process, whose lock is held.
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) files: BTreeSet<String>,
    pub(super) lock: Lock,
}

#[derive(Debug)]
pub(crate) struct Spool {
    pub(super) disk: Box<dyn Disk>,
    pub(super) contract: String,
    pub(super) cutoff: Cutoff,
    /// The beginning of the names of the contract's files.
    pub(super) of_contract: String,
    /// The beginning of the names of this queue's files.
    pub(super) of_queue: String,
    /// Whether the folder was made and synced.
    pub(super) prepared: bool,
    pub(super) own: Option<Owner>,
    pub(super) number: u32,
    pub(super) adopted: Vec<Owner>,
    /// The last owner that was looked at, unless all were.
    pub(super) looked: Option<String>,
    /// The files that were taken over and not read yet, with the times at which they were written.
    pub(super) unread: VecDeque<(String, i64)>,
    pub(super) seen: BTreeSet<([u8; 16], Address)>,
    /// Files that could not be deleted. They would otherwise be sent a second time.
    pub(super) undeleted: Vec<String>,
    pub(super) losses: Vec<Loss>,
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").field("name", &self.name).field("files", &self.files).finish()
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
            prepared: false,
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

    /// Sets the time of the last opt-out. Older messages are deleted and not sent.
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
        let saved = self.save_encoded(entries, &encoded);
        if !self.prepared || !matches!(&saved, Err(error) if error.kind() == ErrorKind::NotFound) {
            return saved;
        }
        // Somebody removed the folder, and with it the lock.
        self.prepared = false;
        self.own = None;
        self.save_encoded(entries, &encoded)
    }

    fn save_encoded(&mut self, entries: &[Entry], encoded: &[Vec<u8>]) -> io::Result<Vec<String>> {
        self.prepare()?;
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
        if let Err(error) = self.write(&names, encoded) {
            for name in &names {
                self.delete(name);
            }
            return Err(error);
        }
        if let Some(own) = &mut self.own {
            own.files.extend(names.iter().cloned());
        }
        // Processes that save at the same moment do not see each other's files before. A file that cannot be deleted now
        // makes room for the next save.
        let _ = self.make_room(0, 0);
        Ok(names)
    }

    /// Makes the folder once, and makes it survive a power cut. Another process may have made it a moment ago
    /// and not synced it yet, so this is done also if it is there.
    fn prepare(&mut self) -> io::Result<()> {
        if self.prepared {
            return Ok(());
        }
        for folder in self.disk.folders() {
            let made = self.disk.make_folder(&folder)?;
            match self.disk.sync_above(&folder) {
                // No folder is made in one that may not be listed.
                Err(error) if !made && error.kind() == ErrorKind::PermissionDenied => {}
                synced => synced?,
            }
        }
        self.prepared = true;
        Ok(())
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
        let listing = self.disk.list()?;
        let whole = listing.check();
        let mut there: Vec<(i64, Found)> = listing
            .files
            .into_iter()
            .filter_map(|found| Some((Name::parse(&found.name)?.time?, found)))
            .collect();
        there.sort_by(|(one, a), (other, b)| (one, &a.name).cmp(&(other, &b.name)));
        if whole.is_ok() {
            self.keep_only(there.iter().map(|(_, found)| found.name.as_str()).collect());
        }
        let mut count = there.len().saturating_add(files);
        let mut sum = there.iter().fold(bytes, |sum, (_, found)| sum.saturating_add(found.bytes));
        for (_, found) in there {
            if count <= FILES && sum <= BYTES {
                break;
            }
            match self.disk.remove(&found.name) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            count = count.saturating_sub(1);
            sum = sum.saturating_sub(found.bytes);
            // A process that lives still has its message in memory. The message of one that ended is lost with its
            // file, and no other process can count it.
            if !self.forget(&found.name) && self.is_left_over(&found.name) {
                self.losses.push(Loss::QueueFull);
            }
        }
        whole?;
        if count <= FILES && sum <= BYTES { Ok(()) } else { Err(ErrorKind::StorageFull.into()) }
    }

    /// Returns whether a file is of this queue and of a process that ended.
    fn is_left_over(&self, name: &str) -> bool {
        let Some(Name { owner, .. }) = Name::parse(name) else { return false };
        owner.starts_with(&self.of_queue)
            && match self.disk.lock_existing(&lock_of(owner)) {
                Ok(lock) => lock.is_some(),
                Err(error) => error.kind() == ErrorKind::NotFound,
            }
    }

    /// Looks which files are still there, because other processes delete the oldest.
    ///
    /// # Errors
    ///
    /// The folder cannot be read, or not as a whole, so that it is unknown.
    pub(crate) fn refresh(&mut self) -> io::Result<()> {
        let listing = self.disk.list()?;
        listing.check()?;
        self.keep_only(listing.files.iter().map(|found| found.name.as_str()).collect());
        Ok(())
    }

    fn keep_only(&mut self, there: BTreeSet<&str>) {
        for owner in self.own.iter_mut().chain(&mut self.adopted) {
            owner.files.retain(|file| there.contains(file.as_str()));
        }
    }

    /// Returns whether the file of an entry was there at the last look.
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

    /// Gives all files back, as the end of the process does. The process that locks them first has them.
    pub(crate) fn release_all(&mut self) {
        self.own = None;
        self.adopted.clear();
        self.unread.clear();
        self.seen.clear();
        self.undeleted.clear();
        self.losses.clear();
        self.looked = None;
    }

    /// Returns the reasons for which entries of processes that ended were lost since the last call.
    pub(crate) fn take_losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    /// Deletes a file, or remembers that it has to be deleted.
    pub(super) fn delete(&mut self, name: &str) {
        if let Err(error) = self.disk.remove(name)
            && error.kind() != ErrorKind::NotFound
            && self.undeleted.len() < FILES
        {
            self.undeleted.push(name.to_owned());
        }
    }

    pub(super) fn delete_again(&mut self) {
        for name in std::mem::take(&mut self.undeleted) {
            self.delete(&name);
        }
        self.release();
    }

    /// Forgets that a file is there. Returns whether it was known.
    pub(super) fn forget(&mut self, name: &str) -> bool {
        self.own.iter_mut().chain(&mut self.adopted).any(|owner| owner.files.remove(name))
    }

    /// Gives the locks back whose files are all gone.
    pub(super) fn release(&mut self) {
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
