//! ClickHouse, where one machine is outgrown: the same questions over the tables that
//! `otel-usage schema --format clickhouse` writes.
//!
//! ```text
//!  front door ─► heard ─► writer ─► spool, synced ─► answer 200
//!                                     └──► deliver: inserts, in order ─► ClickHouse ─► questions ─► cubes (SQLite)
//! ```

mod again;
mod ask;
mod codes;
mod copy;
mod days;
mod deliver;
mod erase;
mod forget;
mod http;
mod keeper;
mod published;
mod quality;
mod quote;
mod sql;
mod tables;
mod take_over;

use anyhow::Context as _;
use otel_usage_schema::Contract;

use crate::questions::{Engine, Group, Source, Table, Which};

pub(crate) use self::again::{Sent, send_again};
pub use self::copy::{Copied, copy};
pub(crate) use self::deliver::Delivery;
pub(crate) use self::forget::forget;
pub(crate) use self::http::Http;
pub use self::keeper::Keeper;
pub(crate) use self::published::catch_up;
pub(crate) use self::quality::exchange;
use self::sql::Messages;
pub use self::tables::TABLES;
pub use self::take_over::{Taken, take_over};

/// Sends a query and returns the answer, one JSON array a line.
pub type Ask = Box<dyn Fn(&str) -> anyhow::Result<String> + Send + Sync>;

/// A ClickHouse that answers questions.
pub struct ClickHouse {
    ask: Ask,
    /// The name of the server that asks.
    receiver: String,
    messages: Messages,
}

impl std::fmt::Debug for ClickHouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClickHouse").finish_non_exhaustive()
    }
}

impl ClickHouse {
    /// Returns a ClickHouse that is asked by `ask` in the format `JSONCompactEachRow`.
    #[must_use]
    pub fn new(ask: Ask) -> Self {
        Self::of("a-test", &[], ask)
    }

    /// Returns a ClickHouse that a server of this name asks, which takes messages of these contracts beside the built-in
    /// ones.
    pub(crate) fn of(receiver: &str, own: &[Contract], ask: Ask) -> Self {
        Self { ask, receiver: receiver.to_owned(), messages: Messages::new(own) }
    }
}

impl Source for ClickHouse {
    fn groups(
        &self,
        table: &Table,
        engine: Engine,
        day: i64,
        which: Which,
    ) -> anyhow::Result<Vec<Group>> {
        let answer = (self.ask)(&sql::query(&self.messages, table, engine, day, which))?;
        answer.lines().filter(|line| !line.is_empty()).map(|line| group(table, line)).collect()
    }
}

/// Reads a row of an answer.
fn group(table: &Table, line: &str) -> anyhow::Result<Group> {
    type Row = (Vec<Option<String>>, (i64, i64), f64, Vec<f64>);
    let (reported, network, engines, amounts): Row =
        serde_json::from_str(line).with_context(|| format!("ClickHouse answers {line}"))?;
    anyhow::ensure!(
        reported.len() == table.keys.len().saturating_add(1)
            && amounts.len() == table.amounts.len(),
        "ClickHouse answers {line}"
    );
    let network = (network.0 >= 0).then_some(network);
    Ok(Group { reported, network, engines, amounts })
}
