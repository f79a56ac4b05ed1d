//! The `console` exporter: readable JSON on stderr.

use std::io::Write as _;

use super::{ExportRecord, Exporter, Loss, Outcome};

#[derive(Debug)]
pub(crate) struct Console;

impl Exporter for Console {
    fn name(&self) -> &str {
        "console"
    }

    fn is_network(&self) -> bool {
        false
    }

    fn export(&mut self, record: &ExportRecord) -> Outcome {
        let Some(message) = record.message() else { return Outcome::Ignored };
        match writeln!(std::io::stderr(), "{}", message.to_pretty_json()) {
            Ok(()) => Outcome::Delivered,
            Err(_) => Outcome::Dropped(Loss::Io),
        }
    }
}
