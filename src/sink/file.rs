//! The `file` sink: JSON lines as vLLM writes them, or the text log as LMCache writes it.
//!
//! Each report is one `write` to a file opened for appending, so processes can share a file. The
//! file is opened anew for each: reports come minutes apart, and an operator may move or remove
//! it at any time. Directories are made; the file is readable by its owner only.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{Outcome, Report, Sink};
use crate::loss::Loss;
use crate::notice::Voice;
use crate::schema::Trigger;

/// A file larger than this is renamed to `<name>.1` before the next line, so that a heartbeat every
/// ten minutes cannot fill a disk: about ten years of heartbeats, or ten thousand start reports.
const ROTATE_BYTES: u64 = 10 * 1024 * 1024;

/// What a report looks like in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// One JSON object a line, the very bytes that are posted.
    JsonLines,
    /// `key: value` a line in Python's notation, and an empty line after each message.
    Text,
}

#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    form: Form,
    voice: Voice,
    warned: bool,
}

impl File {
    pub(crate) const fn new(path: PathBuf, form: Form, voice: Voice) -> Self {
        Self { path, form, voice, warned: false }
    }
}

impl Sink for File {
    fn name(&self) -> &str {
        "file"
    }

    fn is_network(&self) -> bool {
        false
    }

    fn take(&mut self, report: &Report) -> Outcome {
        let Some(message) = report.message() else { return Outcome::Ignored };
        if matches!(self.form, Form::Text)
            && matches!(message.spec().trigger, Trigger::Interval { .. })
        {
            // LMCache's log tells what was said once; its counts were never in it.
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
                    self.voice.warn(&format!(
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
        // A named pipe without a reader would hold the worker up for ever.
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
    // One call, so that lines of several processes do not mix.
    let written = file.write(bytes)?;
    if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
