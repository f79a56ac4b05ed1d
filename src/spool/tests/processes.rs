//! Processes, threads and forked children that share a real folder.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::super::Folder;
use super::*;

fn child(test: &str, folder: &Path, first: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("spool::tests::processes::{test}"), "--ignored"])
        .args(["--nocapture", "--test-threads=1"])
        .env("SPOOL_FOLDER", folder)
        .env("SPOOL_FIRST", first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn given() -> (Spool, u32) {
    let folder = std::env::var("SPOOL_FOLDER").unwrap();
    let first = std::env::var("SPOOL_FIRST").unwrap().parse().unwrap();
    (on(Box::new(Folder::new(folder.into()))), first)
}

#[test]
#[ignore = "a process of another test"]
fn saves_and_is_killed() {
    let (mut spool, first) = given();
    for number in first..first + 20 {
        spool.save(&[entry(number)]).unwrap();
    }
    std::process::abort();
}

#[test]
#[ignore = "a process of another test"]
fn takes_over_what_it_can() {
    let (mut spool, _) = given();
    let mut sent = String::new();
    for number in drain(&mut spool) {
        sent.push_str(&format!("sent {number}\n"));
    }
    println!("\n{sent}");
}

#[test]
fn processes_that_share_a_folder_lose_nothing_and_send_nothing_twice() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("spool");
    let writers: Vec<Child> =
        (0..8).map(|one| child("saves_and_is_killed", &folder, one * 20)).collect();
    // Some take over while others still write.
    let early = child("takes_over_what_it_can", &folder, 0);
    let mut sent: Vec<u32> = Vec::new();
    let mut collect = |child: Child| {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        sent.extend(text.lines().filter_map(|line| {
            line.strip_prefix("sent ").map(|number| number.parse::<u32>().unwrap())
        }));
    };
    for writer in writers {
        collect(writer);
    }
    collect(early);
    let readers: Vec<Child> = (0..4).map(|_| child("takes_over_what_it_can", &folder, 0)).collect();
    readers.into_iter().for_each(&mut collect);
    sent.sort_unstable();
    assert_eq!(sent, (0..160).collect::<Vec<u32>>());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn the_folder_and_its_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("a/b");
    let mut spool = on(Box::new(Folder::new(folder.clone())));
    let names = spool.save(&[entry(1)]).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join(&names[0]))), (0o700, 0o600));
}

#[test]
fn threads_of_one_process_do_not_take_over_from_each_other() {
    let home = tempfile::tempdir().unwrap();
    let folder = || Box::new(Folder::new(home.path().to_owned()));
    let (mut one, mut other) = (on(folder()), on(folder()));
    one.save(&[entry(1)]).unwrap();
    assert_eq!(drain(&mut other), Vec::<u32>::new());
    drop(one);
    let mut third = on(folder());
    other.adopt(NOW).unwrap();
    assert_eq!(drain(&mut third), Vec::<u32>::new());
    assert_eq!(drain(&mut other), [1]);
}

#[test]
fn a_listing_inside_an_engine_shows_its_messages_as_owned_and_keeps_its_lock() {
    let home = tempfile::tempdir().unwrap();
    let mut spool = on(Box::new(Folder::new(home.path().to_owned())));
    let names = spool.save(&[entry(1)]).unwrap();
    let files = super::super::SpoolFolder::new(home.path()).list().unwrap();
    assert_eq!(files[0].owner, Some(std::process::id()));
    let other = child("takes_over_what_it_can", home.path(), 0).wait_with_output().unwrap();
    assert!(other.status.success());
    assert!(!String::from_utf8(other.stdout).unwrap().contains("sent "));
    assert!(home.path().join(&names[0]).exists());
}

#[test]
#[expect(unsafe_code, reason = "the test forks")]
fn a_forked_child_does_not_keep_the_entries_of_its_parent() {
    let home = tempfile::tempdir().unwrap();
    let folder = || Box::new(Folder::new(home.path().to_owned()));
    // The parent of the two is a child itself, so that it can end.
    let mut pipe = [0; 2];
    // SAFETY: the children make system calls and use the spool, and leave by `_exit`; the C library keeps
    // its allocator usable in a forked child.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        let parent = libc::fork();
        if parent == 0 {
            let mut spool = on(folder());
            let saved = spool.save(&[entry(1)]).is_ok();
            if libc::fork() == 0 {
                // It lives on with all descriptors, until the test closes the pipe.
                libc::close(pipe[1]);
                let mut byte = 0_u8;
                libc::read(pipe[0], (&raw mut byte).cast(), 1);
                libc::_exit(0);
            }
            libc::_exit(i32::from(!saved));
        }
        let mut status = -1;
        assert_eq!(libc::waitpid(parent, &raw mut status, 0), parent);
        assert_eq!(status, 0);
    }
    let mut spool = on(folder());
    assert_eq!(drain(&mut spool), [1]);
    // SAFETY: the descriptors are the test's.
    unsafe {
        libc::close(pipe[1]);
        libc::close(pipe[0]);
    }
}

#[test]
#[expect(unsafe_code, reason = "the test forks")]
fn a_forked_child_takes_over_what_its_parent_left() {
    let home = tempfile::tempdir().unwrap();
    let folder = || Box::new(Folder::new(home.path().to_owned()));
    let (mut of_parent, mut of_child) = ([0; 2], [0; 2]);
    // SAFETY: as above.
    unsafe {
        assert_eq!(libc::pipe(of_parent.as_mut_ptr()), 0);
        assert_eq!(libc::pipe(of_child.as_mut_ptr()), 0);
        let parent = libc::fork();
        if parent == 0 {
            let mut spool = on(folder());
            let saved = spool.save(&[entry(1)]).is_ok();
            if libc::fork() == 0 {
                libc::close(of_parent[1]);
                let mut byte = 0_u8;
                // Until its parent and the test have closed the other end.
                libc::read(of_parent[0], (&raw mut byte).cast(), 1);
                byte = u8::from(drain(&mut on(folder())) == [1]);
                libc::write(of_child[1], (&raw const byte).cast(), 1);
                libc::_exit(0);
            }
            libc::_exit(i32::from(!saved));
        }
        let mut status = -1;
        assert_eq!(libc::waitpid(parent, &raw mut status, 0), parent);
        assert_eq!(status, 0);
        libc::close(of_parent[1]);
        libc::close(of_child[1]);
        let mut byte = 0_u8;
        assert_eq!(libc::read(of_child[0], (&raw mut byte).cast(), 1), 1);
        assert_eq!(byte, 1);
        libc::close(of_parent[0]);
        libc::close(of_child[0]);
    }
}
