//! A folder in which anything may lie, for a test and for a fuzz target: intact messages, damaged ones, copies, and
//! files of others.

use std::collections::{BTreeMap, BTreeSet};

use super::simulated::Simulated;
use super::{Address, Entry, Spool};

const NOW: i64 = 1000;
const MINE: Address = Address([7; 32]);

/// Most files of a folder.
const FILES: usize = 48;

/// A stream of choices, which ends with zeros.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let (first, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        first.to_vec()
    }

    fn entry(&mut self) -> Entry {
        let choice = self.next();
        let one = |bit: u8| choice & (1 << bit) != 0;
        // Few identities, so that copies happen.
        let identity = [self.next() % 64; 16];
        let (age, lifetime, length) = (self.next(), self.next(), self.next());
        Entry {
            contract: if one(0) { "other/1" } else { "engine/1" }.to_owned(),
            message: if one(1) { "start" } else { "" }.to_owned(),
            address: if one(2) { Address([8; 32]) } else { MINE },
            identity,
            time: NOW - i64::from(age),
            lifetime: u32::from(lifetime) + 128,
            newest_only: one(3) && one(4),
            gzip: one(5),
            body: self.take(length.into()),
        }
    }

    /// Changes the bytes of a file, or not.
    fn change(&mut self, bytes: &mut Vec<u8>) {
        let kind = self.next();
        let place = usize::from(self.next()) % bytes.len().max(1);
        match kind % 16 {
            0 => bytes[place] ^= self.next(),
            1 => bytes.truncate(place),
            2 => bytes.fill(0),
            3 => bytes[place..].fill(0),
            4 => bytes.resize(4096, 0),
            5 => {
                let length = self.next();
                *bytes = self.take(length.into());
            }
            _ => {}
        }
    }
}

/// Puts files into a folder, takes them over, and checks that every intact message is delivered once, that nothing
/// else is, that damage is counted, and that the work is bounded.
pub(crate) fn look_through(input: &[u8]) {
    let _ = Entry::decode(input);
    let mut choices = Choices(input);
    let disk = Simulated::default();
    // The beginning of the names of the queue's files.
    let mut spool = Spool::new(Box::new(disk.clone()), "engine/1", MINE);
    let entry = Choices(&[]).entry();
    let own = spool.save(std::slice::from_ref(&entry)).unwrap();
    spool.remove(&own[0]);
    drop(spool);
    let queue = &own[0][..34];

    let mut files: BTreeMap<String, (Entry, bool)> = BTreeMap::new();
    let mut others = 0;
    while !choices.0.is_empty() && files.len() < FILES {
        let entry = choices.entry();
        let original = entry.encode().unwrap();
        let mut bytes = original.clone();
        choices.change(&mut bytes);
        let (kind, owner, number) = (choices.next(), choices.next() % 4, choices.next());
        if kind % 8 == 0 {
            // Any name, also those of queues and locks that are not there.
            let name = choices.take(usize::from(number % 64));
            let name = String::from_utf8_lossy(&name).replace(['/', '\0'], "");
            if !name.starts_with(queue) {
                disk.put(&name, bytes);
                others += 1;
            }
            continue;
        }
        let mark = if entry.newest_only { "h" } else { "" };
        let name = format!("{queue}{owner:032x}.{:010x}-{number:08x}{mark}", entry.time);
        let intact = bytes == original;
        disk.put(&name, bytes);
        files.insert(name, (entry, intact));
    }

    let before = disk.calls();
    let mut spool = Spool::new(Box::new(disk.clone()), "engine/1", MINE);
    let mut delivered = BTreeMap::new();
    while spool.adopt(NOW).unwrap() {}
    while let Some(taken) = spool.next(NOW, |address| *address == MINE) {
        let (entry, intact) = &files[&taken.name];
        assert!(*intact && *entry == taken.entry, "{}: another message than was saved", taken.name);
        assert_eq!(entry.contract, "engine/1", "{}: a message of another contract", taken.name);
        *delivered.entry(entry.identity).or_insert(0) += 1;
        spool.remove(&taken.name);
    }
    let losses = spool.take_losses().len();
    // Two looks at the folder, and a read, a deletion and the lock of each.
    let calls = disk.calls() - before;
    assert!(calls <= 16 + 4 * (files.len() + others), "{calls} calls");
    assert!(delivered.values().all(|count| *count == 1), "something is sent twice");
    let names: BTreeSet<String> = disk.names().into_iter().collect();
    let mut damaged = 0;
    for (name, (entry, intact)) in &files {
        let mine = entry.contract == "engine/1" && entry.address == MINE;
        if *intact && mine && !entry.newest_only && !entry.is_late(NOW) {
            assert!(delivered.contains_key(&entry.identity), "{name} is intact and lost");
        }
        if !intact {
            assert!(!names.contains(name), "{name} is damaged and stays");
            damaged += 1;
        }
    }
    assert!(losses >= damaged, "{damaged} are damaged, and {losses} were counted");
}

#[cfg(test)]
mod tests {
    use super::super::simulated::Random;

    #[test]
    fn of_any_folder_the_intact_messages_are_delivered_once_and_damage_is_counted() {
        for seed in 0..3000 {
            let mut random = Random(seed);
            let length = random.below(2000);
            let input: Vec<u8> =
                (0..length).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
            super::look_through(&input);
        }
    }
}
