//! What processes left that ended: which of it this one takes over, and what an opt-out deletes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};

use otel_usage_schema::Loss;

use super::disk::Lock;
use super::entry::{Address, Entry, Unreadable};
use super::name::{NEWEST, Name, lock_of};
use super::store::{FILE_BYTES, Owner, Spool, Taken};

/// Seconds for which a file may stay: what a start report is worth, which lasts longest. It ends also those
/// that nobody reads, because no process has their destination.
const AGE: i64 = 7 * 24 * 3600;

/// Most ended processes that are taken over at once. Each costs a file descriptor until its files are sent.
const OWNERS: usize = 8;

/// Most identities that are remembered to recognise a copy of an entry.
const SEEN: usize = 1024;

impl Spool {
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
}
