//! The `console` sink: readable JSON on stderr.

use std::io::Write as _;

use super::{Outcome, Report, Sink};
use crate::loss::Loss;

#[derive(Debug)]
pub(crate) struct Console;

impl Sink for Console {
    fn name(&self) -> &str {
        "console"
    }

    fn is_network(&self) -> bool {
        false
    }

    fn take(&mut self, report: &Report) -> Outcome {
        let Some(message) = report.message() else { return Outcome::Ignored };
        match writeln!(std::io::stderr(), "{}", message.to_pretty_json()) {
            Ok(()) => Outcome::Delivered,
            Err(_) => Outcome::Dropped(Loss::Io),
        }
    }
}
