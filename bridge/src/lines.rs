//! The local exporters: JSON lines in a file or on standard output.
//!
//! The lines of one request are written completely or not at all, as far as the file system allows. The file
//! belongs to this process alone. It is opened anew for each request, so an operator may move or remove it at
//! any time.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::config::FileExporter;
use crate::files;

/// A file or standard output. A lock keeps the lines of two requests apart.
#[derive(Debug)]
pub(crate) struct Lines(Mutex<Writer>);

#[derive(Debug)]
struct Writer {
    target: Target,
    /// Whether the last write failed. Logs the change only.
    failing: bool,
}

#[derive(Debug)]
enum Target {
    Console,
    File(FileExporter),
}

impl Lines {
    pub(crate) const fn console() -> Self {
        Self::to(Target::Console)
    }

    /// # Errors
    ///
    /// The file cannot be written. This shows at the start and not with the first record.
    pub(crate) fn file(file: FileExporter) -> io::Result<Self> {
        files::open(&file.path)?;
        Ok(Self::to(Target::File(file)))
    }

    const fn to(target: Target) -> Self {
        Self(Mutex::new(Writer { target, failing: false }))
    }

    /// Returns the name in metrics and on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match &self.0.lock().unwrap_or_else(PoisonError::into_inner).target {
            Target::Console => "console",
            Target::File(_) => "file",
        }
    }

    /// Returns the place in words.
    pub(crate) fn place(&self) -> String {
        match &self.0.lock().unwrap_or_else(PoisonError::into_inner).target {
            Target::Console => "standard output".to_owned(),
            Target::File(file) => format!("the file {}", file.path.display()),
        }
    }

    /// Writes lines, each with its line feed. Blocks.
    ///
    /// The first error in a row is logged, and the end of the row. The sender has to send the lines again.
    pub(crate) fn write(&self, lines: &[u8]) -> io::Result<()> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (place, written) = match &writer.target {
            Target::Console => {
                let mut out = io::stdout().lock();
                let written = out.write_all(lines).and_then(|()| out.flush());
                ("standard output".to_owned(), written)
            }
            Target::File(file) => (file.path.display().to_string(), append(file, lines)),
        };
        match &written {
            Err(error) if !writer.failing => {
                tracing::warn!(place, %error, "lines cannot be written; senders have to wait: make the place writable");
            }
            Ok(()) if writer.failing => tracing::info!(place, "lines are written again"),
            _ => {}
        }
        writer.failing = written.is_err();
        written
    }
}

fn append(exporter: &FileExporter, lines: &[u8]) -> io::Result<()> {
    let mut file = files::open(&exporter.path)?;
    let mut length = file.metadata()?.len();
    let added = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    if length > 0 && length.saturating_add(added) > exporter.rotate_bytes {
        rotate(&file, exporter)?;
        file = files::open(&exporter.path)?;
        length = file.metadata()?.len();
    }
    let whole = ends_whole(&mut file, length)?;
    let end: &[u8] = if whole { b"" } else { b"\n" };
    file.write_all(end).and_then(|()| file.write_all(lines)).inspect_err(|_| {
        // A full disk leaves half a line. The sender repeats the request, so the half line is removed.
        let _ = file.set_len(length);
    })
}

/// Returns whether the file ends with a whole line. A process that was killed may have left half of one.
fn ends_whole(file: &mut File, length: u64) -> io::Result<bool> {
    let mut last = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(1)))?;
    file.take(1).read_to_end(&mut last)?;
    Ok(matches!(last.as_slice(), [] | [b'\n']))
}

/// Renames the full `file` to `<name>.1`, and the older ones by a number each.
///
/// A folder or a pipe in the way is neither moved nor replaced. The rotation then fails, and the file does not grow.
fn rotate(file: &File, exporter: &FileExporter) -> io::Result<()> {
    // A link stays in its place.
    let place = fs::canonicalize(&exporter.path)?;
    if !files::is_at(file, &place)? {
        // The operator has just moved it away.
        return Ok(());
    }
    if exporter.keep == 0 {
        return fs::remove_file(&place);
    }
    let older = |n: u32| match n {
        0 => place.clone(),
        n => {
            let mut path = place.as_os_str().to_owned();
            path.push(format!(".{n}"));
            PathBuf::from(path)
        }
    };
    // A number that is free takes the place of the last one. So a step that fails again and again moves the
    // others once.
    let mut end = exporter.keep;
    for n in 1..=exporter.keep {
        match fs::symlink_metadata(older(n)) {
            Ok(found) if found.is_file() => {}
            Ok(_) => {
                let what = "it is full, and what is in the place of an older file is no file; move it away";
                return Err(named(&older(n), io::ErrorKind::AlreadyExists, what));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                end = n;
                break;
            }
            Err(error) => return Err(named(&older(n), error.kind(), &error.to_string())),
        }
    }
    for n in (0..end).rev() {
        let to = older(n.saturating_add(1));
        fs::rename(older(n), &to).map_err(|error| {
            named(&to, error.kind(), &format!("it is full and cannot be renamed: {error}"))
        })?;
    }
    Ok(())
}

