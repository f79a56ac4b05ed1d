//! The queue on a simulated disk.

use std::io;

use otel_usage_schema::Loss;

use super::disk::Disk;
use super::entry::tests::sample;
use super::simulated::{Random, Simulated};
use super::{Address, Entry, Spool};
use crate::cutoff::Cutoff;

pub(super) const NOW: i64 = 1000;

pub(super) fn spool(disk: &Simulated) -> Spool {
    on(Box::new(disk.clone()))
}

fn on(disk: Box<dyn Disk>) -> Spool {
    Spool::new(disk, "engine/1", Address([7; 32]))
}

pub(super) fn entry(number: u32) -> Entry {
    let mut identity = [0; 16];
    identity[..4].copy_from_slice(&number.to_le_bytes());
    Entry { identity, body: number.to_string().into_bytes(), ..sample(0) }
}

fn number(entry: &Entry) -> u32 {
    String::from_utf8(entry.body.clone()).unwrap().parse().unwrap()
}

/// Takes over everything and delivers it. Returns the numbers, in order.
fn drain(spool: &mut Spool) -> Vec<u32> {
    let mut drained = Vec::new();
    // More rounds than owners at once would need.
    for _ in 0..100 {
        spool.adopt(NOW).unwrap();
        while let Some(taken) = spool.next(NOW, |_| true) {
            assert_eq!(taken.entry, entry(number(&taken.entry)), "another message than was saved");
            drained.push(number(&taken.entry));
            spool.remove(&taken.name);
        }
    }
    drained
}

/// Saves three entries and returns the disk, on which no process lives, with the names of their files.
fn three() -> (Simulated, Vec<String>) {
    let disk = Simulated::default();
    let names = spool(&disk).save(&[entry(0), entry(1), entry(2)]).unwrap();
    (disk, names)
}

fn damaged(change: impl Fn(&Simulated, &[String]), delivered: &[u32], losses: &[Loss]) {
    let (disk, names) = three();
    change(&disk, &names);
    let mut spool = spool(&disk);
    assert_eq!(drain(&mut spool), delivered);
    assert_eq!(spool.take_losses(), losses);
    assert_eq!(disk.names(), Vec::<String>::new());
}

#[test]
fn damage_costs_the_damaged_entry_only_and_is_counted() {
    let (disk, names) = three();
    let length = disk.content(&names[1]).len();
    let change = |bytes: &dyn Fn(&mut Vec<u8>)| {
        damaged(
            |disk, names| {
                let mut content = disk.content(&names[1]);
                bytes(&mut content);
                disk.put(&names[1], content);
            },
            &[0, 2],
            &[Loss::Io],
        );
    };
    for place in 0..length {
        change(&|bytes| bytes[place] ^= 0x55);
        change(&|bytes| bytes.truncate(place));
    }
    change(&|bytes| *bytes = vec![0; 4096]);
    change(&|bytes| *bytes = vec![b'x'; 300 * 1024]);
    change(&|bytes| bytes.extend_from_slice(&[0; 4096]));
}

#[test]
fn swapped_files_are_delivered_and_copies_are_not() {
    let swap = |disk: &Simulated, names: &[String]| {
        let (one, other) = (disk.content(&names[0]), disk.content(&names[2]));
        disk.put(&names[0], other);
        disk.put(&names[2], one);
    };
    damaged(swap, &[2, 1, 0], &[]);
    let copy = |disk: &Simulated, names: &[String]| {
        disk.put(&names[2], disk.content(&names[0]));
        disk.put(&format!("{}x", names[0]), disk.content(&names[0]));
    };
    damaged(copy, &[0, 1], &[Loss::Io, Loss::Io]);
}

#[test]
fn files_of_other_programs_are_left_alone() {
    let (disk, names) = three();
    for name in ["notes.txt", "a-b-c.0-0", "lock", "", &names[0][..40]] {
        disk.put(name, b"mine".to_vec());
    }
    let mut spool = spool(&disk);
    assert_eq!(drain(&mut spool).len(), 3);
    spool.purge().unwrap();
    assert_eq!(disk.names().len(), 5);
}

#[test]
fn only_a_process_with_the_same_destination_and_contract_sends_an_entry() {
    let (disk, names) = three();
    let mut other = Spool::new(Box::new(disk.clone()), "engine/1", Address([8; 32]));
    assert_eq!(drain(&mut other), Vec::<u32>::new());
    let mut other = Spool::new(Box::new(disk.clone()), "engine/2", Address([7; 32]));
    assert_eq!(drain(&mut other), Vec::<u32>::new());
    // Of the same base with another path below it.
    let mut moved = spool(&disk);
    moved.adopt(NOW).unwrap();
    assert!(moved.next(NOW, |address| *address != entry(0).address).is_none());
    drop(moved);
    assert!(names.iter().all(|name| disk.names().contains(name)), "they were not there to delete");
    // A week later anybody deletes them.
    other.adopt(NOW + 7 * 24 * 3600 + 1).unwrap();
    assert!(!names.iter().any(|name| disk.names().contains(name)));
    assert_eq!(other.take_losses(), [], "they were none of its own");
}

