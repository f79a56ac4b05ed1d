//! Checks which files of other processes are deleted, kept and taken over.

use super::*;

const WEEK: i64 = 7 * 24 * 3600;

/// A queue of another destination.
fn elsewhere(disk: &Simulated) -> Spool {
    Spool::new(Box::new(disk.clone()), "engine/1", Address([8; 32]))
}

fn messages(disk: &Simulated) -> Vec<String> {
    disk.names().into_iter().filter(|name| !name.ends_with(".lock")).collect()
}

fn locks(disk: &Simulated) -> Vec<String> {
    disk.names().into_iter().filter(|name| name.ends_with(".lock")).collect()
}

#[test]
fn a_process_whose_clock_is_behind_deletes_no_message() {
    let disk = Simulated::default();
    let old = Entry { time: NOW + 5 * WEEK, ..entry(1) };
    let (mut living, mut other) = (spool(&disk), elsewhere(&disk));
    living.save(std::slice::from_ref(&old)).unwrap();
    other.save(std::slice::from_ref(&old)).unwrap();
    for mut ended in [spool(&disk), elsewhere(&disk)] {
        ended.save(std::slice::from_ref(&old)).unwrap();
    }
    let before = messages(&disk);
    assert_eq!(before.len(), 4);
    for name in &before {
        disk.set_modified(name, old.time);
    }
    let mut wrong = spool(&disk);
    assert_eq!((drain(&mut wrong), wrong.take_losses()), (vec![], vec![]));
    assert_eq!(messages(&disk), before);
}

#[test]
fn old_messages_stay_while_their_process_lives_and_while_the_disk_says_that_they_are_new() {
    let disk = Simulated::default();
    let (mut living, mut other) = (spool(&disk), elsewhere(&disk));
    let mut kept = living.save(&[entry(1)]).unwrap();
    kept.extend(other.save(&[entry(1)]).unwrap());
    // The clocks of two processes that ended were wrong when they saved.
    let later = NOW + WEEK + 1;
    for mut ended in [spool(&disk), elsewhere(&disk)] {
        let names = ended.save(&[entry(1)]).unwrap();
        disk.set_modified(&names[0], later);
        kept.extend(names);
    }
    for mut ended in [spool(&disk), elsewhere(&disk)] {
        ended.save(&[entry(2)]).unwrap();
    }
    kept.sort_unstable();
    let mut next = spool(&disk);
    next.adopt(later).unwrap();
    assert!(next.next(later, |_| true).is_none(), "it is late");
    assert_eq!(messages(&disk), kept);
    assert_eq!(next.take_losses(), [Loss::Expired], "that of the other queue is none of its own");
}

#[test]
fn locks_of_processes_that_ended_without_messages_are_removed_by_a_process_of_any_queue() {
    let disk = Simulated::default();
    for mut ended in [spool(&disk), elsewhere(&disk)] {
        let names = ended.save(&[entry(1)]).unwrap();
        disk.lose(&names[0]);
    }
    let mut living = elsewhere(&disk);
    let theirs = living.save(&[entry(1)]).unwrap();
    disk.lose(&theirs[0]);
    assert_eq!(locks(&disk).len(), 3);
    spool(&disk).adopt(NOW).unwrap();
    let owner = theirs[0].split('.').next().unwrap();
    assert_eq!(disk.names(), [format!("{owner}.lock")]);
}

#[test]
fn making_room_leaves_no_lock_of_another_behind() {
    let (disk, _) = three();
    disk.lose(&locks(&disk)[0]);
    let mut spool = spool(&disk);
    for number in 0..256 {
        spool.save(&[Entry { time: NOW + 1, ..entry(number) }]).unwrap();
    }
    assert_eq!(spool.take_losses(), [Loss::QueueFull; 3]);
    assert_eq!((messages(&disk).len(), locks(&disk).len()), (256, 1));
}

#[test]
fn a_message_that_cannot_be_read_does_not_stop_taking_over_and_is_read_later() {
    let disk = Simulated::default();
    let names = spool(&disk).save(&[entry(1)]).unwrap();
    disk.set_readable(&names[0], false);
    let mut next = spool(&disk);
    assert_eq!(drain(&mut next), Vec::<u32>::new());
    spool(&disk).save(&[entry(2)]).unwrap();
    assert_eq!(drain(&mut next), [2]);
    disk.set_readable(&names[0], true);
    assert_eq!((drain(&mut next), next.take_losses()), (vec![1], vec![]));
    assert_eq!(disk.names(), Vec::<String>::new());
}

#[test]
fn a_message_that_is_not_delivered_yet_does_not_stop_taking_over_from_others() {
    let disk = Simulated::default();
    spool(&disk).save(&[entry(1)]).unwrap();
    let mut next = spool(&disk);
    next.adopt(NOW).unwrap();
    assert_eq!(number(&next.next(NOW, |_| true).unwrap().entry), 1);
    spool(&disk).save(&[entry(2)]).unwrap();
    assert_eq!(drain(&mut next), [2]);
}

#[cfg(unix)]
#[test]
fn files_of_other_programs_hide_no_message() {
    let home = tempfile::tempdir().unwrap();
    let mut spool = on(Box::new(super::super::Folder::new(home.path().to_owned())));
    let names = spool.save(&(0..16).map(entry).collect::<Vec<_>>()).unwrap();
    for number in 0..8192 {
        std::fs::write(home.path().join(number.to_string()), "").unwrap();
    }
    spool.refresh().unwrap();
    assert!(names.iter().all(|name| spool.holds(name)));
}

#[test]
fn a_listing_that_is_cut_forgets_nothing_and_is_an_error() {
    let disk = Simulated::default();
    let mut spool = spool(&disk);
    let names = spool.save(&[entry(1)]).unwrap();
    for number in 0..5000 {
        // They sort before all others.
        disk.put(&format!("{:016}-{:016}-{number:032}.lock", 0, 0), Vec::new());
    }
    assert!(spool.refresh().is_err() && spool.holds(&names[0]));
    assert!(spool.save(&[entry(2)]).is_err() && spool.holds(&names[0]));
    assert!(spool.purge().is_err());
    assert!(super::super::inspect::purge(&disk, None).is_err());
    super::super::inspect::purge(&disk, None).unwrap();
    assert_eq!(disk.names(), Vec::<String>::new());
}

#[test]
fn a_folder_that_is_full_of_locks_of_processes_that_ended_is_cleared_by_looks() {
    let disk = Simulated::default();
    for number in 0..5000 {
        disk.put(&format!("{:016}-{:016}-{number:032}.lock", 0, 0), Vec::new());
    }
    let mut spool = spool(&disk);
    for left in [904, 0] {
        spool.adopt(NOW).unwrap();
        assert_eq!(disk.names().len(), left);
    }
    spool.save(&[entry(1)]).unwrap();
}
