//! Deletes what has served its purpose: old batches, old sessions.

use super::core::Core;
use super::time;

/// How many days are kept. Cubes are kept for ever, because they name no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "two numbers that an operator may choose")]
pub struct Days {
    /// Days of batches.
    pub batches: u32,
    /// Days of sessions, since they were last heard of.
    pub sessions: u32,
}

impl Default for Days {
    fn default() -> Self {
        Self { batches: 90, sessions: 400 }
    }
}

/// Rows that one transaction deletes, so that new messages are not held up.
const PIECE: i64 = 5_000;

impl Core {
    /// Deletes some of what is too old. Returns whether there is more.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn retain(&mut self, keep: Days, now: i64) -> rusqlite::Result<bool> {
        let today = time::day(now);
        let (batches, sessions) = (
            today.saturating_sub(i64::from(keep.batches)),
            today.saturating_sub(i64::from(keep.sessions)),
        );
        let transaction = self.connection().transaction()?;
        let mut most = 0;
        let old = "SELECT id FROM batch WHERE day < ?1 LIMIT ?2";
        let gone = transaction
            .execute(&format!("DELETE FROM batch WHERE id IN ({old})"), [batches, PIECE])?;
        if gone > 0 {
            let set = "INSERT INTO meta (key, value) VALUES ('kept_from', ?1) \
                ON CONFLICT DO UPDATE SET value = max(value, excluded.value)";
            transaction.execute(set, [batches])?;
            // The next batch may get the number of one that is gone. It must not pass for one that is projected: what is
            // left is, because the projection is up to date before this.
            transaction.execute(
                "UPDATE meta SET value = min(value, (SELECT coalesce(max(id), 0) FROM batch)) WHERE key = 'projected'",
                [],
            )?;
        }
        most = most.max(gone);
        // A day's rows lie together.
        let old = "SELECT day, session FROM presence WHERE day < ?1 LIMIT ?2";
        let delete = format!("DELETE FROM presence WHERE (day, session) IN ({old})");
        let days = transaction.execute(&delete, [sessions, PIECE])?;
        most = most.max(days);
        // A session goes after its days, because its number is given to another one.
        if i64::try_from(days).unwrap_or(PIECE) < PIECE {
            let end = sessions.saturating_mul(time::DAY);
            transaction.execute_batch(
                "CREATE TEMP TABLE IF NOT EXISTS gone (id INTEGER PRIMARY KEY); DELETE FROM gone",
            )?;
            let old = "INSERT INTO gone SELECT id FROM session WHERE last < ?1 LIMIT ?2";
            most = most.max(transaction.execute(old, [end, PIECE])?);
            for (table, key) in [("facet", "session"), ("interval", "session"), ("session", "id")] {
                let delete = format!("DELETE FROM {table} WHERE {key} IN (SELECT id FROM gone)");
                transaction.execute(&delete, [])?;
            }
        }
        transaction.execute("DELETE FROM quality WHERE day < ?1", [sessions])?;
        transaction.commit()?;
        if most > 0 {
            // A session that is gone must not be found by its number, also if what follows fails.
            self.known = super::known::Known::new();
        }
        self.retain_aside(batches)?;
        Ok(i64::try_from(most).unwrap_or(PIECE) >= PIECE)
    }

    /// Deletes the texts that no row names any more, such as names of models of deleted sessions, once a day, because it
    /// reads every session.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn forget_words(&mut self, now: i64) -> rusqlite::Result<()> {
        let transaction = self.connection().transaction()?;
        let today = "INSERT INTO meta (key, value) VALUES ('words_from', ?1) \
            ON CONFLICT DO UPDATE SET value = excluded.value WHERE value < excluded.value";
        if transaction.execute(today, [time::day(now)])? == 0 {
            return Ok(());
        }
        let used = "SELECT engine FROM session UNION SELECT contract FROM session \
            UNION SELECT name FROM facet UNION SELECT value FROM facet \
            UNION SELECT message FROM interval UNION SELECT series FROM interval \
            UNION SELECT engine FROM start UNION SELECT contract FROM start";
        transaction.execute(&format!("DELETE FROM word WHERE id NOT IN ({used})"), [])?;
        transaction.commit()?;
        self.known = super::known::Known::new();
        Ok(())
    }
}