#[test]
fn what_is_late_is_not_sent_and_is_counted() {
    let (disk, _) = three();
    let mut spool = spool(&disk);
    spool.adopt(NOW + 61).unwrap();
    assert!(spool.next(NOW + 61, |_| true).is_none());
    assert_eq!(spool.take_losses(), [Loss::Expired; 3]);
    assert_eq!(disk.names(), Vec::<String>::new());
}

#[test]
fn what_is_older_than_the_last_off_is_deleted_and_counted_and_stays_if_that_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let cutoff = || Cutoff::below(Some(folder.path().to_owned()));
    let disk = Simulated::default();
    let entries = [entry(0), Entry { time: NOW + 1, ..entry(1) }];
    spool(&disk).save(&entries).unwrap();
    for damage in ["soon", ""] {
        std::fs::write(cutoff().path().unwrap(), damage).unwrap();
        let mut spool = spool(&disk).with_cutoff(cutoff());
        assert_eq!((drain(&mut spool), spool.take_losses()), (vec![], vec![]), "{damage:?}");
        assert_eq!(disk.names().len(), 2);
    }
    std::fs::write(cutoff().path().unwrap(), format!("{NOW}\n")).unwrap();
    let mut spool = spool(&disk).with_cutoff(cutoff());
    spool.adopt(NOW).unwrap();
    let taken = spool.next(NOW, |_| true).unwrap();
    assert_eq!(number(&taken.entry), 1);
    spool.remove(&taken.name);
    assert!(spool.next(NOW, |_| true).is_none());
    assert_eq!(spool.take_losses(), [Loss::Consent]);
    assert_eq!(disk.names(), Vec::<String>::new());
}

#[test]
fn a_last_off_in_the_future_keeps_all_from_being_sent_and_deletes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cutoff = || Cutoff::below(Some(folder.path().to_owned()));
    let (disk, names) = three();
    // A minute ahead is another clock, and decades are damage.
    for (ahead, left, losses) in [(4_000_000_000, 3, 0), (301, 3, 0), (60, 0, 3)] {
        std::fs::write(cutoff().path().unwrap(), (NOW + ahead).to_string()).unwrap();
        let mut spool = spool(&disk).with_cutoff(cutoff());
        assert_eq!(drain(&mut spool), Vec::<u32>::new(), "{ahead}");
        let there = names.iter().filter(|name| disk.names().contains(name)).count();
        assert_eq!((there, spool.take_losses().len()), (left, losses), "{ahead}");
    }
}

#[test]
fn of_the_heartbeats_of_a_process_only_the_newest_is_sent() {
    let disk = Simulated::default();
    let mut one = spool(&disk);
    let beats: Vec<Entry> =
        (0..3).map(|number| Entry { newest_only: true, ..entry(number) }).collect();
    one.save(&[entry(9)]).unwrap();
    one.save(&beats).unwrap();
    drop(one);
    let mut next = spool(&disk);
    next.adopt(NOW).unwrap();
    let taken = || next.next(NOW, |_| true).map(|taken| number(&taken.entry));
    assert_eq!(std::iter::from_fn(taken).collect::<Vec<_>>(), [9, 2]);
    assert_eq!(next.take_losses(), [Loss::Superseded; 2]);
}

#[test]
fn a_process_that_lives_keeps_its_entries_and_one_that_ended_does_not() {
    let disk = Simulated::default();
    let (mut one, mut other) = (spool(&disk), spool(&disk));
    let names = one.save(&[entry(1)]).unwrap();
    assert_eq!(drain(&mut other), Vec::<u32>::new());
    assert!(one.holds(&names[0]));
    drop(one);
    assert_eq!(drain(&mut other), [1]);
}

#[test]
fn a_file_that_could_not_be_deleted_is_deleted_later() {
    let disk = Simulated::default();
    let mut one = spool(&disk);
    let names = one.save(&[entry(1)]).unwrap();
    disk.fail(disk.calls()..disk.calls() + 1, libc::EIO, false);
    one.remove(&names[0]);
    assert!(disk.names().contains(&names[0]));
    // No other process takes it over meanwhile.
    assert_eq!(drain(&mut spool(&disk)), Vec::<u32>::new());
    one.adopt(NOW).unwrap();
    assert_eq!(disk.names(), Vec::<String>::new());
}

#[test]
fn eight_processes_that_ended_are_taken_over_at_a_time() {
    let disk = Simulated::default();
    for number in 0..20 {
        spool(&disk).save(&[entry(number)]).unwrap();
    }
    let mut spool = spool(&disk);
    let mut sent = 0;
    for (more, owners) in [(true, 8), (true, 8), (false, 4)] {
        assert_eq!((spool.adopt(NOW).unwrap(), spool.adopted.len()), (more, owners));
        while let Some(taken) = spool.next(NOW, |_| true) {
            spool.remove(&taken.name);
            sent += 1;
        }
    }
    assert_eq!(sent, 20);
}

