//! The files of `/data/`: everything that is published of a day, and the checksums of all files.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use super::Engine;
use super::counted::{Seen, seen};
use super::csv::text;
use super::cube::{self, WEEK};
use super::days::date;
use super::rules::rounded;
use super::table::{Privacy, TABLES};

/// The first line of each file.
const HEAD: &str = "engine,table,cell,measure,span,amount\r\n";

/// Days before the last closed one of which a later close or revision may change a number: a revision corrects a day
/// within ten days, and either counts the engines that started up to 30 days before.
const CHANGES: i64 = 45;

/// Returns the days that have a file, the newest first.
///
/// # Errors
///
/// If the database cannot be read.
pub fn days(connection: &Connection) -> anyhow::Result<Vec<i64>> {
    let mut days = connection.prepare_cached(
        "SELECT DISTINCT day FROM cube
        WHERE question IN ('versions/engines', 'starts/engines') AND published ORDER BY day DESC",
    )?;
    let days = days.query_map([], |row| row.get(0))?;
    Ok(days.collect::<Result<_, _>>()?)
}

/// Returns the name of a day's file: `2026-11-28.csv`.
#[must_use]
pub fn name(day: i64) -> String {
    format!("{}.csv", date(day))
}

/// Returns what is published of a day as CSV, `None` if that is nothing. The file of a Monday has the numbers of its
/// week too, once that is closed.
///
/// # Errors
///
/// If the database cannot be read.
pub fn file(connection: &Connection, day: i64) -> anyhow::Result<Option<String>> {
    Ok(all(connection, (day, day))?.remove(&day))
}

/// Returns the files of the days from the first to the last.
fn all(connection: &Connection, days: (i64, i64)) -> anyhow::Result<BTreeMap<i64, String>> {
    let mut files: BTreeMap<i64, String> = BTreeMap::new();
    for engine in Engine::ALL {
        for table in TABLES.iter().filter(|table| table.engines.contains(&engine)) {
            let (grain, span) = match table.privacy {
                Privacy::Closed => ("", "day"),
                Privacy::FreeText => (WEEK, "week"),
            };
            for question in cube::measures(table, grain) {
                let measure = question.rsplit_once('/').map_or("", |(_, measure)| measure);
                cube::published(connection, (&question, engine), days, |day, cell, amount| {
                    let lines = files.entry(day).or_insert_with(|| HEAD.to_owned());
                    let (cell, amount) = (text(cell), rounded(amount));
                    // Writing to a `String` cannot fail.
                    let _ = write!(
                        lines,
                        "{},{},{cell},{measure},{span},{amount}\r\n",
                        engine.id(),
                        table.id,
                    );
                })?;
            }
        }
    }
    Ok(files)
}

/// The checksums of all files, which are kept while the days do not change.
#[derive(Debug, Default)]
pub struct Checksums {
    /// The last closed day and revision at that time.
    seen: Option<Seen>,
    /// By day, in hexadecimal digits.
    days: BTreeMap<i64, String>,
}

impl Checksums {
    /// Returns the checksums of all files, as `sha256sum --check` reads them. Of the files it reads those that may have
    /// changed since the last call.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn text(&mut self, connection: &Connection) -> anyhow::Result<String> {
        // All queries see the same state. It ends with this value.
        let state = connection.unchecked_transaction()?;
        let now = seen(&state)?;
        if self.seen != Some(now) {
            let closed = self.seen.and_then(|(closed, _)| closed);
            let from = closed.map_or(i64::MIN, |closed| closed.saturating_sub(CHANGES));
            drop(self.days.split_off(&from));
            for (day, file) in all(&state, (from, i64::MAX))? {
                self.days.insert(day, hexadecimal(&Sha256::digest(file.as_bytes())));
            }
            self.seen = Some(now);
        }
        let line = |day: i64| Some(format!("{}  {}\n", self.days.get(&day)?, name(day)));
        Ok(days(&state)?.into_iter().filter_map(line).collect())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
