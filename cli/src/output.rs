//! Writes the output of the command to standard output and its messages to standard error.

use std::io::{self, ErrorKind, Write as _};

use anyhow::anyhow;

/// Writes `text` to standard output. A closed pipe (`otel-usage preview | head`) is not a failure.
///
/// A command writes all of its output at once, so that its exit code does not depend on the reader.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow!("standard output: {error}: redirect it, or free space"))
        }
        _ => Ok(()),
    }
}

/// Writes one line to standard error.
pub(crate) fn note(text: &str) {
    // A closed standard error leaves no place for this message.
    let _ = writeln!(io::stderr().lock(), "otel-usage: {text}");
}

/// Writes a warning to standard error, as one line.
pub(crate) fn warning(text: &str) {
    note(&format!("warning: {text}"));
}

/// Writes an error with its causes to standard error, as one line.
pub(crate) fn error(error: &anyhow::Error) {
    note(&format!("{error:#}"));
}

/// Rows of cells below a heading, aligned and within [`WIDTH`] columns.
pub(crate) struct Table(comfy_table::Table);

/// Columns that every terminal and every page of a report has.
const WIDTH: u16 = 100;

impl Table {
    pub(crate) fn new<const N: usize>(heading: [&str; N]) -> Self {
        let mut table = comfy_table::Table::new();
        table
            .load_style(comfy_table::presets::NOTHING)
            .set_content_arrangement(comfy_table::ContentArrangement::Dynamic)
            .set_width(WIDTH)
            .set_header(heading);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self(table)
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells);
    }

    /// Returns the lines, without white space at their ends.
    pub(crate) fn text(&self) -> String {
        self.0.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}
