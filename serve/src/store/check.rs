//! Looks for damage in a file, and saves what can be read of a damaged one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use otel_usage_schema::Contract;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::core::{Contents, read_batch};
use super::shape::Shapes;
use super::{file, spool, time};

/// Lines of SQLite's own report that are shown.
const SHOWN: i32 = 20;

/// The state of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// SQLite's complaints about its pages. Empty if they are sound.
    pub pages: Vec<String>,
    /// Batches.
    pub batches: u64,
    /// Messages in batches that can be read.
    pub messages: u64,
    /// The batches that are lost.
    pub lost: Vec<Lost>,
    /// Messages by their contract, where no contract that is known here has them.
    pub strange: BTreeMap<String, u64>,
}

/// A part of a batch that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// The number of the batch.
    pub batch: i64,
    /// The day of receipt, such as `2026-11-28`. `None` if it cannot be read either.
    pub day: Option<String>,
    /// The number of messages. `None` if it cannot be read either.
    pub messages: Option<u64>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch {}", self.batch)?;
        match (&self.day, self.messages) {
            (Some(day), Some(messages)) => write!(f, ", received on {day}: {messages} messages"),
            _ => f.write_str(": its day and its messages are unknown"),
        }
    }
}

impl Health {
    /// Returns whether nothing is damaged.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.pages.is_empty() && self.lost.is_empty()
    }
}

/// Checks every page and every message. A server may use the file meanwhile. `contracts` are those beside the built-in
/// ones.
///
/// # Errors
///
/// The file is not there, or is no store.
pub fn check(path: &Path, contracts: &[Contract]) -> anyhow::Result<Health> {
    let connection = file::read_only(path).with_context(|| {
        format!("{}: cannot be read: name the file with --data", path.display())
    })?;
    file::check_format(&connection, path)?;
    let mut health = Health { pages: pages(&connection), ..Health::default() };
    let shapes = Shapes::new(contracts);
    each_batch(&connection, &mut |id, read| {
        health.batches = health.batches.saturating_add(1);
        let Ok((day, messages, frame)) = read else {
            health.lost.push(Lost { batch: id, day: None, messages: None });
            return Ok(());
        };
        let Contents { heard, broken, strange } = read_batch(&shapes, &frame);
        let mut readable = heard.len() as u64;
        for (contract, messages) in strange {
            readable = readable.saturating_add(messages);
            let count = health.strange.entry(contract).or_default();
            *count = count.saturating_add(messages);
        }
        health.messages = health.messages.saturating_add(readable);
        if broken > 0 {
            let messages = u64::try_from(messages).unwrap_or(0).saturating_sub(readable);
            health.lost.push(Lost { batch: id, day: Some(date(day)), messages: Some(messages) });
        }
        Ok(())
    })
    .with_context(|| {
        format!("{}: no batch can be read: put a backup in its place", path.display())
    })?;
    Ok(health)
}

/// Returns a day as people write it.
fn date(day: i64) -> String {
    time::date(day).map_or_else(|| day.to_string(), |date| date.to_string())
}

/// Returns what SQLite says about its pages.
fn pages(connection: &Connection) -> Vec<String> {
    let read = || -> rusqlite::Result<Vec<String>> {
        let mut check = connection.prepare(&format!("PRAGMA integrity_check({SHOWN})"))?;
        check.query_map([], |row| row.get(0))?.collect()
    };
    match read() {
        Ok(lines) if lines == ["ok"] => Vec::new(),
        Ok(lines) => lines,
        Err(error) => vec![error.to_string()],
    }
}

type Row = (i64, i64, Vec<u8>);

