//! Where the pages get their numbers: the data file, through connections that can only read.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rusqlite::{Connection, OpenFlags};

use super::quality::{self, Quality};
use crate::clickhouse::ClickHouse;
use crate::questions::files::Checksums;
use crate::questions::{self, Filter, Report};
use crate::store::plan_once;

/// How long a page waits for the writer of the file.
const PATIENCE: Duration = Duration::from_secs(2);

/// The data file, and whose numbers are asked for.
#[derive(Debug)]
pub(crate) struct Source {
    data: PathBuf,
    /// The numbers of maintainers: of today too, and under no rule of publication.
    pub(crate) internal: bool,
    /// Where the messages are, if not in the file.
    clickhouse: Option<Arc<ClickHouse>>,
    idle: Mutex<Vec<Connection>>,
    checksums: Mutex<Checksums>,
}

impl Source {
    pub(crate) fn new(data: &Path, internal: bool) -> Self {
        Self {
            data: data.to_owned(),
            internal,
            clickhouse: None,
            idle: Mutex::default(),
            checksums: Mutex::default(),
        }
    }

    /// Makes the numbers of maintainers come from ClickHouse.
    pub(crate) fn ask(&mut self, clickhouse: Arc<ClickHouse>) {
        self.clickhouse = Some(clickhouse);
    }

    pub(crate) fn report(&self, filter: &Filter, now: i64) -> anyhow::Result<Report> {
        self.read(|connection| match (self.internal, &self.clickhouse) {
            (true, Some(clickhouse)) => questions::live_in(&**clickhouse, filter, now),
            (true, None) => questions::live(connection, filter, now),
            (false, _) => questions::report(connection, filter, now),
        })
    }

    pub(crate) fn quality(&self, now: i64) -> anyhow::Result<Quality> {
        self.read(|connection| Ok(quality::read(connection, now, self.internal)?))
    }

    /// Returns the checksums of the files of days.
    pub(crate) fn checksums(&self) -> anyhow::Result<String> {
        let mut known = self.checksums.lock().unwrap_or_else(PoisonError::into_inner);
        let text = self.read(|connection| known.text(connection));
        if text.is_err() {
            // The next connection may read another file.
            *known = Checksums::default();
        }
        text
    }

    /// Reads from a connection that no other reader uses now.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open()?,
        };
        let found = read(&connection);
        // After an error the connection is closed, because the file may be another one by now.
        if found.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        found
    }

    fn open(&self) -> anyhow::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.data, flags)
            .with_context(|| format!("cannot read {}", self.data.display()))?;
        connection.busy_timeout(PATIENCE)?;
        plan_once(&connection)?;
        if self.internal {
            // The rows of some days, which are read for many tables.
            connection.pragma_update(None, "cache_size", -16 * 1024)?;
        }
        Ok(connection)
    }
}
