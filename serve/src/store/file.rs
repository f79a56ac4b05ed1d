//! The file of the store: opened by one process at a time, made if it is not there, and never one of something else.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::SCHEMA;

/// Marks a file of SQLite as one of this program.
const APPLICATION: i32 = 0x6f74_7561;
/// The format of the tables. A program whose tables are others has another number, and each refuses the files of the
/// other.
const FORMAT: i32 = 1;

/// Pages of the log after which it is written into the file: 16 MiB. The default of 4 MiB syncs four times as often.
const CHECKPOINT: i32 = 4096;

/// A file that this process alone writes to, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) connection: Connection,
    // The lock goes last.
    _lock: File,
}

/// Opens or makes the file at `path`.
///
/// # Errors
///
/// Names the file and the remedy: another process has it, it is no store, it is of a newer program, it cannot be
/// written.
pub(crate) fn open(path: &Path) -> anyhow::Result<Held> {
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        bail!("{}: it is no file: name a file with --data", path.display());
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).with_context(|| {
            format!(
                "{}: the folder cannot be made: name another file with --data",
                folder.display()
            )
        })?;
    }
    let lock = lock(path)?;
    let named = || {
        format!(
            "{}: cannot be opened: name a file in a folder that this user can write",
            path.display()
        )
    };
    // SQLite would make it for everybody to read, and gives its log the same permissions.
    private(path).with_context(named)?;
    let connection = Connection::open(path).with_context(named)?;
    prepare(&connection, path)?;
    Ok(Held { connection, _lock: lock })
}

/// Makes the file if it is not there, for this user only, because it holds identities.
pub(crate) fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

impl Drop for Held {
    /// Moves everything into the file, so that a copy of it alone is whole. A page that is being made may still read
    /// from the log, which then stays, empty.
    fn drop(&mut self) {
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

/// Opens the file for questions only. It needs no lock, because SQLite gives each reader a state of its own.
///
/// # Errors
///
/// The file is not there, or is no store.
pub fn open_to_read(path: &Path) -> anyhow::Result<Connection> {
    let connection = read_only(path).with_context(|| {
        format!("{}: cannot be read: name the file with --data", path.display())
    })?;
    check_kind(&connection, path)?;
    Ok(connection)
}

/// Opens the file for reading, whatever it is.
pub(crate) fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    plan_once(&connection)?;
    Ok(connection)
}

/// Makes SQLite plan each statement once. It would else plan some again for each value that they are given, although it
/// has no statistics of these tables to choose by.
pub(crate) fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}

/// Returns where the lock of a file is: beside the file itself and not beside a link to it, because two servers may
/// know one file by two names.
fn lock_of(path: &Path) -> PathBuf {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = real.into_os_string();
    name.push("-lock");
    PathBuf::from(name)
}

pub(crate) fn lock(path: &Path) -> anyhow::Result<File> {
    let place = lock_of(path);
    let file = private(&place).with_context(|| {
        format!(
            "{}: cannot be made: name a file in a folder that this user can write",
            place.display()
        )
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "{}: another otel-usage serve uses this file: stop it first, or name another file with --data",
            path.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{}: cannot be locked", place.display()))
        }
    }
}

fn prepare(connection: &Connection, path: &Path) -> anyhow::Result<()> {
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| unreadable(path, error))?;
    if tables == 0 {
        let application: i32 =
            connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        if application != 0 && application != APPLICATION {
            bail!(
                "{}: it is of another program, which has not made its tables yet: name another file with --data",
                path.display()
            );
        }
        connection.pragma_update(None, "application_id", APPLICATION)?;
        connection.pragma_update(None, "user_version", FORMAT)?;
    } else {
        check_kind(connection, path)?;
    }
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(|error| unreadable(path, error))?;
    if mode != "wal" {
        bail!("{}: SQLite cannot keep its log beside it: put it on a local disk", path.display());
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
    // A deleted origin or session must not stay in free pages.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "cache_size", -32 * 1024)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    plan_once(connection)?;
    connection.set_prepared_statement_cache_capacity(64);
    if tables == 0 {
        let all = format!("BEGIN;{SCHEMA};COMMIT;");
        connection.execute_batch(&all).map_err(|error| unreadable(path, error))?;
    }
    Ok(())
}

/// Says why a file cannot be used, and what to do.
pub(crate) fn unreadable(path: &Path, error: rusqlite::Error) -> anyhow::Error {
    let shown = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => anyhow::anyhow!(
            "{shown}: it is no store of otel-usage, or its beginning is damaged: name another file with --data, or put a \
             backup in its place"
        ),
        Some(ErrorCode::DiskFull) => anyhow::anyhow!("{shown}: the disk is full: make room on it"),
        // SQLite keeps its log beside the file, also for a reader.
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            anyhow::anyhow!(
                "{shown}: this user may not write to it or to its folder: run this as the user of the server"
            )
        }
        _ => anyhow::Error::from(error)
            .context(format!("{shown}: cannot be read: try `otel-usage serve check`")),
    }
}

/// Checks that a file is a store in the format of this program.
pub(crate) fn check_format(connection: &Connection, path: &Path) -> anyhow::Result<()> {
    let number = |name| -> anyhow::Result<i32> {
        let found = connection.pragma_query_value(None, name, |row| row.get(0));
        found.map_err(|error| unreadable(path, error))
    };
    let shown = path.display();
    if number("application_id")? != APPLICATION {
        bail!("{shown}: it is no store of otel-usage: name another file with --data");
    }
    let format = number("user_version")?;
    if format != FORMAT {
        let age = if format > FORMAT { "a newer" } else { "an older" };
        bail!(
            "{shown}: {age} otel-usage has written it, in format {format}, and this one reads format {FORMAT}: use that one"
        );
    }
    Ok(())
}

/// Checks that a file is a store with the tables of this program.
fn check_kind(connection: &Connection, path: &Path) -> anyhow::Result<()> {
    check_format(connection, path)?;
    let shown = path.display();
    // A program between two releases may have changed a table under the same number.
    let own = Connection::open_in_memory()?;
    own.execute_batch(SCHEMA)?;
    let found = columns(connection)?;
    if let Some(column) = columns(&own)?.iter().find(|column| !found.contains(*column)) {
        bail!(
            "{shown}: another version of otel-usage has written it, and the column {column} is missing: use that one"
        );
    }
    Ok(())
}

/// Returns every column as `table.column`.
fn columns(connection: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    let mut columns = connection.prepare(
        "SELECT one.name || '.' || of.name FROM sqlite_schema one, pragma_table_info(one.name) of WHERE one.type = 'table'",
    )?;
    columns.query_map([], |row| row.get(0))?.collect()
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn each_trouble_with_a_file_has_its_remedy() {
        for (code, remedy) in [
            (ffi::SQLITE_FULL, "the disk is full: make room on it"),
            (ffi::SQLITE_READONLY, "run this as the user of the server"),
            (ffi::SQLITE_CANTOPEN, "run this as the user of the server"),
            (ffi::SQLITE_NOTADB, "put a backup in its place"),
            (ffi::SQLITE_CORRUPT, "try `otel-usage serve check`"),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            let told = unreadable(Path::new("usage.db"), error).to_string();
            assert!(told.starts_with("usage.db: ") && told.ends_with(remedy), "{told}");
        }
    }
}