fn named(place: &Path, kind: io::ErrorKind, what: &str) -> io::Error {
    io::Error::new(kind, format!("{what}: {}", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logged::logged;

    /// An exporter to `flat.jsonl` in a new folder.
    fn exporter(rotate_bytes: u64, keep: u32) -> (tempfile::TempDir, FileExporter) {
        let folder = tempfile::tempdir().unwrap();
        let mut exporter = FileExporter::new(folder.path().join("flat.jsonl"));
        (exporter.rotate_bytes, exporter.keep) = (rotate_bytes, keep);
        (folder, exporter)
    }

    /// Returns the text of the file, and of older ones.
    fn texts<const N: usize>(exporter: &FileExporter) -> [String; N] {
        std::array::from_fn(|n| {
            let mut path = exporter.path.clone().into_os_string();
            if n > 0 {
                path.push(format!(".{n}"));
            }
            fs::read_to_string(path).unwrap_or_default()
        })
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_last_ones_are_kept() {
        let (_folder, exporter) = exporter(10, 2);
        let lines = Lines::file(exporter.clone()).unwrap();
        for line in ["one one\n", "two two\n", "three three three\n", "four\n"] {
            lines.write(line.as_bytes()).unwrap();
        }
        assert_eq!(texts(&exporter), ["four\n", "three three three\n", "two two\n", ""]);
    }

    #[test]
    fn a_line_stands_alone_whatever_came_before() {
        for (before, after) in [("", "b\n"), ("a\n", "a\nb\n"), ("{\"to", "{\"to\nb\n")] {
            let (_folder, exporter) = exporter(100, 1);
            fs::write(&exporter.path, before).unwrap();
            append(&exporter, b"b\n").unwrap();
            assert_eq!(texts(&exporter), [after], "{before:?}");
        }
    }

    #[test]
    fn a_folder_in_the_place_of_an_older_file_stays_and_the_file_does_not_grow() {
        for blocked in ["flat.jsonl.1", "flat.jsonl.2"] {
            let (folder, exporter) = exporter(10, 2);
            fs::write(&exporter.path, "one one\n").unwrap();
            fs::write(folder.path().join("flat.jsonl.1"), "old\n").unwrap();
            let _ = fs::remove_file(folder.path().join(blocked));
            fs::create_dir(folder.path().join(blocked)).unwrap();
            for _ in 0..3 {
                let error = append(&exporter, b"two two\n").unwrap_err().to_string();
                assert!(error.contains(blocked), "{error}");
            }
            let old = if blocked.ends_with('1') { "" } else { "old\n" };
            assert_eq!(texts(&exporter), ["one one\n", old, ""]);
            assert!(folder.path().join(blocked).is_dir());
        }
    }

    #[test]
    fn a_rotation_that_fails_again_and_again_loses_no_older_file() {
        let (_folder, exporter) = exporter(10, u32::MAX);
        for n in 0..5 {
            append(&exporter, format!("line {n} of\n").as_bytes()).unwrap();
        }
        let before = ["line 4 of\n", "line 3 of\n", "line 2 of\n", "line 1 of\n", "line 0 of\n"];
        assert_eq!(texts(&exporter), before.map(str::to_owned));
        // As after a step that failed in the middle.
        let place = |n: u32| format!("{}.{n}", exporter.path.display());
        for n in (1..5).rev() {
            fs::rename(place(n), place(n + 1)).unwrap();
        }
        append(&exporter, b"line 5 of\n").unwrap();
        let [_, first, second, ..] = texts::<3>(&exporter);
        assert_eq!((first.as_str(), second.as_str()), ("line 4 of\n", "line 3 of\n"));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_one_warning_until_it_can() {
        let (folder, exporter) = exporter(10, 1);
        let lines = Lines::file(exporter.clone()).unwrap();
        let log = logged(|| {
            lines.write(b"one one\n").unwrap();
            fs::create_dir(folder.path().join("flat.jsonl.1")).unwrap();
            for _ in 0..3 {
                assert!(lines.write(b"two two\n").is_err());
            }
            fs::remove_dir(folder.path().join("flat.jsonl.1")).unwrap();
            lines.write(b"two two\n").unwrap();
        });
        assert_eq!((log.matches("WARN").count(), log.matches("INFO").count()), (1, 1), "{log}");
        assert!(log.contains("flat.jsonl.1"), "{log}");
        assert_eq!(texts(&exporter), ["two two\n", "one one\n"]);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone_and_must_be_a_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, exporter) = exporter(100, 1);
        let path = exporter.path.clone();
        Lines::file(exporter).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Lines::file(FileExporter::new(folder.path())).is_err());
        assert!(Lines::file(FileExporter::new("/dev/null")).is_err());
    }

    /// A pipe that takes the file's place after any look at it: opening it must not wait for a reader.
    #[cfg(unix)]
    #[test]
    fn a_pipe_in_the_place_of_the_file_is_refused_at_once() {
        let (_folder, exporter) = exporter(100, 1);
        #[expect(clippy::disallowed_methods, reason = "the test makes a pipe")]
        let made = std::process::Command::new("mkfifo").arg(&exporter.path).status().unwrap();
        assert!(made.success());
        otel_usage_testing::returns(move || {
            assert!(files::open(&exporter.path).is_err());
            assert!(files::read(&exporter.path, 10).is_err());
        });
    }

    #[cfg(unix)]
    #[test]
    fn a_link_of_another_user_is_refused() {
        let (folder, mut exporter) = exporter(10, 1);
        let target = exporter.path.clone();
        exporter.path = folder.path().join("link");
        fs::write(&target, "one one\n").unwrap();
        std::os::unix::fs::symlink(&target, &exporter.path).unwrap();
        append(&exporter, b"two two\n").unwrap();
        // The link's file was rotated, and the link stays.
        assert_eq!(fs::read_to_string(folder.path().join("flat.jsonl.1")).unwrap(), "one one\n");
        assert_eq!(fs::read_to_string(&target).unwrap(), "two two\n");
        assert!(fs::symlink_metadata(&exporter.path).unwrap().is_symlink());
        // Only the administrator can make the link another user's.
        if std::os::unix::fs::lchown(&exporter.path, Some(4242), None).is_ok() {
            assert!(append(&exporter, b"x\n").is_err());
            assert_eq!(fs::read_to_string(&target).unwrap(), "two two\n");
        }
    }
}
