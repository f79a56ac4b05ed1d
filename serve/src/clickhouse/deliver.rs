//! Takes what waits in the spool to ClickHouse, in its order, for as long as it takes.
//!
//! A part that may have arrived is sent again: the tables replace rows of the same identity, and the others know an
//! insert by its token. A token holds a hash of the content, because a file that is put back from a backup gives old numbers
//! to new messages.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::http::{Http, Trouble};
use super::keeper::Keeper;
use super::tables::table;
use crate::store::{Aside, Clock, Part, Store, line};

/// How long messages wait for others.
const GATHER: Duration = Duration::from_secs(1);
/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// Messages of a part after which the next one follows at once.
const MANY: i64 = 5_000;

/// Takes parts from the spool to ClickHouse.
pub(crate) struct Delivery {
    store: Arc<Store>,
    http: Http,
    clock: Clock,
    /// Statements that make the tables, until they were run.
    tables: Vec<String>,
    /// Whether the last attempt failed. Logs the change only.
    failing: bool,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}

/// The end of the next part's delivery.
enum Done {
    /// Nothing waits.
    Nothing,
    /// So many messages are in ClickHouse.
    Delivered(i64),
}

impl Delivery {
    pub(crate) fn new(store: Arc<Store>, http: Http, keeper: &Keeper, clock: Clock) -> Self {
        Self { store, http, clock, tables: keeper.statements(), failing: false }
    }

    /// Returns where ClickHouse is.
    pub(crate) fn http(&self) -> Http {
        self.http.clone()
    }

    /// Delivers for ever.
    pub(crate) async fn run(&mut self) -> Infallible {
        let mut pause = PAUSES.0;
        loop {
            match self.next().await {
                Ok(done) => {
                    pause = PAUSES.0;
                    if !matches!(done, Done::Delivered(messages) if messages >= MANY) {
                        tokio::time::sleep(GATHER).await;
                    }
                }
                Err(()) => {
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(PAUSES.1);
                }
            }
        }
    }

    /// Delivers until nothing waits or an attempt fails.
    pub(crate) async fn finish(&mut self) {
        while let Ok(Done::Delivered(_)) = self.next().await {}
    }

