//! One SQLite file: the batches of received messages, which are the truth, and what is projected from them.
//!
//! ```text
//!  front door ─► heard ─► writer (one thread) ─► core: batch, synced ─► answer 200
//!                                                  └──► project: sessions, slots, intervals
//! ```

mod aside;
mod backup;
mod catch_up;
mod check;
mod core;
mod counters;
mod export;
mod file;
mod forget;
mod heard;
mod identity;
mod import;
mod known;
pub(crate) mod line;
mod maintain;
mod origin;
mod project;
mod queue;
mod rates;
mod rebuild;
mod recompress;
mod retain;
mod shape;
mod spool;
pub(crate) mod time;
mod waits;
mod writer;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use otel_usage_bridge::{Received, Refusal};
use otel_usage_schema::Contract;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

pub(crate) use self::aside::Aside;
pub use self::backup::backup;
pub use self::check::{Health, Lost, check, save};
pub use self::core::Core;
pub(crate) use self::counters::{Counter, of_all as counters_of_all};
pub use self::export::{Format, Rows, export};
pub use self::file::open_to_read;
pub(crate) use self::file::plan_once;
pub use self::forget::{Forget, Forgotten};
pub(crate) use self::identity::identity;
pub use self::import::{Imported, Taken};
pub use self::recompress::{Packed, pack};
pub use self::retain::Days;

use crate::clickhouse::{ClickHouse, Http, Keeper};

use self::core::Kept;
use self::line::Line;
use self::origin::Keys;
use self::queue::Queue;
use self::rates::Rates;
pub(crate) use self::shape::{FACETS, Kind, Shape, Shapes};
pub(crate) use self::spool::Part;
use self::spool::Spool;
pub(crate) use self::waits::Waits;

/// The tables. `schema.sql` explains each.
pub const SCHEMA: &str = include_str!("schema.sql");

/// Returns the time: milliseconds since the Unix epoch. Only the command knows the clock.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Pause of a sender whose messages cannot be kept now.
const PAUSE: Duration = Duration::from_secs(5);

/// The disk may not hold what it was told to hold, so a new start does not help before somebody has looked at it.
#[derive(Debug)]
pub struct Distrusted(String);

impl std::fmt::Display for Distrusted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Distrusted {}

/// A store that takes messages.
pub struct Store {
    queue: Arc<Queue>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    shapes: Arc<Shapes>,
    clock: Clock,
    keys: Mutex<Keys>,
    /// Counts of messages that were received and not kept, since the projection took note of them.
    notes: Mutex<HashMap<&'static str, i64>>,
    rates: Rates,
    path: PathBuf,
    /// Whether SQLite's log may still hold pages with erased origins or deleted messages.
    log_holds_deleted: AtomicBool,
    /// The messages and rows that wait for ClickHouse, if it keeps messages.
    waits: Option<watch::Receiver<Waits>>,
    stopped: watch::Receiver<Option<String>>,
    /// Where the messages go, if they do not stay in the file.
    pub(crate) clickhouse: Option<Arc<ClickHouse>>,
    /// Held while rows that ClickHouse refused are sent again, so that a deletion finds none of them on their way.
    pub(crate) sending: tokio::sync::Mutex<()>,
    /// Whether the counters of earlier days were told to the other servers since the start.
    pub(crate) told: AtomicBool,
    /// Whether the tables are there. Those of ClickHouse are made when it first answers.
    pub(crate) ready: AtomicBool,
    /// Whether this server closes days.
    closes: bool,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens or makes the file at `path`, and starts the thread that writes.
    ///
    /// `rate` is the number of messages a second that one network may send for long, 0 for any number.
    ///
    /// # Errors
    ///
    /// As [`Core::open`].
    pub fn open(
        path: &Path,
        contracts: &[Contract],
        rate: u32,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let mut core = Core::open(path, contracts, clock())?;
        let key = core.next_key()?;
        Self::start(core, key, rate, clock)
    }

