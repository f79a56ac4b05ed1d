//! Closes days whose messages are in ClickHouse: it counts there, and the numbers go into the file of the server that
//! publishes.
//!
//! Which sessions are counted is written before the numbers are. If the server ends between the two, the day is counted
//! again: a day that is closed counts every session, and late sessions of a correction are left out of it.

use super::ClickHouse;
use super::ask::OF_OWN;
use crate::questions::{Days, Engine, InFile, Starts};

impl ClickHouse {
    /// Notes the sessions of a day as counted: those that were heard of on it, and those of a known network.
    fn note(&self, engine: Engine, day: i64) -> anyhow::Result<()> {
        self.run(&format!(
            "INSERT INTO usage_counted (day, session) SELECT DISTINCT {day}, id FROM ({}) WHERE \
             (kind IN ('beat', 'interval') AND intDiv(time, 86400000) = {day}) \
             OR id IN (SELECT session FROM usage_origin WHERE day = {day}) SETTINGS {OF_OWN}",
            self.messages.heard_of(engine),
        ))?;
        Ok(())
    }

    /// Notes what the starts of a day count in networks with many of them.
    fn weigh(&self, day: i64, starts: &Starts) -> anyhow::Result<()> {
        for engine in Engine::ALL {
            let networks: Vec<String> = starts
                .iter()
                .filter(|(of, ..)| *of == engine)
                .map(|(_, (key, origin), weight)| format!("({key}, {origin}, {weight:?})"))
                .collect();
            // A statement has a largest size.
            for some in networks.chunks(1_000) {
                self.run(&format!(
                    "INSERT INTO usage_weight SELECT {day}, id, weight FROM (
    SELECT session AS id, min((key, origin)) AS network FROM usage_origin WHERE day = {day} GROUP BY session
) AS known INNER JOIN values('key Int64, origin UInt32, weight Float64', {}) AS weights
ON known.network.1 = weights.key AND known.network.2 = weights.origin
WHERE id IN (SELECT id FROM ({}) GROUP BY id HAVING intDiv(min(time), 86400000) = {day})
SETTINGS {OF_OWN}",
                    some.join(", "),
                    self.messages.heard_of(engine),
                ))?;
            }
        }
        Ok(())
    }
}

impl Days for ClickHouse {
    fn first(&self, beginning: i64) -> anyhow::Result<Option<i64>> {
        let first = |table| {
            self.number(&format!("SELECT minOrNull(day) FROM {table} WHERE day >= {beginning}"))
        };
        let (origin, start) = (first("usage_origin")?, first("usage_start")?);
        Ok(origin.into_iter().chain(start).min())
    }

    fn late(&self, closed: Option<i64>) -> anyhow::Result<Vec<i64>> {
        let Some(closed) = closed else { return Ok(Vec::new()) };
        // Networks that an earlier close could not erase are not late.
        self.erase(closed)?;
        let days =
            format!("SELECT DISTINCT day FROM usage_origin WHERE day <= {closed} ORDER BY day");
        self.numbers(&days)
    }

    fn closes(&self, day: i64, starts: &Starts) -> anyhow::Result<InFile> {
        self.weigh(day, starts)?;
        for engine in Engine::ALL {
            self.note(engine, day)?;
        }
        Ok((Vec::new(), Vec::new()))
    }

    fn revises(&self, day: i64, engine: Engine) -> anyhow::Result<Vec<i64>> {
        self.note(engine, day)?;
        Ok(Vec::new())
    }

    fn forgets(&self, day: i64) -> anyhow::Result<()> {
        self.drop_day("usage_origin", day)
    }
}
