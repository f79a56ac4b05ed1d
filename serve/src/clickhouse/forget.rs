//! Deletes what ClickHouse knows of an identity.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use uuid::Uuid;

use super::ClickHouse;
use super::sql::Identity;
use crate::store::{Forgotten, Store, identity};

/// Sessions that one statement names, because it has a largest size.
const TOGETHER: usize = 1_000;

/// The tables of what is known of sessions beside their messages. A close may take rows from the first to the second and
/// back meanwhile.
const NETWORKS: [&str; 5] =
    ["usage_origin", "usage_erasing", "usage_origin", "usage_counted", "usage_weight"];

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
    let mut done = store.forget_rows(text.clone()).await?;
    let id = identity(&text).map(Uuid::from_bytes).context("not an identity")?;
    let closed = "the server ends";
    // Messages that wait may be of the identity.
    let last = store.run(|core| core.last_in_spool()).await.context(closed)??;
    if !store.is_delivered(last).await? {
        bail!(
            "ClickHouse takes no messages, and some of this identity may wait for it: repeat this when it takes them again"
        );
    }
    // ClickHouse may have refused some of them, and rows that are sent again are on their way to it.
    let sending = store.sending.lock().await;
    let aside = store.run(move |core| core.forget_aside(Some(id))).await.context(closed)??;
    drop(sending);
    done.messages = done.messages.saturating_add(aside);
    let clickhouse = Arc::clone(clickhouse);
    let more = tokio::task::spawn_blocking(move || clickhouse.forget(id)).await??;
    done.sessions = done.sessions.max(more.sessions);
    done.messages = done.messages.saturating_add(more.messages);
    // Last, so that a reader of the spool keeps nothing in ClickHouse.
    store.empty_log_of_deletion().await?;
    Ok(done)
}

impl ClickHouse {
    /// Deletes the messages of a session, or of all sessions of a machine. No query finds them when this returns, and
    /// ClickHouse removes the old parts from its disk some minutes later.
    ///
    /// # Errors
    ///
    /// If ClickHouse cannot be asked.
    pub(crate) fn forget(&self, id: Uuid) -> anyhow::Result<Forgotten> {
        let tables = self.messages.identities();
        let of_machine: Vec<String> = tables
            .iter()
            .filter_map(|Identity { table, session, machine }| {
                let (session, machine) = session.as_ref().zip(machine.as_ref())?;
                Some(format!(
                    "SELECT {session} AS id FROM {table} WHERE {machine} = toUUID('{id}')"
                ))
            })
            .collect();
        let mut ids = vec![id.hyphenated().to_string()];
        if !of_machine.is_empty() {
            ids.extend(self.texts(&format!(
                "SELECT DISTINCT toString(id) FROM ({}) WHERE id NOT IN (toUUIDOrZero(''), toUUID('{id}')) ORDER BY 1",
                of_machine.join(" UNION ALL ")
            ))?);
        }
        let mut done = Forgotten::default();
        for some in ids.chunks(TOGETHER) {
            let ids: Vec<String> = some.iter().map(|id| format!("toUUID('{id}')")).collect();
            self.forget_sessions(&tables, &ids.join(", "), &mut done)?;
        }
        for Identity { table, machine, .. } in &tables {
            if let Some(machine) = machine {
                let gone = self.delete(table, &format!("{machine} = toUUID('{id}')"))?;
                done.messages = done.messages.saturating_add(gone);
            }
        }
        Ok(done)
    }

    /// Deletes the rows of some sessions.
    fn forget_sessions(
        &self,
        tables: &[Identity],
        ids: &str,
        done: &mut Forgotten,
    ) -> anyhow::Result<()> {
        let known = tables.iter().filter_map(|Identity { table, session, .. }| {
            let session = session.as_ref()?;
            Some((table, session, format!("SELECT {session} AS id FROM {table}")))
        });
        let known: Vec<_> = known.collect();
        let all: Vec<&str> = known.iter().map(|(.., select)| select.as_str()).collect();
        let sessions =
            format!("SELECT uniqExact(id) FROM ({}) WHERE id IN ({ids})", all.join(" UNION ALL "));
        done.sessions = done.sessions.saturating_add(count(self.number(&sessions)?));
        for (table, session, _) in &known {
            let gone = self.delete(table, &format!("{session} IN ({ids})"))?;
            done.messages = done.messages.saturating_add(gone);
        }
        for table in NETWORKS {
            self.delete(table, &format!("session IN ({ids})"))?;
        }
        Ok(())
    }
}

pub(super) fn count(number: Option<i64>) -> usize {
    number.and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
}
