//! Keeps what the publishing server shows in ClickHouse too, so that its file may be lost.
//!
//! A change is written here before it is written into the file. So the file never shows a number that ClickHouse does not
//! have, and a file that lacks changes, because it is new, an old copy, or the server ended between the two, gets them
//! from here at the next close.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::ClickHouse;
use crate::questions::changes::{self, Changes};
use crate::questions::{Seen, seen};
use crate::store::Store;

/// Changes that are read together. One may hold the rows of a day.
const TOGETHER: usize = 20;
/// How long a server waits for others that want to close days too, because each may have seen no other.
const OTHERS: Duration = Duration::from_secs(3);

impl ClickHouse {
    /// Says that this server wants to close days, if no server does. Returns whether none did.
    fn volunteer(&self) -> anyhow::Result<bool> {
        let is_free = self.publisher()?.is_none();
        if is_free {
            self.take_turn(1)?;
        }
        Ok(is_free)
    }

    /// Makes sure that this server is the one that closes days.
    fn has_turn(&self) -> anyhow::Result<()> {
        match self.publisher()? {
            Some((_, receiver)) if receiver == self.receiver => Ok(()),
            Some((_, receiver)) => bail!(
                "the server {receiver} closes the days of this ClickHouse, and only one can: start this one with \
                 --receive-only, or, if the file of that server is lost, stop this one and run `otel-usage serve take-over`"
            ),
            None => bail!("ClickHouse does not show yet that this server is to close its days"),
        }
    }

    /// Returns the server that closes days, and the number of its turn. Of two with one number it is the first by name.
    pub(super) fn publisher(&self) -> anyhow::Result<Option<(i64, String)>> {
        let last =
            "SELECT turn, receiver FROM usage_publisher ORDER BY turn DESC, receiver LIMIT 1";
        Ok(self.rows(last)?.into_iter().next())
    }

    /// Makes this server the one that closes days.
    pub(super) fn take_turn(&self, turn: i64) -> anyhow::Result<()> {
        let row = json!({"turn": turn, "receiver": self.receiver});
        self.insert("usage_publisher", &[row.to_string()])
    }

    /// Keeps changes. The ones that were kept under the same numbers are replaced.
    pub(crate) fn keep(&self, changes: &Changes) -> anyhow::Result<()> {
        let row = json!({
            "closed": changes.closed, "number": changes.number, "changes": changes.to_json()?,
        });
        self.insert("usage_published", &[row.to_string()])
    }

    /// Returns the last closed day and the last correction that are kept.
    pub(super) fn newest(&self) -> anyhow::Result<Option<(i64, i64)>> {
        let last =
            "SELECT closed, number FROM usage_published ORDER BY closed DESC, number DESC LIMIT 1";
        Ok(self.rows(last)?.into_iter().next())
    }

    /// Returns the next changes, in their order, and no more than some.
    pub(super) fn changes_after(&self, after: Option<(i64, i64)>) -> anyhow::Result<Vec<Changes>> {
        let after = after.map(|after| format!("WHERE (closed, number) > {after:?}"));
        let rows: Vec<(i64, i64, String)> = self.rows(&format!(
            "SELECT closed, number, changes FROM usage_published FINAL {} ORDER BY closed, number LIMIT {TOGETHER}",
            after.unwrap_or_default()
        ))?;
        let read = |(closed, number, text): (i64, i64, String)| {
            Changes::from_json((closed, number), &text).with_context(|| {
                format!(
                    "the changes {closed}, {number} in the table usage_published cannot be read"
                )
            })
        };
        rows.into_iter().map(read).collect()
    }
}

/// Asks on a thread that may wait.
async fn ask<T: Send + 'static>(
    clickhouse: &Arc<ClickHouse>,
    ask: impl FnOnce(&ClickHouse) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let clickhouse = Arc::clone(clickhouse);
    tokio::task::spawn_blocking(move || ask(&clickhouse)).await?
}

