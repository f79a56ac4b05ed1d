//! Sends rows again that ClickHouse refused.

use anyhow::{Context as _, bail};

use super::Http;
use super::deliver::{insert, named};
use crate::store::Store;

/// The rows that were sent again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Rows that ClickHouse has now.
    pub(crate) taken: usize,
    /// Rows that it refused once more. They stay.
    pub(crate) refused: usize,
}

/// Sends all rows that are aside once more.
pub(crate) async fn send_again(store: &Store, http: &Http) -> anyhow::Result<Sent> {
    let closed = "the server ends";
    let (mut sent, mut after) = (Sent::default(), 0);
    loop {
        let _sending = store.sending.lock().await;
        let next = store.run(move |core| core.next_aside(after)).await;
        let Some(again) = next.context(closed)?? else { break };
        after = again.last();
        let mut refused = Vec::new();
        let name = named(&again.name, again.rows.iter());
        let inserted = insert(http, &name, &again.table, &again.rows, &mut refused).await;
        if let Err(why) = inserted {
            bail!("ClickHouse at {} takes nothing: {why}", http.place());
        }
        sent.refused = sent.refused.saturating_add(refused.len());
        let ended = store.run(move |core| core.end_again(&again, &refused)).await;
        sent.taken = sent.taken.saturating_add(ended.context(closed)??);
    }
    Ok(sent)
}