    /// Delivers the next part.
    async fn next(&mut self) -> Result<Done, ()> {
        match self.attempt().await {
            Ok(done) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("ClickHouse takes messages again");
                }
                Ok(done)
            }
            Err(why) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(
                        "ClickHouse at {} takes no messages, and they wait in the spool: {why}",
                        self.http.place()
                    );
                }
                Err(())
            }
        }
    }

    async fn attempt(&mut self) -> Result<Done, String> {
        self.make_tables().await?;
        let spool =
            |error: rusqlite::Error| format!("the spool cannot be read or written: {error}");
        let part = self.store.run(|core| core.next_part()).await;
        let Some(part) = part.transpose().map_err(spool)?.flatten() else {
            return Ok(Done::Nothing);
        };
        let aside = deliver(&self.http, &part).await?;
        for Aside { table, why, .. } in aside.iter().take(1) {
            tracing::error!(
                rows = aside.len(),
                table,
                "ClickHouse refuses rows, which are put aside: look at /aside of the maintainers' listener: {why}"
            );
        }
        let (messages, now) = (part.messages, (self.clock)());
        let ended = self.store.run(move |core| core.end_part(&part, &aside, now)).await;
        if let lost @ 1.. = ended.transpose().map_err(spool)?.unwrap_or(0) {
            tracing::error!(
                lost,
                "there is no room for more refused rows, and they are thrown away"
            );
        }
        Ok(Done::Delivered(messages))
    }

    async fn make_tables(&mut self) -> Result<(), String> {
        if !self.tables.is_empty() {
            make(&self.http, &self.tables).await?;
            self.tables.clear();
            self.store.ready.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Makes the tables that are missing. A user who may not make tables may have them already.
pub(super) async fn make(http: &Http, tables: &[String]) -> Result<(), String> {
    for statement in tables {
        match http.run(statement.clone()).await {
            Ok(_) => {}
            Err(Trouble::Away(why)) if !why.contains("ACCESS_DENIED") => return Err(why),
            Err(trouble) => {
                let remedy =
                    "if they are missing, run the statements that `otel-usage serve tables` prints";
                tracing::warn!("the tables cannot be made: {remedy}: {}", trouble.why());
                break;
            }
        }
    }
    Ok(())
}

/// Inserts the rows of a part. Returns those that are refused, or why nothing is taken.
pub(super) async fn deliver(http: &Http, part: &Part) -> Result<Vec<Aside>, String> {
    let (lines, networks) = (texts(&part.lines), texts(&part.networks));
    let name = named(&part.name, lines.iter().chain(&networks));
    let mut aside = Vec::new();
    for (table, rows) in rows(&lines, &networks) {
        insert(http, &name, &table, &rows, &mut aside).await?;
    }
    Ok(aside)
}

/// Returns the name of an insert of this content. No other content has it, whatever `name` is.
pub(super) fn named<'a>(name: &str, content: impl Iterator<Item = &'a String>) -> String {
    let mut hash = Sha256::new();
    for text in content {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    let hash: [u8; 32] = hash.finalize().into();
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name}-{hash}")
}

/// Returns the texts of frames. That of a damaged one is empty.
fn texts(frames: &[Vec<u8>]) -> Vec<String> {
    let text = |frame: &Vec<u8>| {
        let text = line::decompress(frame);
        if text.is_err() {
            tracing::error!("a batch of the spool is damaged, and its messages are lost");
        }
        text.unwrap_or_default()
    };
    frames.iter().map(text).collect()
}

/// Inserts rows. An insert of the same name is done once.
pub(super) async fn insert(
    http: &Http,
    name: &str,
    table: &str,
    rows: &[String],
    aside: &mut Vec<Aside>,
) -> Result<(), String> {
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let mut pieces = vec![(0_usize, rows.as_slice())];
    let mut takes_others = false;
    while let Some((at, rows)) = pieces.pop() {
        let token = format!("{name}-{at}-{}", rows.len());
        let why = match http.insert(table, &token, rows).await {
            Ok(()) => continue,
            Err(Trouble::Away(why)) => return Err(why),
            Err(Trouble::Refused(why)) => why,
        };
        // It is the rows only if an insert without any is taken.
        if !takes_others {
            let empty = http.insert(table, &format!("{token}-empty"), &[]).await;
            empty.map_err(Trouble::why)?;
            takes_others = true;
        }
        if let [row] = rows {
            aside.push(Aside { table: table.to_owned(), why, row: (*row).to_owned() });
        } else {
            let (left, right) = rows.split_at(rows.len() / 2);
            pieces.push((at.saturating_add(left.len()), right));
            pieces.push((at, left));
        }
    }
    Ok(())
}

/// Returns the rows of a part by table.
fn rows(lines: &[String], networks: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for text in lines {
        for line in text.lines().filter_map(|line| line::read(line).ok()) {
            let rows = tables.entry(table(line.contract, line.message)).or_default();
            rows.push(row(&line));
        }
    }
    for text in networks {
        for (table, row) in text.lines().filter_map(|line| line.split_once(' ')) {
            tables.entry(table.to_owned()).or_default().push(row.to_owned());
        }
    }
    tables.retain(|_, rows| !rows.is_empty());
    tables
}

/// Returns the row of a message: its body, with the time of receipt.
pub(crate) fn row(line: &line::Line<'_>) -> String {
    let (seconds, milliseconds) =
        (line.received.div_euclid(1_000), line.received.rem_euclid(1_000));
    let received = format!("\"received\":\"{seconds}.{milliseconds:03}\"");
    let rest = line.body.trim_start().strip_prefix('{').unwrap_or("}").trim_start();
    let comma = if rest.starts_with('}') { "" } else { "," };
    format!("{{{received}{comma}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_the_message_with_its_time_of_receipt() {
        let of = |body| {
            row(&line::Line { contract: "a/1", message: "m", received: 1_005, time_nanos: 0, body })
        };
        assert_eq!(of("{}"), r#"{"received":"1.005"}"#);
        assert_eq!(of(r#"{ "a": {"1": 2}}"#), r#"{"received":"1.005","a": {"1": 2}}"#);
        assert_eq!(table("vllm/0.4.0", "report"), "usage_vllm_0_4_0_report");
    }
}
