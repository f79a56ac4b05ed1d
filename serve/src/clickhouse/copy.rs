//! Copies what the file of a server holds to ClickHouse, so that the server can go on there.

use std::path::Path;

use anyhow::{Context as _, bail};
use otel_usage_schema::Contract;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Keeper;
use super::deliver::{deliver, insert, make, named};
use crate::questions::known;
use crate::store::{Aside, Core, Part};

/// Messages that are sent together.
const PART: i64 = 20_000;
/// Rows that are sent together.
const ROWS: usize = 20_000;

/// The counts of a copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Messages that ClickHouse has.
    pub messages: i64,
    /// Rows that it refused.
    pub refused: usize,
}

/// The other tables that the questions need, as queries of the file: the table in ClickHouse, and the columns of a row.
const REST: [(&str, &str, &[&str]); 4] = [
    (
        "usage_origin",
        "SELECT day, uuid, key, origin FROM origin JOIN session ON session.id = origin.session",
        &["day", "session", "key", "origin"],
    ),
    (
        "usage_start",
        "SELECT day, e.text, c.text, key, origin, count FROM start
        JOIN word e ON e.id = engine JOIN word c ON c.id = contract",
        &["day", "engine", "contract", "key", "origin", "count"],
    ),
    (
        "usage_counted",
        "SELECT day, uuid FROM presence
        JOIN session ON session.id = presence.session
        WHERE day BETWEEN ?1 - ?2 AND ?1",
        &["day", "session"],
    ),
    (
        "usage_weight",
        "SELECT weight.day, uuid, weight FROM weight JOIN session ON session.id = weight.session",
        &["day", "session", "weight"],
    ),
];

/// Copies the messages of the file at `path`, the networks of open days, and what is known of closed ones. No server may
/// use the file. It may be repeated: what is there already is not there twice. `progress` is told the messages that are
/// copied.
///
/// # Errors
///
/// The file cannot be read, or ClickHouse takes nothing.
pub async fn copy(
    path: &Path,
    own: &[Contract],
    keeper: &Keeper,
    now: i64,
    progress: &mut (dyn FnMut(i64) + Send),
) -> anyhow::Result<Copied> {
    let mut core = Core::open(path, own, now)?;
    let name = core.start_to_spool(u64::MAX)?;
    let http = keeper.http()?;
    let away = |why: String| anyhow::anyhow!("ClickHouse at {} takes nothing: {why}", http.place());
    make(&http, &keeper.statements()).await.map_err(away)?;
    let (mut done, mut after) = (Copied::default(), 0);
    while let Some(part) = next(&mut core, &name, after)? {
        let aside = deliver(&http, &part).await.map_err(away)?;
        done.messages = done.messages.saturating_add(part.messages);
        done.refused = done.refused.saturating_add(aside.len());
        tell(&aside);
        after = part.last;
        progress(done.messages);
    }
    for (table, query, columns) in REST {
        let rows = rows(&mut core, query, columns)
            .with_context(|| format!("{}: cannot be read", path.display()))?;
        for some in rows.chunks(ROWS) {
            let mut aside = Vec::new();
            // ClickHouse knows a repeated insert by its name, so other rows need another one.
            let name = named(&format!("{name}-copy"), some.iter());
            insert(&http, &name, table, some, &mut aside).await.map_err(away)?;
            if let Some(Aside { why, .. }) = aside.first() {
                bail!("ClickHouse at {} refuses rows of {table}: {why}", http.place());
            }
        }
    }
    // The close of their days erases them in ClickHouse, and would leave them here.
    core.connection().execute_batch("DELETE FROM origin; DELETE FROM start")?;
    Ok(done)
}

fn tell(aside: &[Aside]) {
    for Aside { table, why, row } in aside {
        tracing::error!("ClickHouse refuses a row of {table}: {why}: {row}");
    }
}

/// Returns the messages of some more batches.
fn next(core: &mut Core, name: &str, after: i64) -> rusqlite::Result<Option<Part>> {
    let mut part =
        Part { name: String::new(), last: 0, messages: 0, lines: Vec::new(), networks: Vec::new() };
    let select = "SELECT id, messages, lines FROM batch WHERE id > ?1 ORDER BY id";
    let mut select = core.connection().prepare_cached(select)?;
    let mut rows = select.query([after])?;
    while let Some(row) = rows.next()? {
        part.last = row.get(0)?;
        part.messages = part.messages.saturating_add(row.get(1)?);
        part.lines.push(row.get(2)?);
        if part.messages >= PART {
            break;
        }
    }
    part.name = format!("{name}-batch-{}", part.last);
    Ok((part.last > 0).then_some(part))
}

/// Returns the rows of a query as JSON.
fn rows(core: &mut Core, query: &str, columns: &[&str]) -> anyhow::Result<Vec<String>> {
    use rusqlite::types::ValueRef;
    let closed = "SELECT coalesce(max(value), 0) FROM meta WHERE key = 'closed'";
    let closed: i64 = core.connection().query_row(closed, [], |row| row.get(0))?;
    let mut select = core.connection().prepare(query)?;
    let mut found = match select.parameter_count() {
        0 => select.query([])?,
        _ => select.query([closed, known::COUNTED])?,
    };
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let mut object = serde_json::Map::new();
        for (at, column) in columns.iter().enumerate() {
            let value = match row.get_ref(at)? {
                ValueRef::Integer(number) => json!(number),
                ValueRef::Real(number) => json!(number),
                ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
                ValueRef::Blob(bytes) => json!(Uuid::from_slice(bytes)?.hyphenated().to_string()),
                ValueRef::Null => Value::Null,
            };
            object.insert((*column).to_owned(), value);
        }
        rows.push(Value::Object(object).to_string());
    }
    Ok(rows)
}
