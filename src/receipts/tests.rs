use std::path::Path;
use std::sync::{Arc, Mutex};

use super::*;
use crate::delivery::{Delivery, DeliveryOutcome};
use crate::notifier::Notifier;
use crate::settings::{ReceiptsMode, ReceiptsSettings};

/// 2026-11-28, in milliseconds.
const NOW: i64 = 1_795_824_000_000;
const DAY: i64 = 24 * 3600 * 1000;

fn settings(path: &Path, mode: ReceiptsMode) -> ReceiptsSettings {
    ReceiptsSettings { mode, journal: Some(path.to_owned()), ..ReceiptsSettings::default() }
}

fn journal(path: &Path, mode: ReceiptsMode) -> Journal {
    Journal::new(&settings(path, mode), &Notifier::default()).unwrap()
}

/// Returns the delivery whose identity is `number`.
fn delivery(number: u64, unix_millis: i64) -> Delivery {
    Delivery {
        unix_millis,
        contract: "engine/1".to_owned(),
        exporter: "server".to_owned(),
        message: "start".to_owned(),
        destination: "https://usage.example/a".to_owned(),
        identity: format!("{number:032x}"),
        instance_id: (number != 3).then(|| format!("instance {number}")),
        bytes: 123,
        outcome: DeliveryOutcome::Delivered,
        status: Some(200),
    }
}

fn write(journal: &mut Journal, delivery: &Delivery, body: &str) -> bool {
    let Some(written) = journal.begin(delivery, || Some(body.to_owned())) else { return false };
    journal.end(&written, delivery, delivery.unix_millis);
    true
}

fn all(path: &Path) -> Receipts {
    read(path).unwrap().unwrap()
}

#[test]
fn what_was_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipts.jsonl");
    assert_eq!(read(&path).unwrap(), None);
    let (mut on, mut bodies) =
        (journal(&path, ReceiptsMode::On), journal(&path, ReceiptsMode::Bodies));
    let refused =
        Delivery { outcome: DeliveryOutcome::Refused, status: Some(404), ..delivery(2, NOW) };
    let failed = Delivery { outcome: DeliveryOutcome::Failed, status: None, ..delivery(3, NOW) };
    assert!(write(&mut on, &delivery(1, NOW), "secret"));
    assert!(write(&mut bodies, &refused, "{\"a\": \"b\nc\"}"));
    assert!(write(&mut bodies, &failed, &"x".repeat(64 * 1024 + 1)));
    assert!(on.begin(&delivery(4, NOW), || None).is_some());
    let unknown = Delivery { outcome: DeliveryOutcome::Unknown, status: None, ..delivery(4, NOW) };
    let of = |delivery, body: Option<&str>| Receipt { delivery, body: body.map(str::to_owned) };
    let expected = [
        of(delivery(1, NOW), None),
        of(refused, Some("{\"a\": \"b\nc\"}")),
        of(failed, None),
        of(unknown, None),
    ];
    assert_eq!(all(&path), Receipts { receipts: expected.to_vec(), damaged: 0 });
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 7);
}

#[test]
fn without_a_wish_or_a_place_there_is_no_journal() {
    let path = Path::new("/nowhere/receipts.jsonl");
    let make = |settings| Journal::new(&settings, &Notifier::default());
    assert!(make(settings(path, ReceiptsMode::Off)).is_none());
    assert!(make(ReceiptsSettings::default()).is_none());
    let nowhere = ReceiptsSettings { journal: None, ..settings(path, ReceiptsMode::On) };
    assert!(make(nowhere).is_none());
}

#[test]
fn the_journal_stays_below_a_mebibyte_and_loses_the_oldest_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipts.jsonl");
    let mut journal = journal(&path, ReceiptsMode::Bodies);
    let bytes = || -> u64 {
        std::fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum()
    };
    for number in 0..400 {
        // Some bodies are as long as they may be.
        let body = "x".repeat(if number % 50 == 0 { 64 * 1024 } else { 6000 });
        assert!(write(&mut journal, &delivery(number, NOW), &body));
        assert!(bytes() <= 1024 * 1024, "{number}: {}", bytes());
    }
    assert!(bytes() > 400 * 1024, "{}", bytes());
    let found: Vec<String> =
        all(&path).receipts.into_iter().map(|receipt| receipt.delivery.identity).collect();
    let first = 400 - found.len() as u64;
    let expected: Vec<String> = (first..400).map(|number| format!("{number:032x}")).collect();
    assert!(found.len() > 50 && found.len() < 300, "{}", found.len());
    assert_eq!(found, expected);
}

