//! Rows that ClickHouse refused while it took others. They wait for a person, who has them sent again or thrown away.

use std::collections::HashSet;

use rusqlite::{Connection, params};
use serde_json::{Value, json};
use uuid::Uuid;

use super::core::{Core, hash};
use super::identity::identity;
use super::time;

/// Bytes of rows that are kept. Of more only the number is known.
const MOST: i64 = 16 << 20;
/// Rows that are sent together.
const TOGETHER: i64 = 1_000;

/// A row that ClickHouse refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aside {
    pub(crate) table: String,
    pub(crate) why: String,
    pub(crate) row: String,
}

/// Rows that are sent again together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Again {
    /// A name of these numbers of this server.
    pub(crate) name: String,
    pub(crate) table: String,
    ids: Vec<i64>,
    pub(crate) rows: Vec<String>,
}

impl Again {
    pub(crate) fn last(&self) -> i64 {
        self.ids.last().copied().unwrap_or(i64::MAX)
    }
}

/// Puts rows aside, as far as there is room. Returns how many there was no room for.
pub(super) fn put(connection: &Connection, aside: &[Aside], now: i64) -> rusqlite::Result<i64> {
    let (_, mut bytes) = size(connection)?;
    let mut lost = 0_i64;
    let insert = "INSERT INTO aside (day, name, why, row) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = connection.prepare_cached(insert)?;
    for Aside { table, why, row } in aside {
        bytes = bytes.saturating_add(i64::try_from(row.len()).unwrap_or(i64::MAX));
        if bytes > MOST {
            lost = lost.saturating_add(1);
            continue;
        }
        insert.execute(params![time::day(now), table, why, row])?;
    }
    Ok(lost)
}

/// Returns whether a row names an identity that was deleted.
pub(super) fn is_forgotten(forgotten: &HashSet<[u8; 32]>, row: &str) -> bool {
    fn names(forgotten: &HashSet<[u8; 32]>, value: &Value) -> bool {
        match value {
            Value::String(text) => identity(text).is_some_and(|id| forgotten.contains(&hash(&id))),
            Value::Array(all) => all.iter().any(|one| names(forgotten, one)),
            Value::Object(all) => all.values().any(|one| names(forgotten, one)),
            _ => false,
        }
    }
    !forgotten.is_empty()
        && serde_json::from_str(row).is_ok_and(|value: Value| names(forgotten, &value))
}

/// Returns how many rows are aside, and their bytes.
pub(super) fn size(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let sums = "SELECT count(*), coalesce(sum(length(CAST(row AS BLOB))), 0) FROM aside";
    connection.prepare_cached(sums)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}

impl Core {
    /// Returns the next rows of one table to send again.
    pub(crate) fn next_aside(&mut self, after: i64) -> rusqlite::Result<Option<Again>> {
        if after == 0 {
            self.forget_aside(None)?;
        }
        let mut again = Again::default();
        let select = "SELECT id, name, row FROM aside WHERE id > ?1 ORDER BY id LIMIT ?2";
        let mut select = self.held().prepare_cached(select)?;
        let mut rows = select.query([after, TOGETHER])?;
        while let Some(row) = rows.next()? {
            let table: String = row.get(1)?;
            if again.ids.is_empty() {
                again.table = table;
            } else if again.table != table {
                break;
            }
            again.ids.push(row.get(0)?);
            again.rows.push(row.get(2)?);
        }
        let Some((first, last)) = again.ids.first().zip(again.ids.last()) else { return Ok(None) };
        let server = self.spool.as_ref().map_or("", |spool| spool.name.as_str());
        again.name = format!("{server}-aside-{first}-{last}");
        Ok(Some(again))
    }

    /// Returns the rows as lines of JSON.
    pub(crate) fn list_aside(&mut self) -> rusqlite::Result<String> {
        let select = "SELECT day, name, why, row FROM aside ORDER BY id";
        let mut select = self.connection().prepare(select)?;
        let mut rows = select.query([])?;
        let mut lines = String::new();
        while let Some(row) = rows.next()? {
            let day = time::date(row.get(0)?).map(|date| date.to_string());
            let (table, why, row): (String, String, String) =
                (row.get(1)?, row.get(2)?, row.get(3)?);
            let line = json!({"day": day, "table": table, "why": why, "row": row});
            lines.push_str(&format!("{line}\n"));
        }
        Ok(lines)
    }

    /// Removes rows that ClickHouse has now. The refused ones stay. Returns how many are gone.
    pub(crate) fn end_again(
        &mut self,
        again: &Again,
        refused: &[Aside],
    ) -> rusqlite::Result<usize> {
        let refused: HashSet<&str> = refused.iter().map(|aside| aside.row.as_str()).collect();
        let transaction = self.connection().transaction()?;
        let mut gone = 0_usize;
        for (id, row) in again.ids.iter().zip(&again.rows) {
            if !refused.contains(row.as_str()) {
                // Another row may have the number by now.
                let delete = "DELETE FROM aside WHERE id = ?1 AND row = ?2";
                let deleted = transaction.prepare_cached(delete)?.execute((id, row))?;
                gone = gone.saturating_add(deleted);
            }
        }
        transaction.commit()?;
        self.tell_aside()?;
        Ok(gone)
    }

    /// Throws all rows away. Returns how many there were.
    pub(crate) fn discard_aside(&mut self) -> rusqlite::Result<usize> {
        let gone = self.connection().execute("DELETE FROM aside", [])?;
        self.tell_aside()?;
        Ok(gone)
    }

    /// Deletes rows of days before `first`.
    pub(super) fn retain_aside(&mut self, first: i64) -> rusqlite::Result<()> {
        if self.spool.is_some() {
            self.connection().execute("DELETE FROM aside WHERE day < ?1", [first])?;
            self.tell_aside()?;
        }
        Ok(())
    }

    /// Deletes the rows of identities that were deleted, and those that hold the text of `id`. Returns how many of them
    /// are messages.
    pub(crate) fn forget_aside(&mut self, id: Option<Uuid>) -> rusqlite::Result<usize> {
        let text = id.map(|id| id.hyphenated().to_string());
        let mut gone: Vec<(i64, String)> = Vec::new();
        {
            let mut select = self.held().prepare("SELECT id, name, row FROM aside")?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let json: String = row.get(2)?;
                let holds = text.as_ref().is_some_and(|text| json.to_lowercase().contains(text));
                if holds || is_forgotten(self.forgotten(), &json) {
                    gone.push((row.get(0)?, row.get(1)?));
                }
            }
        }
        let transaction = self.connection().transaction()?;
        for (id, _) in &gone {
            transaction.prepare_cached("DELETE FROM aside WHERE id = ?1")?.execute([id])?;
        }
        transaction.commit()?;
        self.tell_aside()?;
        Ok(gone.iter().filter(|(_, table)| table != "usage_origin").count())
    }

    /// Tells readers how many rows are aside.
    pub(super) fn tell_aside(&mut self) -> rusqlite::Result<()> {
        let (rows, bytes) = size(self.connection())?;
        if let Some(spool) = &self.spool {
            spool.tell(|waits| {
                (waits.aside, waits.aside_bytes) = (rows.unsigned_abs(), bytes.unsigned_abs());
            });
        }
        Ok(())
    }
}