#[test]
fn nothing_is_touched_before_there_is_something_to_save() {
    let disk = Simulated::default();
    let mut spool = spool(&disk);
    assert_eq!(disk.calls(), 0);
    spool.adopt(NOW).unwrap();
    assert_eq!(disk.names(), Vec::<String>::new());
    // The last file takes the lock with it.
    let names = spool.save(&[entry(1)]).unwrap();
    assert_eq!(disk.names().len(), 2);
    spool.remove(&names[0]);
    assert_eq!(disk.names(), Vec::<String>::new());
}

#[test]
fn one_sync_of_the_folder_serves_all_entries_of_a_save() {
    let calls = |count| {
        let disk = Simulated::default();
        let entries: Vec<Entry> = (0..count).map(entry).collect();
        spool(&disk).save(&entries).unwrap();
        disk.calls()
    };
    // Create, write and sync for each entry; two folders, two syncs above them, list, lock, sync and list for all.
    assert_eq!([calls(1), calls(2), calls(16)], [8 + 3, 8 + 6, 8 + 48]);
}

#[test]
fn the_oldest_entries_make_room_and_are_counted() {
    let disk = Simulated::default();
    let mut one = spool(&disk);
    let older = one.save(&[Entry { time: NOW - 5, ..entry(0) }, entry(1)]).unwrap();
    drop(one);
    let mut spool = spool(&disk);
    let own = spool.save(&[Entry { time: NOW - 1, ..entry(2) }]).unwrap();
    for number in 3..256 {
        spool.save(&[Entry { time: NOW + i64::from(number), ..entry(number) }]).unwrap();
    }
    let entries = || disk.names().into_iter().filter(|name| !name.ends_with(".lock"));
    assert_eq!(entries().count(), 256);
    spool.save(&[entry(300)]).unwrap();
    assert_eq!((entries().count(), spool.take_losses()), (256, vec![Loss::QueueFull]));
    assert!(!disk.names().contains(&older[0]) && spool.holds(&own[0]));
    // The next oldest is this process's own, which knows it.
    spool.save(&[entry(301)]).unwrap();
    assert!(!spool.holds(&own[0]));
    assert_eq!(spool.take_losses(), []);
    // Bytes are bounded, too.
    for number in 0..40 {
        let large = Entry { body: vec![b'x'; 256 * 1024], time: NOW + 400, ..entry(400 + number) };
        spool.save(&[large]).unwrap();
        let bytes: usize = entries().map(|name| disk.content(&name).len()).sum();
        assert!(bytes <= 4 * 1024 * 1024, "{bytes}");
    }
    let large = Entry { body: vec![b'x'; 258 * 1024], ..entry(1) };
    assert_eq!(spool.save(&[large]).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn what_another_process_deleted_is_not_called_safe() {
    let disk = Simulated::default();
    let (mut one, mut other) = (spool(&disk), spool(&disk));
    let old = one.save(&[Entry { time: NOW - 5, ..entry(0) }]).unwrap();
    for number in 1..257 {
        other.save(&[Entry { time: NOW + i64::from(number), ..entry(number) }]).unwrap();
    }
    assert!(!disk.names().contains(&old[0]));
    // The other does not count it, because the first has it in memory.
    assert_eq!(other.take_losses(), []);
    one.refresh().unwrap();
    assert!(!one.holds(&old[0]));
}

#[test]
fn a_folder_that_was_removed_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    let place = home.path().join("a/b");
    let mut spool = on(Box::new(super::Folder::new(place.clone())));
    spool.save(&[entry(1)]).unwrap();
    std::fs::remove_dir_all(home.path().join("a")).unwrap();
    let names = spool.save(&[entry(1)]).unwrap();
    let owner = names[0].split('.').next().unwrap();
    assert!(place.join(&names[0]).exists() && place.join(format!("{owner}.lock")).exists());
}

#[test]
fn a_purge_leaves_nothing_of_the_contract_but_what_living_processes_have() {
    let (disk, _) = three();
    let mut living = spool(&disk);
    let theirs = living.save(&[entry(5)]).unwrap();
    let mut foreign = Spool::new(Box::new(disk.clone()), "other/1", Address([7; 32]));
    let others = foreign.save(&[entry(6)]).unwrap();
    drop(foreign);
    let mut elsewhere = Spool::new(Box::new(disk.clone()), "engine/1", Address([9; 32]));
    elsewhere.save(&[entry(7)]).unwrap();
    drop(elsewhere);
    let mut spool = spool(&disk);
    spool.save(&[entry(4)]).unwrap();
    spool.purge().unwrap();
    // A power cut brings nothing back.
    for seed in 0..20 {
        let left = disk.after_power_cut(&mut Random(seed)).names();
        let left: Vec<_> = left.into_iter().filter(|name| !name.ends_with(".lock")).collect();
        let mut wanted = vec![theirs[0].clone(), others[0].clone()];
        wanted.sort_unstable();
        assert_eq!(left, wanted);
    }
}

mod left_over;
#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "the tests are processes")]
mod processes;