#[test]
fn nothing_older_than_thirty_days_is_kept_and_fifteen_days_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipts.jsonl");
    let mut journal = journal(&path, ReceiptsMode::On);
    for day in 0..200_u64 {
        let now = NOW + day as i64 * DAY;
        assert!(write(&mut journal, &delivery(day, now), ""));
        let receipts = all(&path).receipts;
        assert!(receipts.iter().all(|receipt| now - receipt.delivery.unix_millis <= 30 * DAY));
        assert!(receipts.len() as u64 > day.min(15), "{day}: {}", receipts.len());
    }
    // A clock that is set back deletes nothing.
    let before = all(&path).receipts.len();
    assert!(write(&mut journal, &delivery(0, NOW), ""));
    assert_eq!(all(&path).receipts.len(), before + 1);
    // After a long pause, all of it is too old.
    let late = NOW + 400 * DAY;
    assert!(write(&mut journal, &delivery(0, late), ""));
    assert!(write(&mut journal, &delivery(1, late), ""));
    assert!(all(&path).receipts.iter().all(|receipt| late - receipt.delivery.unix_millis < DAY));
}

#[test]
fn a_damaged_first_line_keeps_nothing_longer() {
    let set_time = |path: &Path, millis: i64| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(millis as u64);
        std::fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    };
    for readable in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receipts.jsonl");
        let mut journal = journal(&path, ReceiptsMode::On);
        assert!(write(&mut journal, &delivery(1, NOW), ""));
        let line = std::fs::read_to_string(&path).unwrap();
        let damage = "\0".repeat(300);
        // Something touched the file later, which a line that can be read overrules.
        let (text, touched) = match readable {
            true => (format!("{damage}\n{line}"), NOW + 10 * DAY),
            false => (damage, NOW),
        };
        let put = |path: &Path| {
            std::fs::write(path, &text).unwrap();
            set_time(path, touched);
        };
        for (day, renamed) in [(14, false), (16, true)] {
            put(&path);
            assert!(write(&mut journal, &delivery(2, NOW + day * DAY), ""));
            assert_eq!(older(&path).exists(), renamed, "{readable} {day}");
        }
        for (day, kept) in [(29, true), (31, false)] {
            put(&older(&path));
            assert!(write(&mut journal, &delivery(3, NOW + day * DAY), ""));
            assert_eq!(older(&path).exists(), kept, "{readable} {day}");
        }
    }
}

#[test]
fn damaged_lines_are_counted_and_the_next_line_stands_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipts.jsonl");
    let mut journal = journal(&path, ReceiptsMode::On);
    assert!(write(&mut journal, &delivery(1, NOW), ""));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(
        b"\xff\xfe\0\n[1, 2]\n{\"unix_millis\":17, \"attempt\": \"x\"}\n{\"unix_mil",
    );
    std::fs::write(&path, bytes).unwrap();
    assert!(write(&mut journal, &delivery(2, NOW), ""));
    let Receipts { receipts, damaged } = all(&path);
    assert_eq!(damaged, 4);
    let found: Vec<Delivery> = receipts.into_iter().map(|receipt| receipt.delivery).collect();
    assert_eq!(found, [delivery(1, NOW), delivery(2, NOW)]);
}

#[test]
fn a_journal_that_cannot_be_written_is_one_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let path = file.join("receipts.jsonl");
    let said = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&said);
    let notifier =
        Notifier::new(Some(Arc::new(move |_, text| hear.lock().unwrap().push(text.to_owned()))));
    let mut journal = Journal::new(&settings(&path, ReceiptsMode::On), &notifier).unwrap();
    for number in 0..3 {
        assert!(journal.begin(&delivery(number, NOW), || None).is_none());
    }
    let said = said.lock().unwrap();
    let [warning] = said.as_slice() else { panic!("{said:?}") };
    for part in [path.to_str().unwrap(), "without a receipt", "OTEL_USAGE_RECEIPTS=off"] {
        assert!(warning.contains(part), "{warning}");
    }
}

#[test]
fn an_end_whose_begin_was_deleted_is_no_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipts.jsonl");
    let mut journal = journal(&path, ReceiptsMode::On);
    let written = journal.begin(&delivery(1, NOW), || None).unwrap();
    std::fs::remove_file(&path).unwrap();
    journal.end(&written, &delivery(1, NOW), NOW);
    assert_eq!(all(&path), Receipts::default());
}

