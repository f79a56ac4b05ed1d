//! Asks ClickHouse for single values, and deletes rows.

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use super::ClickHouse;
use super::forget::count;

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
        let answer = self.run(&format!(
            "{sql} SETTINGS output_format_json_quote_64bit_integers = 0 FORMAT JSONCompactEachRow"
        ))?;
        let row = |line: &str| -> anyhow::Result<T> {
            let [value]: [T; 1] =
                serde_json::from_str(line).with_context(|| format!("ClickHouse answers {line}"))?;
            Ok(value)
        };
        answer.lines().filter(|line| !line.is_empty()).map(row).collect()
    }

    pub(super) fn run(&self, sql: &str) -> anyhow::Result<String> {
        (self.ask)(sql)
    }
}
