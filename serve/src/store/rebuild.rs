//! Makes the projection again from the batches that are kept.
//!
//! Sessions keep their numbers, because the origins of open days name them. A session that began before the first day
//! whose batches are kept is left as it is: its messages are added once more, which changes nothing. So is a session of
//! a contract that is not known here, because nothing could make it again. Cubes of closed days, tombstones and what was
//! imported are not touched.

use super::core::Core;
use super::time;

/// A time after all others, which marks sessions that no message has named again yet.
const NEVER: i64 = i64::MAX;

impl Core {
    /// Makes the projection again. Returns the number of messages in the batches.
    ///
    /// A rebuild that is interrupted goes on at the next start.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written.
    pub fn rebuild(&mut self, now: i64) -> rusqlite::Result<i64> {
        self.project(now)?;
        let known = serde_json::json!(self.shapes.contracts().collect::<Vec<_>>()).to_string();
        let transaction = self.connection().transaction()?;
        let kept_from: i64 = transaction.query_row(
            "SELECT coalesce((SELECT value FROM meta WHERE key = 'kept_from'), -1)",
            [],
            |row| row.get(0),
        )?;
        // Engines' clocks may go ahead by ten minutes, so a session of the first minutes may be older.
        let covered = if kept_from < 0 {
            i64::MIN
        } else {
            kept_from.saturating_mul(time::DAY).saturating_add(600_000)
        };
        // The contracts that are known here, as numbers.
        let contracts = "SELECT id FROM word WHERE text IN (SELECT value FROM json_each(?2))";
        let made_again = format!("first >= ?1 AND contract IN ({contracts})");
        for table in ["facet", "presence", "interval"] {
            let delete = format!(
                "DELETE FROM {table} WHERE session IN (SELECT id FROM session WHERE {made_again})"
            );
            transaction.execute(&delete, (covered, &known))?;
        }
        let reset = format!(
            "UPDATE session SET first = ?3, last = ?4, beats = 0, reported = 0, machine = NULL WHERE {made_again}"
        );
        transaction.execute(&reset, (covered, &known, NEVER, i64::MIN))?;
        // A label is a contract, or a contract and a message.
        transaction.execute(
            "DELETE FROM quality WHERE name IN ('received', 'skewed', 'start') AND day >= ?1
                AND substr(label, 1, instr(label || ' ', ' ') - 1) IN (SELECT value FROM json_each(?2))",
            (kept_from, &known),
        )?;
        transaction
            .execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('projected', 0)", [])?;
        transaction
            .execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('rebuilding', 1)", [])?;
        let messages =
            transaction
                .query_row("SELECT coalesce(sum(messages), 0) FROM batch", [], |row| row.get(0))?;
        transaction.commit()?;
        self.start_over();
        self.project(now)?;
        Ok(messages)
    }

    /// Ends a rebuild: removes the sessions that no message has named again.
    pub(crate) fn end_rebuild(&mut self) -> rusqlite::Result<()> {
        let transaction = self.connection().transaction()?;
        let rebuilding = "DELETE FROM meta WHERE key = 'rebuilding'";
        if transaction.execute(rebuilding, [])? > 0 {
            let gone = "SELECT id FROM session WHERE first = ?1";
            transaction
                .execute(&format!("DELETE FROM origin WHERE session IN ({gone})"), [NEVER])?;
            transaction.execute("DELETE FROM session WHERE first = ?1", [NEVER])?;
        }
        transaction.commit()
    }
}
