//! Lets a server take the place of the one that closed days, whose file is lost.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use otel_usage_schema::Contract;

use super::deliver::make;
use super::published::write;
use super::{ClickHouse, Keeper};
use crate::questions::changes::Changes;
use crate::questions::seen;
use crate::store::Core;

/// The numbers that were taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// The server that closed the days before.
    pub from: Option<String>,
    /// The last closed day, such as `2026-11-28`.
    pub closed: Option<String>,
    /// Numbered corrections.
    pub corrections: i64,
}

/// Makes the server with the file at `path` the one that closes days, and writes everything that was published into its
/// file. No server may use the file. It may be repeated.
///
/// # Errors
///
/// The file has closed days that ClickHouse does not know, it cannot be written, or ClickHouse cannot be asked.
pub async fn take_over(
    path: &Path,
    own: &[Contract],
    keeper: &Keeper,
    now: i64,
) -> anyhow::Result<Taken> {
    let mut core = Core::open(path, own, now)?;
    let name = core.start_to_spool(u64::MAX)?;
    let http = keeper.http()?;
    let away = |why: String| anyhow::anyhow!("ClickHouse at {} takes nothing: {why}", http.place());
    make(&http, &keeper.statements()).await.map_err(away)?;
    let clickhouse = Arc::new(ClickHouse::of(&name, own, http.asker()));
    let shown = path.display().to_string();
    // A question blocks the thread that asks.
    tokio::task::spawn_blocking(move || read_back(&mut core, &clickhouse, &name, &shown)).await?
}

fn read_back(
    core: &mut Core,
    clickhouse: &ClickHouse,
    name: &str,
    path: &str,
) -> anyhow::Result<Taken> {
    let known = seen(core.connection())?;
    let newest = clickhouse.newest()?;
    if known.0.map(|closed| (closed, known.1)) > newest {
        bail!(
            "{path}: this file has closed days that ClickHouse does not know, so it is not that of a server which takes a \
             place: name a new file with --data"
        );
    }
    let before = clickhouse.publisher()?;
    // The file may hold days of another server, so everything is written again.
    Changes::clear(core.connection())?;
    let mut after = None;
    loop {
        let more = clickhouse.changes_after(after)?;
        let Some(last) = more.last() else { break };
        after = Some((last.closed, last.number));
        write(core.connection(), &more).with_context(|| format!("{path}: cannot be written"))?;
    }
    let is_own = before.as_ref().is_some_and(|(_, receiver)| receiver == name);
    if !is_own {
        let turn = before.as_ref().map_or(0, |(turn, _)| *turn);
        clickhouse.take_turn(turn.saturating_add(1))?;
    }
    let (closed, corrections) = seen(core.connection())?;
    Ok(Taken {
        from: before.map(|(_, receiver)| receiver).filter(|_| !is_own),
        closed: closed.and_then(crate::store::time::date).map(|date| date.to_string()),
        corrections,
    })
}
