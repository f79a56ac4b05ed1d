//! Deletes what ClickHouse knows of an identity.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use uuid::Uuid;

use super::{ClickHouse, sql};
use crate::store::{Forgotten, Store};

/// How often it is looked whether the spool holds older messages, and how many times.
const LOOKS: (Duration, u32) = (Duration::from_millis(200), 150);

/// Deletes what a server and its ClickHouse know of an identity, and keeps it from coming back to this server.
///
/// # Errors
///
/// The text is no UUID, or ClickHouse cannot be asked. It may be repeated.
pub(crate) async fn forget(
    store: &Store,
    clickhouse: &Arc<ClickHouse>,
    text: String,
) -> anyhow::Result<Forgotten> {
    // From here on no message of the identity is taken.
    let mut done = store.forget(text.clone()).await?;
    let id = Uuid::try_parse(text.trim())?;
    let closed = "the server ends";
    // Messages that wait may be of the identity.
    let last = store.run(move |core| core.forget_aside(id)).await.context(closed)??;
    let mut looks = 0_u32;
    while store.run(move |core| core.waits_until(last)).await.context(closed)?? {
        looks = looks.saturating_add(1);
        if looks > LOOKS.1 {
            bail!(
                "ClickHouse takes no messages, and some of this identity may wait for it: repeat this when it takes them again"
            );
        }
        tokio::time::sleep(LOOKS.0).await;
    }
    let clickhouse = Arc::clone(clickhouse);
    let more = tokio::task::spawn_blocking(move || clickhouse.forget(id)).await??;
    done.sessions = done.sessions.max(more.sessions);
    done.messages = done.messages.saturating_add(more.messages);
    Ok(done)
}

impl ClickHouse {
    /// Deletes the messages of a session, or of all sessions of a machine. They are gone from the disk when this returns.
    ///
    /// # Errors
    ///
    /// If ClickHouse cannot be asked.
    pub(crate) fn forget(&self, id: Uuid) -> anyhow::Result<Forgotten> {
        let tables = sql::identities();
        let of_machine: Vec<String> = tables
            .iter()
            .filter_map(|(table, session, machine)| {
                let machine = machine.as_ref()?;
                Some(format!(
                    "SELECT {session} AS id FROM {table} WHERE {machine} = toUUID('{id}')"
                ))
            })
            .collect();
        let found = self.texts(&format!(
            "SELECT DISTINCT toString(id) FROM ({}) WHERE id != toUUIDOrZero('') ORDER BY 1",
            of_machine.join(" UNION ALL ")
        ))?;
        let mut ids = vec![id.hyphenated().to_string()];
        ids.extend(found);
        let ids = ids.iter().map(|id| format!("toUUID('{id}')")).collect::<Vec<_>>().join(", ");
        let known: Vec<String> = tables
            .iter()
            .map(|(table, session, _)| format!("SELECT {session} AS id FROM {table}"))
            .collect();
        let sessions = format!(
            "SELECT uniqExact(id) FROM ({}) WHERE id IN ({ids})",
            known.join(" UNION ALL ")
        );
        let mut done =
            Forgotten { sessions: count(self.number(&sessions)?), ..Forgotten::default() };
        for (table, session, machine) in &tables {
            let machine = machine.as_ref();
            let machine = machine
                .map(|machine| format!(" OR {machine} = toUUID('{id}')"))
                .unwrap_or_default();
            let gone = self.delete(table, &format!("{session} IN ({ids}){machine}"))?;
            done.messages = done.messages.saturating_add(gone);
        }
        for table in ["usage_origin", "usage_counted", "usage_weight"] {
            self.delete(table, &format!("session IN ({ids})"))?;
        }
        Ok(done)
    }
}

pub(super) fn count(number: Option<i64>) -> usize {
    number.and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
}
