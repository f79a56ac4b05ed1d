//! The local exporters: JSON lines in a file or on standard output.
//!
//! The lines of one request are one `write`, which happens completely or not at all, as far as the file
//! system allows. The file is opened anew for each request, so an operator may move or remove it at any
//! time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::config::FileExporter;

/// A file or standard output. A lock keeps the lines of two requests apart.
#[derive(Debug)]
pub(crate) struct Lines(Mutex<Target>);

#[derive(Debug)]
enum Target {
    Console,
    File(FileExporter),
}

impl Lines {
    pub(crate) const fn console() -> Self {
        Self(Mutex::new(Target::Console))
    }

    /// # Errors
    ///
    /// The file cannot be written. This shows at the start and not with the first record.
    pub(crate) fn file(file: FileExporter) -> io::Result<Self> {
        open(&file.path)?;
        Ok(Self(Mutex::new(Target::File(file))))
    }

    /// Returns the name in metrics and on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Target::Console => "console",
            Target::File(_) => "file",
        }
    }

    /// Writes lines, each with its line feed. Blocks.
    pub(crate) fn write(&self, lines: &[u8]) -> io::Result<()> {
        let target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*target {
            Target::Console => {
                let mut out = io::stdout().lock();
                out.write_all(lines).and_then(|()| out.flush())
            }
            Target::File(file) => append(file, lines),
        }
    }
}

fn append(exporter: &FileExporter, lines: &[u8]) -> io::Result<()> {
    let (mut file, mut length) = open(&exporter.path)?;
    let added = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    if length > 0 && length.saturating_add(added) > exporter.rotate_bytes {
        rotate(exporter)?;
        (file, length) = open(&exporter.path)?;
    }
    file.write_all(lines).inspect_err(|_| {
        // A full disk leaves half a line. The sender repeats the request, so the half line is removed.
        let _ = file.set_len(length);
    })
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    // Checked first, because opening a named pipe without a reader would hang.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::other("not a regular file"));
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

fn rotate(exporter: &FileExporter) -> io::Result<()> {
    let older = |n: u32| {
        let mut path = exporter.path.as_os_str().to_owned();
        if n > 0 {
            path.push(format!(".{n}"));
        }
        PathBuf::from(path)
    };
    if exporter.keep == 0 {
        return fs::remove_file(&exporter.path);
    }
    for n in (0..exporter.keep).rev() {
        match fs::rename(older(n), older(n.saturating_add(1))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_put_aside_and_the_last_ones_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut exporter = FileExporter::new(folder.path().join("flat.jsonl"));
        (exporter.rotate_bytes, exporter.keep) = (10, 2);
        let lines = Lines::file(exporter).unwrap();
        for line in ["one one\n", "two two\n", "three three three\n", "four\n"] {
            lines.write(line.as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        assert_eq!(read("flat.jsonl"), "four\n");
        assert_eq!(read("flat.jsonl.1"), "three three three\n");
        assert_eq!(read("flat.jsonl.2"), "two two\n");
        assert_eq!(read("flat.jsonl.3"), "");
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone_and_must_be_a_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flat.jsonl");
        Lines::file(FileExporter::new(&path)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Lines::file(FileExporter::new(folder.path())).is_err());
        assert!(Lines::file(FileExporter::new("/dev/null")).is_err());
    }
}
