//! The files of `/data/`: everything that is published of a day, and the checksums of all files.

use std::fmt::Write as _;

use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use super::Engine;
use super::csv::text;
use super::cube::{self, WEEK};
use super::days::date;
use super::rules::rounded;
use super::table::{Privacy, TABLES};

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
    let mut lines = "engine,table,cell,measure,span,amount\r\n".to_owned();
    let begin = lines.len();
    for engine in Engine::ALL {
        for table in TABLES.iter().filter(|table| table.engines.contains(&engine)) {
            let (grain, span) = match table.privacy {
                Privacy::Closed => ("", "day"),
                Privacy::FreeText => (WEEK, "week"),
            };
            for question in cube::measures(table, grain) {
                let measure = question.rsplit_once('/').map_or("", |(_, measure)| measure);
                for row in cube::read(connection, (&question, engine), (day, day))? {
                    if row.published {
                        let (cell, amount) = (text(&row.cell), rounded(row.amount));
                        // Writing to a `String` cannot fail.
                        let _ = write!(
                            lines,
                            "{},{},{cell},{measure},{span},{amount}\r\n",
                            engine.id(),
                            table.id,
                        );
                    }
                }
            }
        }
    }
    Ok((lines.len() > begin).then_some(lines))
}

/// Returns the checksums of all files, as `sha256sum --check` reads them.
///
/// # Errors
///
/// If the database cannot be read.
pub fn checksums(connection: &Connection) -> anyhow::Result<String> {
    let mut sums = String::new();
    for day in days(connection)? {
        if let Some(file) = file(connection, day)? {
            for byte in Sha256::digest(file.as_bytes()) {
                let _ = write!(sums, "{byte:02x}");
            }
            let _ = writeln!(sums, "  {}", name(day));
        }
    }
    Ok(sums)
}
