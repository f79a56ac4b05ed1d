//! The `file` exporter: JSON lines as vLLM writes them, or the text log as LMCache writes it.
//!
//! Each message is one `write` to a file opened for appending, so that processes can share a file. The
//! file is opened for each message, because messages come minutes apart and an operator may move or
//! remove the file at any time. Missing directories are made. Only the owner can read the file.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use otel_usage_schema::Trigger;

use super::{ExportRecord, Exporter, Loss, Outcome};
use crate::files;
use crate::notifier::Notifier;

/// A larger file is renamed to `<name>.1` before the next line, so that heartbeats cannot fill a disk.
/// The size holds ten years of heartbeats, or ten thousand start messages.
const ROTATE_BYTES: u64 = 10 * 1024 * 1024;

/// The form of a message in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// One JSON object a line, with the bytes that are posted.
    JsonLines,
    /// `key: value` a line in Python's notation, and an empty line after each message.
    Text,
}

#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    form: Form,
    notifier: Notifier,
    warned: bool,
}

impl File {
    pub(crate) const fn new(path: PathBuf, form: Form, notifier: Notifier) -> Self {
        Self { path, form, notifier, warned: false }
    }
}

impl Exporter for File {
    fn name(&self) -> &str {
        "file"
    }

    fn is_network(&self) -> bool {
        false
    }

    fn export(&mut self, record: &ExportRecord) -> Outcome {
        let Some(message) = record.message() else { return Outcome::Ignored };
        if matches!(self.form, Form::Text)
            && matches!(message.spec().trigger, Trigger::Interval { .. })
        {
            // LMCache's log never held the counts of intervals.
            return Outcome::Ignored;
        }
        let (bytes, end): (_, &[u8]) = match self.form {
            Form::JsonLines => {
                let mut line = Vec::with_capacity(2048);
                message.append_json(&mut line);
                line.push(b'\n');
                (line, b"\n")
            }
            Form::Text => (message.to_text().into_bytes(), b"\n\n"),
        };
        match append(&self.path, &bytes, end, ROTATE_BYTES) {
            Ok(()) => Outcome::Delivered,
            Err(error) => {
                if !self.warned {
                    self.warned = true;
                    self.notifier.warn(&format!(
                        "cannot write the local file {}: {error}; make it writable, choose another \
                         with OTEL_USAGE_FILE, or leave `file` out of OTEL_USAGE_EXPORTERS",
                        self.path.display(),
                    ));
                }
                Outcome::Dropped(Loss::Io)
            }
        }
    }
}

/// Appends a message in one write. `end` is what stands after every whole message.
fn append(path: &Path, bytes: &[u8], end: &[u8], limit: u64) -> io::Result<()> {
    let mut file = open(path)?;
    if file.metadata()?.len() > limit {
        file = rotate(file, path)?;
    }
    // A full disk may have cut the last message off.
    let mut whole = missing(&mut file, end)?.to_vec();
    whole.extend_from_slice(bytes);
    // One call writes all of it, so that messages of several processes do not mix.
    let written = file.write(&whole)?;
    if written == whole.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

fn open(path: &Path) -> io::Result<fs::File> {
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
fn rotate(file: fs::File, path: &Path) -> io::Result<fs::File> {
    crate::sys::lock(&file)?;
    // A link stays in its place.
    let place = fs::canonicalize(path)?;
    if files::is_at(&file, &place)? {
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
fn missing<'a>(file: &mut fs::File, end: &'a [u8]) -> io::Result<&'a [u8]> {
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
            append(&path, b"b\n", end.as_bytes(), 100).unwrap();
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
                        append(&path, b"line\n", b"\n", 1000).unwrap();
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
    fn a_full_file_that_cannot_be_renamed_does_not_grow() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, [b'x'; 20]).unwrap();
        fs::create_dir(folder.path().join("x.1")).unwrap();
        let error = append(&path, b"line\n", b"\n", 10).unwrap_err().to_string();
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
        append(&link, b"line\n", b"\n", 10).unwrap();
        // The link's file was rotated, and the link stays.
        assert_eq!(fs::metadata(folder.path().join("target.1")).unwrap().len(), 20);
        assert_eq!(fs::read_to_string(&target).unwrap(), "line\n");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        // Only the administrator can make the link another user's.
        if std::os::unix::fs::lchown(&link, Some(4242), None).is_ok() {
            assert!(append(&link, b"line\n", b"\n", 1000).is_err());
            assert_eq!(fs::read_to_string(&target).unwrap(), "line\n");
        }
    }
}
