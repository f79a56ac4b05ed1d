//! Asks ClickHouse for single values, and deletes rows.

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use super::ClickHouse;
use super::forget::count;

/// Settings of an insert that is no delivery. A replicated table would leave out rows that it has had before.
pub(super) const OF_OWN: &str = "async_insert = 0, insert_deduplicate = 0";

impl ClickHouse {
    /// Deletes rows, also from the disk once ClickHouse has written the rest again. Returns how many there were.
    pub(super) fn delete(&self, table: &str, rows: &str) -> anyhow::Result<usize> {
        let found = count(self.number(&format!("SELECT count() FROM {table} WHERE {rows}"))?);
        // A deletion writes the rest of a part again, so it must not be asked for in vain.
        if found > 0 {
            self.run(&format!(
                "ALTER TABLE {table} DELETE WHERE {rows} SETTINGS mutations_sync = 2"
            ))?;
        }
        Ok(found)
    }

    pub(super) fn number(&self, sql: &str) -> anyhow::Result<Option<i64>> {
        Ok(self.numbers(sql)?.into_iter().next())
    }

    /// Returns a column of numbers, without those that are missing.
    pub(super) fn numbers(&self, sql: &str) -> anyhow::Result<Vec<i64>> {
        Ok(self.column::<Option<i64>>(sql)?.into_iter().flatten().collect())
    }

    pub(super) fn texts(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        self.column(sql)
    }

    fn column<T: DeserializeOwned>(&self, sql: &str) -> anyhow::Result<Vec<T>> {
        Ok(self.rows::<[T; 1]>(sql)?.into_iter().map(|[value]| value).collect())
    }

    /// Returns rows of several columns.
    pub(super) fn rows<T: DeserializeOwned>(&self, sql: &str) -> anyhow::Result<Vec<T>> {
        let answer = self.run(&format!(
            "{sql} SETTINGS output_format_json_quote_64bit_integers = 0 FORMAT JSONCompactEachRow"
        ))?;
        let row = |line: &str| {
            serde_json::from_str(line)
                .with_context(|| format!("ClickHouse answers {:.200}", line.trim()))
        };
        answer.lines().filter(|line| !line.is_empty()).map(row).collect()
    }

    /// Inserts rows, each a JSON object. A row that comes again replaces itself, so ClickHouse does not look whether it
    /// knows the insert.
    pub(super) fn insert(&self, table: &str, rows: &[String]) -> anyhow::Result<()> {
        self.run(&format!(
            "INSERT INTO {table} SETTINGS {OF_OWN} FORMAT JSONEachRow\n{}\n",
            rows.join("\n")
        ))?;
        Ok(())
    }

    pub(super) fn run(&self, sql: &str) -> anyhow::Result<String> {
        (self.ask)(sql)
    }
}
