//! The counters of quality: those of this server, and the sums of the others with the same ClickHouse.

use rusqlite::{Connection, params};

use super::core::Core;

/// Day, name, label and count.
pub(crate) type Counter = (i64, String, String, i64);

/// The counters of this server.
const OWN: &str = "quality";
/// The counters of all servers, as a part of a query.
const ALL: &str = "(SELECT day, name, label, count FROM quality UNION ALL SELECT day, name, label, count FROM elsewhere)";

/// Returns the counters of all servers, as a part of a query, and how many other servers there are.
pub(crate) fn of_all(connection: &Connection) -> rusqlite::Result<(&'static str, i64)> {
    let exists = "SELECT count(*) FROM sqlite_schema WHERE name = 'elsewhere'";
    let exists: i64 = connection.query_row(exists, [], |row| row.get(0))?;
    if exists == 0 {
        return Ok((OWN, 0));
    }
    let servers = "SELECT coalesce(max(value), 0) FROM meta WHERE key = 'other_servers'";
    Ok((ALL, connection.query_row(servers, [], |row| row.get(0))?))
}

impl Core {
    /// Returns the counters of this server since a day.
    pub(crate) fn counters_since(&mut self, first: i64) -> rusqlite::Result<Vec<Counter>> {
        let select = "SELECT day, name, label, count FROM quality WHERE day >= ?1";
        let mut select = self.connection().prepare_cached(select)?;
        let row =
            |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        select.query_map([first], row)?.collect()
    }

    /// Replaces the sums of the other servers.
    pub(crate) fn keep_counters_of_others(
        &mut self,
        counters: &[Counter],
        servers: i64,
    ) -> rusqlite::Result<()> {
        let transaction = self.connection().transaction()?;
        transaction.execute("DELETE FROM elsewhere", [])?;
        let insert = "INSERT INTO elsewhere (day, name, label, count) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = transaction.prepare_cached(insert)?;
        for (day, name, label, count) in counters {
            insert.execute(params![day, name, label, count])?;
        }
        drop(insert);
        let set = "INSERT OR REPLACE INTO meta (key, value) VALUES ('other_servers', ?1)";
        transaction.execute(set, [servers])?;
        transaction.commit()
    }
}
