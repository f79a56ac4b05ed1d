//! Shows and deletes the messages that wait on disk, for the `otel-usage` command.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::entry::{Address, Entry, Unreadable, is_late};
use super::folder::Folder;
use super::name::{Name, lock_of, of_contract};
use super::store::FILE_BYTES;

/// The folder of messages that wait on disk.
///
/// A process in which engines report may look into it, too: their locks are known from memory, and their files are not
/// opened. Another copy of this library in the same process does not know them. It must not list the folder, because
/// the system frees a lock when its process closes any descriptor of the file.
#[derive(Debug)]
pub struct SpoolFolder {
    folder: Folder,
    path: PathBuf,
}

/// A file with a message that waits.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SpoolFile {
    /// The name below the folder.
    pub name: String,
    /// Size of the file. Unit: bytes.
    pub bytes: u64,
    /// The message, or the reason why it cannot be read, in words.
    pub message: Result<SpoolMessage, &'static str>,
    /// The process that owns the file, if it lives. The id is 0 where the system does not tell it, for example
    /// for a process of another container.
    pub owner: Option<u32>,
}

/// A message that waits.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SpoolMessage {
    /// The contract's identifier.
    pub contract: String,
    /// The name of the message in the contract.
    pub message: String,
    /// The identity of the record, which a second delivery carries again.
    pub identity: [u8; 16],
    /// The time of the record. Unit: seconds since the Unix epoch.
    pub time: i64,
    /// The time for which it is worth sending. Unit: seconds.
    pub lifetime: u32,
    /// Whether the body is compressed.
    pub gzip: bool,
    /// The body of the request.
    pub body: Vec<u8>,
    pub(crate) address: Address,
}

impl SpoolMessage {
    /// Returns the digest of the full destination, in hexadecimal form.
    #[must_use]
    pub fn destination(&self) -> String {
        super::entry::hexadecimal(&self.address.0)
    }

    /// Returns whether it is too late to send it. `now` is in seconds since the Unix epoch.
    #[must_use]
    pub fn is_late(&self, now: i64) -> bool {
        is_late(self.time, self.lifetime, now)
    }
}

impl From<Entry> for SpoolMessage {
    fn from(entry: Entry) -> Self {
        let Entry { contract, message, address, identity, time, lifetime, gzip, body, .. } = entry;
        Self { contract, message, address, identity, time, lifetime, gzip, body }
    }
}

impl SpoolFolder {
    /// Returns the folder at `path`, which need not be there.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { folder: Folder::new(path.to_owned()), path: path.to_owned() }
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the files that hold messages, oldest first. Files of other programs are left out.
    ///
    /// # Errors
    ///
    /// The folder cannot be read, or not as a whole, because it holds thousands of files.
    pub fn list(&self) -> io::Result<Vec<SpoolFile>> {
        let mut found: Vec<(i64, SpoolFile)> = Vec::new();
        let mut owners: BTreeMap<String, Option<u32>> = BTreeMap::new();
        let listing = self.folder.list()?;
        listing.check()?;
        for file in listing.files {
            let Some(Name { owner, time: Some(time) }) = Name::parse(&file.name) else { continue };
            let lives = |name: &str| self.folder.holder(&lock_of(name));
            let owner = *owners.entry(owner.to_owned()).or_insert_with_key(|name| lives(name));
            let message = match self.folder.read(&file.name, FILE_BYTES) {
                // Its owner delivered it just now.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(_) => Err("it cannot be read"),
                Ok(bytes) => match Entry::decode(&bytes) {
                    Ok(entry) => Ok(SpoolMessage::from(entry)),
                    Err(Unreadable::Damaged) => Err("it is damaged"),
                    Err(Unreadable::Foreign) => Err("another version of otel-usage wrote it"),
                },
            };
            found.push((time, SpoolFile { name: file.name, bytes: file.bytes, message, owner }));
        }
        found.sort_by(|(one, a), (other, b)| (one, &a.name).cmp(&(other, &b.name)));
        Ok(found.into_iter().map(|(_, file)| file).collect())
    }

    /// Deletes the messages of these contracts, or all, also those of processes that live.
    ///
    /// Returns the names of the files that are gone. A process that lives still has its messages in memory.
    ///
    /// # Errors
    ///
    /// Something may be left.
    pub fn purge(&self, contracts: Option<&[&str]>) -> io::Result<Vec<String>> {
        purge(&self.folder, contracts)
    }
}