    /// Opens or makes the file at `path` as the spool of ClickHouse.
    ///
    /// # Errors
    ///
    /// As [`Core::open`].
    pub(crate) fn open_spool(
        path: &Path,
        contracts: &[Contract],
        rate: u32,
        clock: Clock,
        (http, keeper): (&Http, &Keeper),
    ) -> anyhow::Result<Self> {
        let mut core = Core::open(path, contracts, clock())?;
        let name = core.start_to_spool(keeper.spool_bytes).with_context(|| {
            format!("{}: the spool cannot be opened: make room on the disk", path.display())
        })?;
        // Receivers do not know each other's numbers, so each takes one by chance.
        let key = i64::try_from(Uuid::new_v4().as_u64_pair().0 >> 12).unwrap_or(1);
        let mut store = Self::start(core, key, rate, clock)?;
        store.clickhouse = Some(Arc::new(ClickHouse::of(&name, contracts, http.asker())));
        (store.ready, store.closes) = (AtomicBool::new(false), !keeper.receive_only);
        Ok(store)
    }

    fn start(core: Core, key: i64, rate: u32, clock: Clock) -> anyhow::Result<Self> {
        let path = core.path.clone();
        let keys = Keys::new(key, clock());
        let shapes = Arc::clone(&core.shapes);
        let waits = core.spool.as_ref().map(Spool::waits);
        let (stop, stopped) = watch::channel(None);
        let queue = Arc::new(Queue::default());
        let thread = writer::start(core, Arc::clone(&queue), Arc::clone(&clock), stop)?;
        Ok(Self {
            path,
            waits,
            rates: Rates::new(rate),
            queue,
            thread: Mutex::new(Some(thread)),
            shapes,
            clock,
            keys: Mutex::new(keys),
            notes: Mutex::default(),
            log_holds_deleted: AtomicBool::new(true),
            stopped,
            clickhouse: None,
            sending: tokio::sync::Mutex::new(()),
            told: AtomicBool::new(false),
            ready: AtomicBool::new(true),
            closes: true,
        })
    }

    /// Does something with the file on the thread that writes, after all messages that were kept before. Returns
    /// `None` if the store is closed.
    pub async fn run<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.run(Box::new(move |core| {
            let _ = reply.send(run(core));
        }));
        if !sent {
            return None;
        }
        answer.await.ok()
    }

    /// Returns once nothing may be promised any more, with the reason.
    pub async fn stopped(&self) -> anyhow::Error {
        let mut stopped = self.stopped.clone();
        let why = stopped.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        match why {
            Some(why) => Distrusted(why).into(),
            // `close` has ended the thread.
            None if self.thread.lock().unwrap_or_else(PoisonError::into_inner).is_none() => {
                std::future::pending().await
            }
            None => anyhow::anyhow!(
                "the thread that writes has ended by a mistake of this program: report what the log says of it, and \
                 start again"
            ),
        }
    }

    /// Brings the projection up to date and closes the file. Blocks.
    pub fn close(&self) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    /// Reads a message, and makes the line that keeps it. A message of an unknown contract is not kept.
    fn kept(&self, from: origin::Origin, received: i64, message: &Received) -> Option<Kept> {
        let place = self.shapes.find(&message.contract, &message.message)?;
        let mut heard =
            heard::hear(&self.shapes, place, &message.body, received, message.time_nanos)?;
        heard.origin = Some(from);
        let mut line = Vec::with_capacity(message.body.len().saturating_add(96));
        Line {
            contract: &message.contract,
            message: &message.message,
            received,
            time_nanos: message.time_nanos,
            body: std::str::from_utf8(&message.body).ok()?,
        }
        .append(&mut line);
        Some(Kept { line, heard })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl otel_usage_bridge::Store for Store {
    fn keep(
        &self,
        from: IpAddr,
        messages: Vec<Received>,
    ) -> BoxFuture<'static, Result<(), Refusal>> {
        let now = (self.clock)();
        let origin = self.keys.lock().unwrap_or_else(PoisonError::into_inner).origin(from, now);
        if let Err(pause) = self.rates.take(origin.bits, messages.len(), now) {
            self.note("too_many", messages.len());
            return std::future::ready(Err(Refusal::TooMany(pause))).boxed();
        }
        let kept: Vec<Kept> =
            messages.iter().filter_map(|message| self.kept(origin, now, message)).collect();
        self.note("unreadable", messages.len().saturating_sub(kept.len()));
        if kept.is_empty() {
            return std::future::ready(Ok(())).boxed();
        }
        let (reply, answer) = oneshot::channel();
        let later = Err(Refusal::Later(PAUSE));
        if !self.queue.keep(kept, reply) {
            return std::future::ready(later).boxed();
        }
        async move { if answer.await == Ok(true) { Ok(()) } else { later } }.boxed()
    }

    fn note(&self, what: &'static str, count: usize) {
        if count == 0 {
            return;
        }
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = notes.entry(what).or_default();
        *known = known.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