/// Makes this server the one that closes days, if no server is.
///
/// # Errors
///
/// Another one is, or ClickHouse cannot be asked.
async fn claim(clickhouse: &Arc<ClickHouse>) -> anyhow::Result<()> {
    if ask(clickhouse, ClickHouse::volunteer).await? {
        tokio::time::sleep(OTHERS).await;
    }
    ask(clickhouse, ClickHouse::has_turn).await
}

/// Returns the place of a file among the changes.
fn place((closed, number): Seen) -> Option<(i64, i64)> {
    closed.map(|closed| (closed, number))
}

/// Makes sure that this server closes days, and that its file and ClickHouse know the same of those that are closed.
///
/// # Errors
///
/// Another server closes days, ClickHouse cannot be asked, or the file cannot be written.
pub(crate) async fn catch_up(store: &Store, clickhouse: &Arc<ClickHouse>) -> anyhow::Result<()> {
    claim(clickhouse).await?;
    let ended = "the server ends";
    loop {
        let known = store.run(|core| seen(core.connection())).await.context(ended)??;
        let more = ask(clickhouse, move |asked| asked.changes_after(place(known))).await?;
        let Some(last) = more.last() else { break };
        tracing::warn!(
            changes = more.len(),
            closed = last.closed,
            "the file lacks published numbers, which are read from ClickHouse"
        );
        store.run(move |core| write(core.connection(), &more)).await.context(ended)??;
    }
    keep_older(store, clickhouse).await
}

/// Writes changes into a file.
pub(super) fn write(
    connection: &mut rusqlite::Connection,
    changes: &[Changes],
) -> anyhow::Result<()> {
    let transaction = connection.transaction()?;
    changes.iter().try_for_each(|changes| changes.write(&transaction))?;
    transaction.commit()?;
    Ok(())
}

/// Keeps what the file knows of closed days, if ClickHouse does not know it: the server has closed them without it.
async fn keep_older(store: &Store, clickhouse: &Arc<ClickHouse>) -> anyhow::Result<()> {
    let ended = "the server ends";
    let known = store.run(|core| seen(core.connection())).await.context(ended)??;
    let newest = ask(clickhouse, ClickHouse::newest).await?;
    if place(known) <= newest {
        return Ok(());
    }
    let days = store.run(|core| changes::days(core.connection())).await.context(ended)??;
    let mut rest = days.into_iter();
    loop {
        let next = rest.next();
        // The corrections come last, because they tell that everything is there.
        let read = move |core: &mut crate::store::Core| match next {
            Some(day) => changes::of_day(core.connection(), day).map(Some),
            None => changes::of_corrections(core.connection()),
        };
        let Some(changes) = store.run(read).await.context(ended)?? else { return Ok(()) };
        ask(clickhouse, move |asked| asked.keep(&changes)).await?;
        if next.is_none() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// The servers that want to close days.
    type Servers = Arc<Mutex<Vec<String>>>;

    fn server(name: &str, all: &Servers) -> Arc<ClickHouse> {
        let (name, all) = (name.to_owned(), Arc::clone(all));
        let own = name.clone();
        let ask = move |sql: &str| {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            if sql.starts_with("INSERT INTO usage_publisher") {
                all.push(name.clone());
            }
            let first = all.iter().min().filter(|_| sql.starts_with("SELECT turn"));
            Ok(first.map(|first| format!("[1, \"{first}\"]\n")).unwrap_or_default())
        };
        Arc::new(ClickHouse::of(&own, &[], Box::new(ask)))
    }

    #[tokio::test]
    async fn of_two_servers_that_want_to_close_days_at_once_one_does() {
        let all = Servers::default();
        let late = server("b", &all);
        let claiming = tokio::spawn(async move { claim(&late).await });
        while all.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The server `a` has read before `b` wrote, so both claim. The name of `a` comes first.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let first = server("a", &all);
        first.take_turn(1).unwrap();
        let error = claiming.await.unwrap().unwrap_err().to_string();
        assert!(error.contains("the server a closes the days"), "{error}");
        claim(&first).await.unwrap();
    }
}