pub(super) fn purge(disk: &dyn Disk, contracts: Option<&[&str]>) -> io::Result<Vec<String>> {
    let wanted: Option<Vec<String>> =
        contracts.map(|ids| ids.iter().map(|id| of_contract(id)).collect());
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let listing = disk.list()?;
    let whole = listing.check();
    for found in listing.files {
        let Some(Name { owner, time }) = Name::parse(&found.name) else { continue };
        let mut wanted = wanted.iter().flatten();
        if contracts.is_some() && !wanted.any(|start| owner.starts_with(start)) {
            continue;
        }
        let files = owners.entry(owner.to_owned()).or_default();
        files.extend(time.map(|_| found.name));
    }
    if owners.is_empty() {
        return whole.map(|()| Vec::new());
    }
    let (mut gone, mut result) = (Vec::new(), whole);
    for (owner, files) in owners {
        // Where there are no locks, nothing tells whether the owner lives.
        let lock = disk.lock(&lock_of(&owner)).unwrap_or_default();
        let mut left = false;
        for name in files {
            match disk.remove(&name) {
                Ok(()) => gone.push(name),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    left = true;
                    result = Err(error);
                }
            }
        }
        if lock.is_some() && !left {
            let _ = disk.remove(&lock_of(&owner));
        }
    }
    // A deleted file must not come back with a power cut.
    let synced = disk.sync_folder();
    result.and(synced).map(|()| gone)
}

#[cfg(test)]
mod tests {
    use super::super::entry::tests::sample;
    use super::super::simulated::{Random, Simulated};
    use super::super::{Spool, disk::Disk};
    use super::*;

    fn spool(disk: Box<dyn Disk>, contract: &str) -> Spool {
        Spool::new(disk, contract, Address([7; 32]))
    }

    fn entry(contract: &str, time: i64) -> Entry {
        Entry { contract: contract.to_owned(), time, ..sample(0) }
    }

    #[test]
    fn a_purge_by_the_operator_deletes_what_living_processes_own_and_nothing_comes_back() {
        for only in [None, Some(["one/1"].as_slice())] {
            let disk = Simulated::default();
            let mut living = spool(Box::new(disk.clone()), "one/1");
            let names = living.save(&[entry("one/1", 1), entry("one/1", 2)]).unwrap();
            for contract in ["one/1", "two/1"] {
                let mut ended = spool(Box::new(disk.clone()), contract);
                ended.save(&[entry(contract, 3)]).unwrap();
            }
            disk.put("notes.txt", b"mine".to_vec());
            let gone = purge(&disk, only).unwrap();
            assert_eq!(gone.len(), if only.is_some() { 3 } else { 4 });
            for seed in 0..20 {
                let left = disk.after_power_cut(&mut Random(seed)).names();
                let messages = left
                    .iter()
                    .filter(|name| Name::parse(name).is_some_and(|name| name.time.is_some()));
                assert_eq!(messages.count(), usize::from(only.is_some()), "{left:?}");
            }
            assert!(disk.names().contains(&"notes.txt".to_owned()));
            // The owner takes it calmly: it delivers from memory, and goes on.
            living.remove(&names[0]);
            let names = living.save(&[entry("one/1", 4)]).unwrap();
            assert!(disk.names().contains(&names[0]));
            living.remove(&names[0]);
            assert_eq!(living.take_losses(), []);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_listing_shows_content_age_and_that_nobody_lives() {
        let home = tempfile::tempdir().unwrap();
        let folder = SpoolFolder::new(&home.path().join("spool"));
        assert!(folder.list().unwrap().is_empty() && folder.purge(None).unwrap().is_empty());
        let on = || Box::new(Folder::new(folder.path().to_owned()));
        let mut ended = spool(on(), "one/1");
        let names = ended.save(&[entry("one/1", 20), entry("one/1", 10)]).unwrap();
        drop(ended);
        std::fs::write(folder.path().join(&names[0]), "torn").unwrap();
        std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let files = folder.list().unwrap();
        let [good, torn] = &files[..] else { panic!("{files:?}") };
        assert_eq!((&good.name, good.owner), (&names[1], None));
        let message = good.message.as_ref().unwrap();
        assert_eq!((message.time, message.contract.as_str()), (10, "one/1"));
        assert_eq!(message.destination().len(), 64);
        assert!(message.is_late(71) && !message.is_late(70));
        assert_eq!((torn.bytes, torn.message.as_ref().unwrap_err()), (4, &"it is damaged"));
        assert_eq!(folder.purge(None).unwrap().len(), 2);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
