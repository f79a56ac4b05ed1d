//! Reads files and folders of a [`Machine`]. Every reader goes through these methods, so that each read
//! is bounded, cannot wait, and is in the list of readings. `root` confines the paths to the machine.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};

use super::Machine;
use super::trace::{Answer, Asked};

/// Most bytes of a small file: sysfs attributes are one page at most, and the interesting part of
/// larger files (`MemTotal`, the first processor) is in their first page.
pub(super) const PAGE_BYTES: usize = 4096;

/// Bytes of the first read. Nearly all attributes are shorter, and a small buffer is cleared fast.
const FIRST_BYTES: usize = 256;

/// Most bytes of a file that must be read to its end: `/proc/cpuinfo` of 1024 CPUs has about 1.5 MB.
pub(super) const FILE_BYTES: usize = 4 * 1024 * 1024;

/// Most entries of a folder: large site-packages have a few thousand, and Linux supports 8192 CPUs.
const FOLDER_ENTRIES: usize = 16_384;

impl Machine {
    /// Reads the first page of a file.
    pub(super) fn attribute(&self, path: &str) -> Option<String> {
        self.piece(path, PAGE_BYTES, |text| Some(text.to_owned()))
    }

    /// Reads the number in a small file.
    pub(super) fn number(&self, path: &str) -> Option<i64> {
        self.piece(path, PAGE_BYTES, |text| text.parse().ok())
    }

    /// Applies `use_text` to up to `limit` bytes of a file that the kernel makes as one piece.
    ///
    /// A read that does not fill its buffer is the last one, which saves a read that only finds the
    /// end. The text is trimmed and not blank.
    pub(super) fn piece<T>(
        &self,
        path: &str,
        limit: usize,
        use_text: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let (mut first, mut more) = ([0; FIRST_BYTES], Vec::new());
        let bytes = self.open(path).and_then(|mut file| {
            let mut filled = file.read(&mut first)?;
            if filled < FIRST_BYTES {
                return Ok(first.get(..filled).unwrap_or_default());
            }
            more.extend(first);
            while filled == more.len() && filled < limit {
                more.resize(filled.saturating_mul(8).min(limit), 0);
                let length = file.read(more.get_mut(filled..).unwrap_or_default())?;
                filled = filled.saturating_add(length);
            }
            Ok(more.get(..filled).unwrap_or_default())
        });
        self.note(Asked::File, path, || Answer::of(&bytes));
        let text = characters(bytes.ok()?);
        Some(text.trim_ascii()).filter(|text| !text.is_empty()).and_then(use_text)
    }

    /// Reads up to `limit` bytes of a file.
    pub(super) fn text(&self, path: &str, limit: usize) -> Option<String> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let read = self.open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
        self.note(Asked::File, path, || Answer::of(&read.map(|_| &bytes)));
        Some(characters(&bytes).into_owned()).filter(|text| !text.is_empty())
    }

    /// Returns whether a path exists.
    pub(super) fn exists(&self, path: &str) -> bool {
        let there = self.path(path).is_some_and(|path| path.exists());
        self.note(Asked::Marker, path, || Answer::there(there));
        there
    }

    /// Returns whether a folder may hold files: one look saves one for each of its files. A traced
    /// machine always says yes, because its list shall name the files.
    pub(super) fn may_hold(&self, folder: &str) -> bool {
        self.is_traced() || self.path(folder).is_some_and(|path| path.exists())
    }

    /// Returns whether a path is an executable file.
    pub(super) fn is_program(&self, path: &str) -> bool {
        let metadata = self.path(path).and_then(|path| fs::metadata(path).ok());
        metadata.is_some_and(|metadata| metadata.is_file() && is_executable(&metadata))
    }

    /// Returns the names in a folder, in no order and up to a bound; none if there is no such folder.
    pub(super) fn names(&self, path: &str) -> impl Iterator<Item = String> + use<> {
        let folder = self.path(path).and_then(|path| fs::read_dir(path).ok());
        self.note(Asked::Folder, path, || Answer::there(folder.is_some()));
        let entries = folder.into_iter().flatten().take(FOLDER_ENTRIES).map_while(Result::ok);
        entries.filter_map(|entry| entry.file_name().into_string().ok())
    }

    /// Opens for reading without ever waiting, because a pipe in place of a file must not block.
    fn open(&self, path: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
        options.open(self.path(path).ok_or(ErrorKind::NotFound)?)
    }
}

/// Returns bytes as text, with replacement characters for those that are not UTF-8.
pub(super) fn characters(bytes: &[u8]) -> Cow<'_, str> {
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Returns the text trimmed, or `None` if nothing is left.
pub(super) fn filled(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_metadata: &fs::Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::PAGE_BYTES;

    #[test]
    fn reads_stop_at_their_bound() {
        let tree = Tree::new().file("/big", &"x".repeat(200_000));
        let machine = tree.machine();
        assert_eq!(machine.attribute("/big").unwrap().len(), PAGE_BYTES);
        assert_eq!(machine.text("/big", 100_000).unwrap().len(), 100_000);
    }

    #[test]
    fn blank_files_missing_files_and_folders_have_no_text() {
        let tree = Tree::new().file("/folder/blank", " \n\t\n");
        let machine = tree.machine();
        assert_eq!(machine.attribute("/folder/blank"), None);
        assert_eq!(machine.attribute("/folder"), None);
        assert_eq!(machine.text("/folder", 10), None);
        assert_eq!(machine.attribute("/missing"), None);
        assert_eq!(machine.names("/missing").count(), 0);
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_read() {
        let tree = Tree::new().bytes("/garbage", &[0xff, 0xfe, b'a', 0x80]);
        assert!(tree.machine().attribute("/garbage").unwrap().contains('a'));
        assert!(tree.machine().text("/garbage", 10).unwrap().contains('a'));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_does_not_block() {
        let tree = Tree::new().pipe("/proc/meminfo");
        assert_eq!(tree.machine().attribute("/proc/meminfo"), None);
        assert_eq!(tree.machine().text("/proc/meminfo", 10), None);
    }
}
