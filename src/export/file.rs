//! The `file` exporter: JSON lines as vLLM writes them, or the text log as LMCache writes it.
//!
//! Processes can share a file, and only the owner can read it.

use std::path::PathBuf;

use otel_usage_schema::Trigger;

use super::{ExportRecord, Exporter, Loss, Outcome};
use crate::append::{append, longer_than};
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
        match append(&self.path, &bytes, end, longer_than(ROTATE_BYTES)) {
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
