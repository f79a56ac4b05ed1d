//! The `file` exporter: JSON lines as vLLM writes them, or the text log as LMCache writes it.
//!
//! Each message is one `write` to a file opened for appending, so that processes can share a file. The
//! file is opened for each message, because messages come minutes apart and an operator may move or
//! remove the file at any time. Missing directories are made. Only the owner can read the file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use otel_usage_schema::Trigger;

use super::{ExportRecord, Exporter, Loss, Outcome};
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
        let bytes = match self.form {
            Form::JsonLines => {
                let mut line = Vec::with_capacity(2048);
                message.append_json(&mut line);
                line.push(b'\n');
                line
            }
            Form::Text => message.to_text().into_bytes(),
        };
        match append(&self.path, &bytes) {
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

fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
        // Opening a named pipe without a reader would otherwise block the worker for ever.
        options.custom_flags(libc::O_NONBLOCK);
    }
    let mut file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            options.open(path)?
        }
        opened => opened?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if metadata.len() > ROTATE_BYTES {
        let mut rotated = path.as_os_str().to_owned();
        rotated.push(".1");
        fs::rename(path, rotated)?;
        file = options.open(path)?;
    }
    // One call writes the whole line, so that lines of several processes do not mix.
    let written = file.write(bytes)?;
    if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