#[test]
fn what_is_forgotten_leaves_its_times_only_and_nothing_that_is_written_meanwhile_is_lost() {
    const EACH: u64 = 400;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipts.jsonl");
    let of = |contract: &str, number| Delivery {
        contract: contract.to_owned(),
        ..delivery(number, NOW)
    };
    // A part that was renamed.
    write(&mut journal(&path, ReceiptsMode::On), &of("meant/1", EACH), "");
    std::fs::rename(&path, older(&path)).unwrap();
    let length = std::fs::metadata(older(&path)).unwrap().len();
    std::thread::scope(|scope| {
        for contract in ["meant/1", "other/1"] {
            let (of, path) = (&of, &path);
            scope.spawn(move || {
                let mut journal = journal(path, ReceiptsMode::Bodies);
                for number in 0..EACH {
                    assert!(write(&mut journal, &of(contract, number), "{}"));
                }
            });
        }
        for _ in 0..50 {
            forget(&path, &["meant/1"]).unwrap();
        }
    });
    forget(&path, &["meant/1"]).unwrap();
    let Receipts { receipts, damaged, .. } = all(&path);
    assert_eq!((receipts.len() as u64, damaged), (EACH, 0));
    assert!(receipts.iter().all(|one| {
        one.delivery.contract == "other/1" && one.delivery.outcome == DeliveryOutcome::Delivered
    }));
    let text = std::fs::read_to_string(older(&path)).unwrap();
    assert_eq!(text.len() as u64, length);
    assert!(!text.contains("meant") && !text.contains("usage.example"), "{text}");
    // The age of the file is still known, so that it is deleted in time.
    write(&mut journal(&path, ReceiptsMode::On), &of("other/1", 0), "");
    assert!(older(&path).exists());
    write(&mut journal(&path, ReceiptsMode::On), &delivery(0, NOW + 31 * DAY), "");
    assert!(!older(&path).exists());
}

#[cfg(unix)]
mod processes {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_journal_and_its_folder_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/receipts.jsonl");
        assert!(write(&mut journal(&path, ReceiptsMode::On), &delivery(1, NOW), ""));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&folder.path().join("a")), 0o700);
        assert_eq!(mode(&folder.path().join("a/b")), 0o700);
    }

    #[test]
    fn a_journal_behind_the_link_of_another_user_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let (target, path) = (folder.path().join("target"), folder.path().join("receipts.jsonl"));
        std::fs::write(&target, "").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        // Only the administrator can make the link another user's.
        if std::os::unix::fs::lchown(&path, Some(4242), None).is_ok() {
            assert!(!write(&mut journal(&path, ReceiptsMode::On), &delivery(1, NOW), ""));
            assert_eq!(std::fs::read(&target).unwrap(), b"");
        }
    }

    #[test]
    #[expect(unsafe_code, reason = "the test forks")]
    fn processes_threads_and_forked_children_write_whole_lines() {
        const WRITERS: u64 = 8;
        const EACH: u64 = 100;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receipts.jsonl");
        let writes = |writer: u64| {
            let mut journal = journal(&path, ReceiptsMode::Bodies);
            // With the bodies all of it fits, and the file is renamed once.
            (writer * EACH..(writer + 1) * EACH)
                .all(|number| write(&mut journal, &delivery(number, NOW), &"x".repeat(500)))
        };
        let children: Vec<i32> = (0..WRITERS / 2)
            .map(|writer| {
                // SAFETY: the child writes files and leaves by `_exit`; the C library keeps its allocator usable
                // in a forked child.
                unsafe {
                    let child = libc::fork();
                    if child == 0 {
                        libc::_exit(i32::from(!writes(writer)));
                    }
                    child
                }
            })
            .collect();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (WRITERS / 2..WRITERS)
                .map(|writer| {
                    scope.spawn({
                        let writes = &writes;
                        move || writes(writer)
                    })
                })
                .collect();
            assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
        });
        for child in children {
            let mut status = -1;
            // SAFETY: `waitpid` with a pointer to a live integer.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0);
        }
        let Receipts { receipts, damaged } = all(&path);
        assert_eq!(damaged, 0);
        let mut found: Vec<Delivery> = receipts.into_iter().map(|one| one.delivery).collect();
        found.sort_by(|one, other| one.identity.cmp(&other.identity));
        let expected: Vec<Delivery> =
            (0..WRITERS * EACH).map(|number| delivery(number, NOW)).collect();
        assert_eq!(found, expected);
        assert!(older(&path).exists());
    }
}