/// Visits every batch by its number, so that a damaged one does not end the visit.
fn each_batch(
    connection: &Connection,
    visit: &mut dyn FnMut(i64, rusqlite::Result<Row>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut at = i64::MIN;
    // Numbers that could not be read in a row; the end of a damaged table cannot be told from a hole.
    let mut failed = 0_u32;
    loop {
        let next: rusqlite::Result<Option<i64>> = connection
            .prepare_cached("SELECT min(id) FROM batch WHERE id > ?1")?
            .query_row([at], |row| row.get(0));
        match next {
            Ok(Some(id)) => {
                at = id;
                failed = 0;
                let row = connection
                    .prepare_cached("SELECT day, messages, lines FROM batch WHERE id = ?1")?
                    .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
                visit(id, row)?;
            }
            Ok(None) => return Ok(()),
            Err(error) if at == i64::MIN || failed > 10_000 => return Err(error),
            Err(error) => {
                at = at.saturating_add(1);
                failed = failed.saturating_add(1);
                visit(at, Err(error))?;
            }
        }
    }
}

/// Copies what can be read of a damaged file into a new one, which takes its place. Returns what is lost, and where the
/// damaged file is now.
///
/// # Errors
///
/// Another process has the file, or the new file cannot be written.
pub fn save(path: &Path) -> anyhow::Result<(Vec<String>, PathBuf)> {
    let _lock = file::lock(path)?;
    // A link stays one.
    let path = &std::fs::canonicalize(path)
        .with_context(|| format!("{}: cannot be read", path.display()))?;
    let beside = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let (fresh, damaged) = (beside(".new"), beside(".damaged"));
    if damaged.exists() {
        bail!("{}: an earlier damaged file is there: move it away first", damaged.display());
    }
    for end in ["", "-wal", "-shm", "-lock"] {
        let mut name = fresh.as_os_str().to_owned();
        name.push(end);
        let _ = std::fs::remove_file(name);
    }
    let mut lost = Vec::new();
    {
        let from = file::read_only(path)?;
        let held = file::open(&fresh)?;
        let to = &held.connection;
        to.execute_batch("BEGIN")?;
        each_batch(&from, &mut |id, read| {
            match read {
                Ok((day, messages, lines)) => {
                    let insert =
                        "INSERT INTO batch (id, day, messages, lines) VALUES (?1, ?2, ?3, ?4)";
                    to.prepare_cached(insert)?.execute((id, day, messages, lines))?;
                }
                Err(_) => lost.push(Lost { batch: id, day: None, messages: None }.to_string()),
            }
            Ok(())
        })?;
        // The messages that wait for ClickHouse. Their numbers go on, because they name inserts.
        let spools = tables(&from)?.iter().any(|table| table == "spool");
        if spools {
            to.execute_batch(spool::TABLES)?;
        }
        // Sessions older than the batches, and what no batch holds.
        let all = tables(to)?;
        let rest = all.iter().map(String::as_str);
        let rest = rest.filter(|table| !["batch", "sqlite_sequence"].contains(table));
        for table in rest.chain(spools.then_some("sqlite_sequence")) {
            if table == "sqlite_sequence" {
                to.execute("DELETE FROM sqlite_sequence", [])?;
            }
            if let Err(error) = copy(&from, to, table) {
                lost.push(format!("a part of the table {table} ({error})"));
            }
        }
        to.execute_batch("COMMIT")?;
        to.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    for end in ["-wal", "-shm"] {
        let _ = std::fs::rename(beside(end), beside(&format!(".damaged{end}")));
    }
    // There is a file at every moment, because a server would make an empty one.
    std::fs::hard_link(path, &damaged)
        .or_else(|_| std::fs::rename(path, &damaged))
        .and_then(|()| std::fs::rename(&fresh, path))
        .with_context(|| format!("{}: cannot be renamed", path.display()))?;
    let _ = std::fs::remove_file(beside(".new-lock"));
    Ok((lost, damaged))
}

/// Returns the names of the tables.
fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut names = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    names.query_map([], |row| row.get(0))?.collect()
}

/// Copies the rows of a table until one cannot be read.
fn copy(from: &Connection, to: &Connection, table: &str) -> rusqlite::Result<()> {
    let mut select = from.prepare(&format!("SELECT * FROM {table}"))?;
    let columns = select.column_count();
    let places = vec!["?"; columns].join(", ");
    let mut insert = to.prepare(&format!("INSERT OR IGNORE INTO {table} VALUES ({places})"))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let values: Vec<Value> = (0..columns).map(|i| row.get(i)).collect::<Result<_, _>>()?;
        insert.execute(rusqlite::params_from_iter(values))?;
    }
    Ok(())
}
