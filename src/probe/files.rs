//! Paths of a [`Machine`] come in, bounded text goes out.
//!
//! Every probe reads through these methods, so that this is the one place where a read is
//! bounded, cannot wait and is taken note of. Paths are confined to the machine in `root`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::Machine;
use super::trace::{Answer, Asked};

/// Most bytes taken from a small attribute file: sysfs attributes are one page at most, and
/// what is read of larger files (`MemTotal`, the first processor) stands in the first page.
pub(super) const ATTRIBUTE_BYTES: usize = 4096;

/// Most bytes taken from a file that must be read on: the whole `/proc/cpuinfo` of a machine
/// with 1024 CPUs has about 1.5 MB.
pub(super) const FILE_BYTES: usize = 4 * 1024 * 1024;

/// Most entries looked at in one folder: the largest site-packages seen have a few thousand,
/// and Linux supports 8192 CPUs.
const FOLDER_ENTRIES: usize = 16_384;

impl Machine {
    /// A small file by one `read`, trimmed; `None` if it cannot be read or is blank.
    ///
    /// One call is enough for what the kernel makes up: an attribute, or the first record of
    /// a longer file, comes whole. The rest of a longer file is never made.
    pub(super) fn attribute(&self, path: &str) -> Option<String> {
        let read = self.open(path).and_then(read_once);
        self.note(Asked::File, path, || Answer::of(&read));
        read.ok().filter(|text| !text.is_empty())
    }

    /// A file up to `limit` bytes; `None` if it cannot be read.
    pub(super) fn text(&self, path: &str, limit: usize) -> Option<String> {
        let read = self.open(path).and_then(|file| read_up_to(file, limit));
        self.note(Asked::File, path, || Answer::of(&read));
        read.ok()
    }

    /// Whether something is there.
    pub(super) fn exists(&self, path: &str) -> bool {
        let there = self.path(path).is_some_and(|path| path.exists());
        self.note(Asked::Marker, path, || Answer::there(there));
        there
    }

    /// Whether a file is there that may be run.
    pub(super) fn is_program(&self, path: &str) -> bool {
        let Some(metadata) = self.path(path).and_then(|path| fs::metadata(path).ok()) else {
            return false;
        };
        metadata.is_file() && may_run(&metadata)
    }

    /// Names in a folder, in no order, up to a bound; none if there is no such folder.
    pub(super) fn names(&self, path: &str) -> impl Iterator<Item = String> + use<> {
        let folder = self.path(path).and_then(|path| fs::read_dir(path).ok());
        self.note(Asked::Folder, path, || Answer::there(folder.is_some()));
        folder
            .into_iter()
            .flatten()
            .take(FOLDER_ENTRIES)
            .map_while(Result::ok)
            .filter_map(|entry| entry.file_name().into_string().ok())
    }

    fn open(&self, path: &str) -> io::Result<File> {
        open(&self.path(path).ok_or(ErrorKind::NotFound)?)
    }
}

/// Opens for reading without ever waiting: a pipe where a file should be must not hang us.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options.open(path)
}

/// What one `read` gives, trimmed.
fn read_once(mut file: File) -> io::Result<String> {
    let mut buffer = [0; ATTRIBUTE_BYTES];
    let length = loop {
        match file.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            length => break length?,
        }
    };
    let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
    Ok(text.trim().to_owned())
}

/// The file from its beginning.
fn read_up_to(file: File, limit: usize) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(limit.min(2 * ATTRIBUTE_BYTES));
    file.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

#[cfg(unix)]
fn may_run(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0
}

#[cfg(not(unix))]
fn may_run(_metadata: &fs::Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::ATTRIBUTE_BYTES;

    #[test]
    fn reads_stop_at_their_bound() {
        let tree = Tree::new().file("/big", &"x".repeat(10 * 1024 * 1024));
        let machine = tree.machine();
        assert_eq!(machine.attribute("/big").unwrap().len(), ATTRIBUTE_BYTES);
        assert_eq!(machine.text("/big", 100_000).unwrap().len(), 100_000);
    }

    #[test]
    fn blank_missing_and_folder_are_nothing() {
        let tree = Tree::new().file("/folder/blank", " \n\t\n");
        let machine = tree.machine();
        assert_eq!(machine.attribute("/folder/blank"), None);
        assert_eq!(machine.attribute("/folder"), None);
        assert_eq!(machine.text("/folder", 10), None);
        assert_eq!(machine.attribute("/missing"), None);
        assert_eq!(machine.names("/missing").count(), 0);
    }

    #[test]
    fn bytes_that_are_no_text_do_not_fail() {
        let tree = Tree::new().bytes("/garbage", &[0xff, 0xfe, b'a', 0x80]);
        assert!(tree.machine().attribute("/garbage").unwrap().contains('a'));
        assert!(tree.machine().text("/garbage", 10).unwrap().contains('a'));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_does_not_hang() {
        let tree = Tree::new().pipe("/proc/meminfo");
        assert_eq!(tree.machine().attribute("/proc/meminfo"), None);
        assert_eq!(tree.machine().text("/proc/meminfo", 10).as_deref(), Some(""));
    }
}
