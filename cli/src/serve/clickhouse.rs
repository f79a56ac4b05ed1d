//! Where ClickHouse is, for the commands that use it.

use std::path::Path;

use anyhow::Context as _;
use bytesize::ByteSize;
use otel_usage::Contract;
use otel_usage_serve::clickhouse::{Keeper, TABLES};

use crate::{exit, output, schema, service};

/// Where ClickHouse is.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// ClickHouse, which keeps the messages while the file has those that wait for it: clickhouse http://HOST:8123/DATABASE
    ///
    /// User and password stand in the URL, or in CLICKHOUSE_USER and CLICKHOUSE_PASSWORD, which other users of the
    /// machine do not see.
    #[arg(long, num_args = 2, value_names = ["KIND", "URL"])]
    store: Option<Vec<String>>,
}

/// Where messages are kept.
#[derive(Debug, clap::Args)]
pub(super) struct Store {
    #[command(flatten)]
    place: Place,
    /// Most bytes of messages that may wait for ClickHouse. When it is full, senders are asked to wait
    #[arg(long, value_name = "SIZE", default_value = "256MiB", requires = "store")]
    spool_bytes: ByteSize,
    /// Leave the closing of days and the page to another server with the same ClickHouse
    #[arg(long, requires = "store")]
    receive_only: bool,
}

impl Place {
    /// Returns the ClickHouse that was named, for a command that needs one.
    fn named(&self, own: &[Contract]) -> anyhow::Result<Keeper> {
        self.keeper(own)?
            .context("no ClickHouse is named: write --store clickhouse http://host:8123/database")
    }

    /// Returns the ClickHouse that was named.
    fn keeper(&self, own: &[Contract]) -> anyhow::Result<Option<Keeper>> {
        let Some([kind, address]) = self.store.as_deref() else { return Ok(None) };
        anyhow::ensure!(
            kind == "clickhouse",
            "--store {kind}: only ClickHouse can be named: --store clickhouse http://host:8123/database"
        );
        let variable = |name: &str| {
            #[expect(clippy::disallowed_methods, reason = "ClickHouse's own variables")]
            std::env::var(name).ok()
        };
        let mut keeper = Keeper::new(address, messages(own));
        keeper.user = variable("CLICKHOUSE_USER");
        keeper.password = variable("CLICKHOUSE_PASSWORD");
        Ok(Some(keeper))
    }
}

impl Store {
    /// Returns the ClickHouse that was named.
    pub(super) fn keeper(&self, own: &[Contract]) -> anyhow::Result<Option<Keeper>> {
        let keeper = self.place.keeper(own)?;
        Ok(keeper.map(|mut keeper| {
            keeper.spool_bytes = self.spool_bytes.as_u64();
            keeper.receive_only = self.receive_only;
            keeper
        }))
    }
}

/// Copies a file to ClickHouse.
pub(super) fn copy(path: &Path, place: &Place, own: &[Contract], now: i64) -> anyhow::Result<u8> {
    let keeper = place.named(own)?;
    let mut told = 0;
    let mut progress = |messages: i64| {
        if messages >= told {
            output::note(&format!("{messages} messages are copied"));
            told = messages.saturating_add(1_000_000);
        }
    };
    let copied = otel_usage_serve::clickhouse::copy(path, own, &keeper, now, &mut progress);
    let done = service::runtime("copy")?.block_on(copied)?;
    output::print(&format!("{} messages copied, {} refused\n", done.messages, done.refused))?;
    Ok(if done.refused == 0 { exit::SUCCESS } else { exit::ERROR })
}

/// Lets the server of a file close days in ClickHouse.
pub(super) fn take_over(
    path: &Path,
    place: &Place,
    own: &[Contract],
    now: i64,
) -> anyhow::Result<u8> {
    let keeper = place.named(own)?;
    let taken = otel_usage_serve::clickhouse::take_over(path, own, &keeper, now);
    let taken = service::runtime("take-over")?.block_on(taken)?;
    let closed = taken.closed.map_or_else(
        || "no day is closed yet".to_owned(),
        |day| format!("days up to {day} and {} corrections were read back", taken.corrections),
    );
    let from = taken.from.map(|name| format!(", in the place of {name}")).unwrap_or_default();
    output::print(&format!("this server closes the days now{from}; {closed}\n"))?;
    Ok(exit::SUCCESS)
}

/// Returns the statements that make all tables.
pub(super) fn statements(own: &[Contract]) -> Vec<String> {
    messages(own).into_iter().chain(TABLES.map(str::to_owned)).collect()
}

/// Returns the statements that make the tables of messages: those of the built-in contracts and of `own`, which replace
/// built-in ones of the same id.
fn messages(own: &[Contract]) -> Vec<String> {
    let built_in = Contract::built_in();
    let built_in = built_in.into_iter().filter(|c| own.iter().all(|own| own.id != c.id));
    let all: Vec<Contract> = built_in.chain(own).cloned().collect();
    schema::tables(&all)
}
