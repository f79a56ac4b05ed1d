//! Appends to a file that processes share.
//!
//! Each message is one `write` to a file opened for appending, so that messages of several processes do not mix.
//! A full file is renamed to `<name>.1` before. The file is opened for each message, because messages come
//! minutes apart and an operator may move or remove the file at any time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::files;

/// Returns a check whether a file has more than `limit` bytes.
pub(crate) fn longer_than(limit: u64) -> impl FnOnce(&mut File) -> io::Result<bool> {
    move |file| Ok(file.metadata()?.len() > limit)
}

/// Appends a message in one write. `end` is what stands after every whole message.
///
/// Only the owner can read the file, and missing folders are made.
pub(crate) fn append(
    path: &Path,
    bytes: &[u8],
    end: &[u8],
    is_full: impl FnOnce(&mut File) -> io::Result<bool>,
) -> io::Result<()> {
    let mut file = open(path)?;
    if is_full(&mut file)? {
        file = rotate(&file, path)?;
    }
    // A full disk may have cut the last message off.
    let mut whole = missing(&mut file, end)?.to_vec();
    whole.extend_from_slice(bytes);
    // One call writes all of it, so that messages of several processes do not mix.
    let written = file.write(&whole)?;
    if written == whole.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

fn open(path: &Path) -> io::Result<File> {
    let open = || files::open(path, OpenOptions::new().read(true).append(true).create(true));
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            files::make_folder(path.parent().unwrap_or(path))?;
            open()
        }
        opened => opened,
    }
}

/// Renames the full `file` to `<name>.1`, unless another process has done so, and opens a new one.
fn rotate(file: &File, path: &Path) -> io::Result<File> {
    let _lock = crate::sys::lock(file)?;
    // A link stays in its place.
    let place = fs::canonicalize(path)?;
    if files::is_at(file, &place)? {
        let mut rotated = place.clone().into_os_string();
        rotated.push(".1");
        fs::rename(&place, &rotated).map_err(|error| {
            let to = Path::new(&rotated).display();
            io::Error::new(
                error.kind(),
                format!("it is full and cannot be renamed to {to}: {error}"),
            )
        })?;
    }
    open(path)
}

/// Returns the part of `end` that the file lacks behind its last message.
fn missing<'a>(file: &mut File, end: &'a [u8]) -> io::Result<&'a [u8]> {
    let length = file.metadata()?.len();
    let back = length.min(end.len() as u64);
    let mut last = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(back)))?;
    file.take(back).read_to_end(&mut last)?;
    let there = (0..=end.len())
        .rev()
        .find(|there| length == 0 || end.get(..*there).is_some_and(|part| last.ends_with(part)));
    Ok(end.get(there.unwrap_or(0)..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stands_alone_whatever_came_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for (before, end, after) in [
            ("", "\n", "b\n"),
            ("a\n", "\n", "a\nb\n"),
            ("{\"to", "\n", "{\"to\nb\n"),
            ("", "\n\n", "b\n"),
            ("a: 1\n\n", "\n\n", "a: 1\n\nb\n"),
            ("a: 1\n", "\n\n", "a: 1\n\nb\n"),
            ("a:", "\n\n", "a:\n\nb\n"),
        ] {
            fs::write(&path, before).unwrap();
            append(&path, b"b\n", end.as_bytes(), longer_than(100)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), after, "{before:?}");
        }
    }

    #[test]
    fn writers_that_rotate_at_once_lose_nothing() {
        for _ in 0..100 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x");
            fs::write(&path, [b'x'; 1001]).unwrap();
            let together = std::sync::Barrier::new(8);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        together.wait();
                        append(&path, b"line\n", b"\n", longer_than(1000)).unwrap();
                    });
                }
            });
            let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
            let (old, new) = (read("x.1"), read("x"));
            assert!(old.starts_with("xxx"), "the full file is lost");
            let lines = format!("{old}\n{new}");
            assert_eq!(lines.lines().filter(|line| *line == "line").count(), 8);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_child_that_was_forked_meanwhile_does_not_keep_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, [b'x'; 20]).unwrap();
        let file = open(&path).unwrap();
        // It shares the lock, as the file of a child does.
        let of_child = file.try_clone().unwrap();
        rotate(&file, &path).unwrap();
        drop(file);
        let (sender, locked) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let rotated = File::open(folder.path().join("x.1")).unwrap();
            let _lock = crate::sys::lock(&rotated).unwrap();
            sender.send(()).unwrap();
        });
        locked.recv_timeout(std::time::Duration::from_secs(120)).unwrap();
        drop(of_child);
    }

    #[cfg(unix)]
    #[test]
    fn a_full_file_that_cannot_be_renamed_does_not_grow() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, [b'x'; 20]).unwrap();
        fs::create_dir(folder.path().join("x.1")).unwrap();
        let error = append(&path, b"line\n", b"\n", longer_than(10)).unwrap_err().to_string();
        assert!(error.contains("x.1"), "{error}");
        assert_eq!(fs::metadata(&path).unwrap().len(), 20);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_of_another_user_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, [b'x'; 20]).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        append(&link, b"line\n", b"\n", longer_than(10)).unwrap();
        // The link's file was rotated, and the link stays.
        assert_eq!(fs::metadata(folder.path().join("target.1")).unwrap().len(), 20);
        assert_eq!(fs::read_to_string(&target).unwrap(), "line\n");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        // Only the administrator can make the link another user's.
        if std::os::unix::fs::lchown(&link, Some(4242), None).is_ok() {
            assert!(append(&link, b"line\n", b"\n", longer_than(1000)).is_err());
            assert_eq!(fs::read_to_string(&target).unwrap(), "line\n");
        }
    }
}
