//! Writes the output of the command to standard output and its messages to standard error.
//!
//! Text for people may have colours, which only a terminal gets: `--color`, `NO_COLOR` and the like decide. Text for
//! programs is written as it is.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use anstyle::{AnsiColor, Style};
use anyhow::anyhow;

use crate::exit;

/// A heading, or the name of what the lines below are about.
pub(crate) const HEADING: Style = Style::new().bold();
/// A state that most people want.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// A state that people should look at.
pub(crate) const CAUTION: Style = AnsiColor::Yellow.on_default().bold();
/// A failure, or something that is off.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Returns `text` in a style, for [`show`] and [`note`].
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes text for programs to standard output. A closed pipe (`otel-usage preview | head`) is not a failure.
///
/// A command writes all of its output at once, so that its exit code does not depend on the reader.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    write(&mut io::stdout().lock(), text)
}

/// Writes text for people to standard output, with colours if it is a terminal. Otherwise it is like [`print`].
pub(crate) fn show(text: &str) -> anyhow::Result<()> {
    write(&mut anstream::stdout().lock(), text)
}

fn write(out: &mut impl Write, text: &str) -> anyhow::Result<()> {
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
    let _ = writeln!(anstream::stderr().lock(), "otel-usage: {text}");
}

/// Writes a warning to standard error, as one line.
pub(crate) fn warning(text: &str) {
    note(&format!("{} {text}", styled(CAUTION, "warning:")));
}

/// Writes an error with its causes to standard error, as one line.
pub(crate) fn error(error: &anyhow::Error) {
    note(&format!("{error:#}"));
}

/// The failures of a command that goes on after each of them.
#[derive(Debug, Default)]
pub(crate) struct Failures(bool);

impl Failures {
    /// Returns what succeeded. A failure is written to standard error at once.
    pub(crate) fn of<T>(&mut self, result: anyhow::Result<T>) -> Option<T> {
        result.map_err(|failed| error(&failed)).inspect_err(|()| self.0 = true).ok()
    }

    pub(crate) const fn code(&self) -> u8 {
        if self.0 { exit::ERROR } else { exit::SUCCESS }
    }
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

    /// Lets the table be as wide as its cells are.
    pub(crate) fn wide(mut self) -> Self {
        self.0.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
        self
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells);
    }

    /// Returns the lines, without white space at their ends.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (index, line) in self.0.lines().enumerate() {
            let line = line.trim_end();
            text += &if index == 0 { styled(HEADING, line) } else { line.to_owned() };
            text.push('\n');
        }
        text
    }
}
