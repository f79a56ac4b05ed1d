//! Paths of a [`Machine`] come in, bounded text goes out.
//!
//! Every probe reads through these methods, so that this is the one place where a read is
//! bounded, cannot wait and is taken note of. Paths are confined to the machine in `root`.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::Machine;
use super::trace::{Answer, Asked};

/// Most bytes taken from a small attribute file: sysfs attributes are one page at most, and
/// what is read of larger files (`MemTotal`, the first processor) stands in the first page.
pub(super) const ATTRIBUTE_BYTES: usize = 4096;

/// Bytes of the first read: nearly all attributes are shorter, and a small buffer is cleared fast.
const FIRST_BYTES: usize = 256;

/// Most bytes taken from a file that must be read on: the whole `/proc/cpuinfo` of a machine
/// with 1024 CPUs has about 1.5 MB.
pub(super) const FILE_BYTES: usize = 4 * 1024 * 1024;

/// Most entries looked at in one folder: the largest site-packages seen have a few thousand,
/// and Linux supports 8192 CPUs.
const FOLDER_ENTRIES: usize = 16_384;

impl Machine {
    /// A small file, trimmed; `None` if it cannot be read or is blank.
    ///
    /// One read is enough for what the kernel makes up, two where it is longer than most: an
    /// attribute, or the first record of a longer file, comes whole. The rest of a longer file
    /// is never made.
    pub(super) fn attribute(&self, path: &str) -> Option<String> {
        self.piece(path, ATTRIBUTE_BYTES, |text| {
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        })
    }

    /// The number in a small file; `None` if there is none.
    pub(super) fn number(&self, path: &str) -> Option<i64> {
        self.piece(path, ATTRIBUTE_BYTES, |text| text.trim_ascii().parse().ok())
    }

    /// What `read` makes of the lines in the first quarter of a kilobyte of a file; `None` if it cannot
    /// be read. A line that is cut off is not one of them.
    pub(super) fn head<T>(&self, path: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.piece(path, FIRST_BYTES, |text| {
            let cut = text.len() >= FIRST_BYTES;
            let whole =
                if cut { text.rsplit_once('\n').map_or("", |(whole, _)| whole) } else { text };
            read(whole)
        })
    }

    /// What `read` makes of a file that the kernel makes up as one piece, up to `limit` bytes;
    /// `None` if it cannot be read. A read that does not fill its buffer is then the last: the
    /// one that only finds the end is saved.
    pub(super) fn piece<T>(
        &self,
        path: &str,
        limit: usize,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let (mut first, mut more) = ([0; FIRST_BYTES], Vec::new());
        let bytes = self.open(path).and_then(|file| fill(file, limit, &mut first, &mut more));
        self.note(Asked::File, path, || Answer::of(&bytes));
        read(&characters(bytes.ok()?))
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

    /// Whether it is worth asking for the files of a folder: one look saves one for each of them. A
    /// traced machine is asked all the same, because the list shall name them.
    pub(super) fn may_hold(&self, folder: &str) -> bool {
        self.is_traced() || self.path(folder).is_some_and(|path| path.exists())
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

/// The file's beginning, up to `limit` bytes: in `first` where it fits, else in `more`.
fn fill<'bytes>(
    mut file: File,
    limit: usize,
    first: &'bytes mut [u8; FIRST_BYTES],
    more: &'bytes mut Vec<u8>,
) -> io::Result<&'bytes [u8]> {
    let wanted = first.get_mut(..limit.min(FIRST_BYTES)).unwrap_or_default();
    let length = some(&mut file, wanted)?;
    let bytes = first.get(..length).unwrap_or_default();
    if length < FIRST_BYTES || limit == FIRST_BYTES {
        return Ok(bytes);
    }
    more.extend_from_slice(bytes);
    let mut filled = length;
    while filled == more.len() && filled < limit {
        more.resize(filled.saturating_mul(8).min(limit), 0);
        let length = some(&mut file, more.get_mut(filled..).unwrap_or_default())?;
        filled = filled.saturating_add(length);
    }
    Ok(more.get(..filled).unwrap_or_default())
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

/// One read.
fn some(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            length => return length,
        }
    }
}

/// Bytes as text. Nearly all are, and the check for that is the fast one.
pub(super) fn characters(bytes: &[u8]) -> Cow<'_, str> {
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
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
