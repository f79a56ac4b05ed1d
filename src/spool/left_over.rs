//! Takes over the files that ended processes left, and deletes them after an opt-out.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use otel_usage_schema::Loss;

use super::disk::{Found, Lock};
use super::entry::{Address, Entry, Unreadable, is_past};
use super::name::{NEWEST, Name, lock_of};
use super::store::{FILE_BYTES, Owner, Spool, Taken};

/// Seconds for which a file may stay: what a start report is worth, which lasts longest. It ends also those
/// that no process reads, because none has their destination.
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
        if self.adopted.len() >= OWNERS {
            return Ok(false);
        }
        let mut owners: BTreeMap<String, Vec<(i64, Found)>> = BTreeMap::new();
        for found in self.disk.list()?.files {
            let Some(Name { owner, time }) = Name::parse(&found.name) else { continue };
            let files = owners.entry(owner.to_owned()).or_default();
            files.extend(time.map(|time| (time, found)));
        }
        for held in self.own.iter().chain(&self.adopted) {
            owners.remove(&held.name);
        }
        let looked = self.looked.take();
        let mut foreign = 0_usize;
        for (name, files) in owners {
            if files.is_empty() || !name.starts_with(&self.of_queue) {
                foreign = foreign.saturating_add(self.clear_away(&name, &files, now));
            } else if self.adopted.len() < OWNERS
                && looked.as_ref().is_none_or(|looked| *looked < name)
            {
                self.looked = Some(name.clone());
                self.take_over(name, files, now);
            }
        }
        if foreign > 0 {
            // The account of this queue is not theirs.
            tracing::info!(
                target: "otel_usage::spool",
                "{foreign} messages for other destinations waited for longer than a week and were deleted"
            );
        }
        if self.adopted.len() < OWNERS {
            self.looked = None;
        }
        self.release();
        Ok(self.looked.is_some())
    }

    /// Takes over the files of a process of this queue, if it ended.
    fn take_over(&mut self, name: String, found: Vec<(i64, Found)>, now: i64) {
        // A lock that cannot be taken now can be taken the next time.
        let Ok(Some(lock)) = self.disk.lock(&lock_of(&name)) else { return };
        let mut files = BTreeMap::new();
        for (time, found) in found {
            if is_past(time, found.modified, AGE, now) {
                self.delete(&found.name);
                self.losses.push(Loss::Expired);
            } else {
                files.insert(found.name, found.modified);
            }
        }
        let replaced: Vec<String> =
            files.keys().filter(|file| file.ends_with(NEWEST)).cloned().collect();
        for old in replaced.iter().rev().skip(1) {
            files.remove(old);
            self.delete(old);
            self.losses.push(Loss::Superseded);
        }
        let names = files.keys().cloned().collect();
        self.unread.extend(files);
        self.adopted.push(Owner { name, files: names, lock });
    }

    /// Deletes the files of a process that ended if they are too old for anybody, and its lock if it has such files or
    /// none. Returns the number of messages that were deleted. A process that lives keeps all.
    fn clear_away(&self, owner: &str, files: &[(i64, Found)], now: i64) -> usize {
        let is_old = |(time, found): &&(i64, Found)| is_past(*time, found.modified, AGE, now);
        let old: Vec<_> = files.iter().filter(is_old).collect();
        if old.is_empty() && !files.is_empty() {
            return 0;
        }
        let lock = lock_of(owner);
        let held = match self.disk.lock_existing(&lock) {
            // A power cut may have left the messages without it.
            Err(error) if error.kind() == ErrorKind::NotFound && !old.is_empty() => {
                self.disk.lock(&lock)
            }
            held => held,
        };
        let Ok(Some(_held)) = held else { return 0 };
        // A file that cannot be deleted now is deleted at a later look.
        let deleted = old.iter().filter(|(_, found)| self.disk.remove(&found.name).is_ok());
        let deleted = deleted.count();
        // While it is held, so that it is not the lock of another. The process that takes over what is left makes one.
        let _ = self.disk.remove(&lock);
        deleted
    }

    /// Returns the next entry that was taken over and may be sent to one of the addresses that are `mine`.
    ///
    /// Damaged, late and copied ones, and those from before an opt-out, are deleted and counted. Those of other
    /// destinations stay until they are too old, and so do those whose age is unknown, because a clock is wrong.
    pub(crate) fn next(&mut self, now: i64, mine: impl Fn(&Address) -> bool) -> Option<Taken> {
        while let Some((name, modified)) = self.unread.pop_front() {
            let loss = match self.disk.read(&name, FILE_BYTES) {
                Ok(bytes) if bytes.len() as u64 > FILE_BYTES => Some(Loss::Io),
                Ok(bytes) => match Entry::decode(&bytes) {
                    Ok(entry) if entry.contract != self.contract || !mine(&entry.address) => None,
                    Ok(entry) => match self.cutoff.allows(entry.time, now) {
                        // A message whose time cannot be compared stays until it is too old for every process.
                        None => None,
                        Some(false) => Some(Loss::Consent),
                        Some(true) if entry.is_late(now) => {
                            is_past(entry.time, modified, entry.lifetime.into(), now)
                                .then_some(Loss::Expired)
                        }
                        Some(true) if !self.is_new(&entry) => Some(Loss::Io),
                        Some(true) => return Some(Taken { name, entry }),
                    },
                    Err(Unreadable::Damaged) => Some(Loss::Io),
                    Err(Unreadable::Foreign) => None,
                },
                // It is gone, or it stays and is read again after a later look. This process does not keep it,
                // because a file that is never readable would keep its place among those taken over.
                Err(_) => None,
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
        let listing = self.disk.list()?;
        // The listed files are deleted now, and the rest by a later purge.
        let mut result = listing.check();
        let mut names: Vec<String> = listing.files.into_iter().map(|found| found.name).collect();
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
