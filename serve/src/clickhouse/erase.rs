//! Erases the networks of closed days.
//!
//! Replicated tables refuse a deletion that asks another table, and the sessions of a day are too many to be named. So
//! the day moves to a table of its own, `usage_erasing`, as a whole: the networks of late sessions are copied back, and
//! the rest goes. A row that arrives meanwhile is in `usage_origin` and stays. If the server ends between two of these
//! steps, the next close goes on.

use super::ClickHouse;
use super::ask::OF_OWN;
use crate::questions::known;

impl ClickHouse {
    /// Erases the networks of closed days, but for those of late sessions, which wait for a correction.
    ///
    /// # Errors
    ///
    /// If ClickHouse cannot be asked.
    pub fn erase(&self, closed: i64) -> anyhow::Result<()> {
        let counted = format!("(SELECT day, session FROM usage_counted WHERE day <= {closed})");
        for day in self.numbers(&format!(
            "SELECT DISTINCT day FROM usage_origin WHERE day <= {closed} AND (day, session) IN {counted} ORDER BY day"
        ))? {
            self.run(&format!("ALTER TABLE usage_origin MOVE PARTITION {day} TO TABLE usage_erasing"))?;
        }
        for day in self.numbers("SELECT DISTINCT day FROM usage_erasing ORDER BY day")? {
            self.run(&format!(
                "INSERT INTO usage_origin SELECT day, session, key, origin FROM usage_erasing \
                 WHERE day = {day} AND session NOT IN (SELECT session FROM usage_counted WHERE day = {day}) \
                 SETTINGS {OF_OWN}"
            ))?;
            self.drop_day("usage_erasing", day)?;
        }
        self.drop_days("usage_start", closed)?;
        self.drop_days("usage_counted", closed.saturating_sub(known::COUNTED).saturating_sub(1))?;
        self.drop_days("usage_weight", closed.saturating_sub(known::WEIGHTS).saturating_sub(1))
    }

    /// Drops the days of a table up to `last`.
    fn drop_days(&self, table: &str, last: i64) -> anyhow::Result<()> {
        for day in self.numbers(&format!("SELECT DISTINCT day FROM {table} WHERE day <= {last}"))? {
            self.drop_day(table, day)?;
        }
        Ok(())
    }

    pub(super) fn drop_day(&self, table: &str, day: i64) -> anyhow::Result<()> {
        self.run(&format!("ALTER TABLE {table} DROP PARTITION {day}"))?;
        Ok(())
    }
}
