//! The close of a day beside a store that goes on receiving.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use otel_usage_bridge::{Received, Store as _};
use otel_usage_serve::questions::{Progress, Rules, close, count};
use otel_usage_serve::store::{Days, Store};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::fleet::{DAY, empty, write};
use crate::running::{Place, clock, rows};

const DAY_0: i64 = 20_500;
/// Time limit on a slow machine.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// Holds the thread that has counted a day, until the test lets it go.
struct Hold;

/// For each day that is held: tells the test, and waits for it.
type Held = Mutex<HashMap<i64, (Sender<()>, Receiver<()>)>>;

fn held() -> &'static Held {
    static HELD: OnceLock<Held> = OnceLock::new();
    HELD.get_or_init(Held::default)
}

impl Visit for Hold {
    fn record_i64(&mut self, field: &Field, day: i64) {
        let mut held = held().lock().unwrap_or_else(PoisonError::into_inner);
        let hold = if field.name() == "counted" { held.remove(&day) } else { None };
        drop(held);
        if let Some((tell, wait)) = hold {
            tell.send(()).unwrap();
            let _ = wait.recv();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl Subscriber for Hold {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("otel_usage_serve::questions")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Self);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Holds the close of a day once it is counted. The receiver is told, and the sender lets it go.
pub(crate) fn hold(day: i64) -> (Receiver<()>, Sender<()>) {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| tracing::subscriber::set_global_default(Hold).unwrap());
    let ((tell, told), (go, wait)) = (channel(), channel());
    held().lock().unwrap_or_else(PoisonError::into_inner).insert(day, (tell, wait));
    (told, go)
}

fn open(file: &Path, now: &Arc<AtomicI64>) -> Arc<Store> {
    Arc::new(Store::open(file, &[], 0, clock(now)).unwrap())
}

/// Sends six heartbeats of each engine, which say that they were made on the day.
async fn serve(store: &Store, engines: std::ops::Range<u8>, day: i64) {
    for engine in engines {
        let from = IpAddr::from([198, 18, engine, 1]);
        let beats = (0..6_i64).map(|slot| {
            let nanos = (day * DAY + slot * 600_000) * 1_000_000;
            let uuid = crate::running::id(u128::from(engine));
            Received {
                contract: "vllm/current".into(),
                message: "heartbeat".into(),
                body: format!("{{\"uuid\": \"{uuid}\", \"log_time\": {nanos}}}").into(),
                time_nanos: nanos,
            }
        });
        let answer = store.keep(from, beats.collect());
        tokio::time::timeout(PATIENCE, answer).await.expect("an answer").unwrap();
    }
}

/// The engines of a day that are published, and the origins of it that are left.
fn published(place: &Place, day: i64) -> (Vec<String>, Vec<String>) {
    let db = place.read();
    let total = format!(
        "SELECT CAST(sum(amount) AS INTEGER), max(revision) FROM cube
        WHERE question = 'versions/engines' AND day = {day} AND published"
    );
    (rows(&db, &total), rows(&db, &format!("SELECT count(*) FROM origin WHERE day = {day}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_answered_while_a_day_is_counted_and_what_is_late_then_is_a_revision() {
    let place = Place::new();
    let now = Arc::new(AtomicI64::new(DAY_0 * DAY + DAY / 2));
    let store = open(&place.data(), &now);
    serve(&store, 0..30, DAY_0).await;
    now.store((DAY_0 + 3) * DAY + 1, Ordering::SeqCst);
    let (told, go) = hold(DAY_0);
    let maintained = Arc::clone(&store);
    let maintaining = tokio::spawn(async move {
        maintained.maintain(Days::default(), Rules::default()).await;
    });
    tokio::task::spawn_blocking(move || told.recv_timeout(PATIENCE)).await.unwrap().unwrap();
    // The day is counted and not written. Thirty engines are late, and one that was counted says something more.
    serve(&store, 100..130, DAY_0).await;
    serve(&store, 0..1, DAY_0).await;
    go.send(()).unwrap();
    maintaining.await.unwrap();
    // Their origins were not erased with those of the day, so they are a revision of it.
    assert_eq!(published(&place, DAY_0), (vec!["60|1".to_owned()], vec!["0".to_owned()]));
    store.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_back_counts_no_engine_of_a_closed_day_twice() {
    const DAY_1: i64 = DAY_0 + 100;
    let place = Place::new();
    let now = Arc::new(AtomicI64::new(DAY_1 * DAY + DAY / 2));
    let store = open(&place.data(), &now);
    serve(&store, 0..30, DAY_1).await;
    now.store((DAY_1 + 3) * DAY + 1, Ordering::SeqCst);
    store.maintain(Days::default(), Rules::default()).await;
    now.store((DAY_1 + 1) * DAY, Ordering::SeqCst);
    serve(&store, 0..30, DAY_1).await;
    store.run(|_| ()).await.unwrap();
    now.store((DAY_1 + 3) * DAY + 1, Ordering::SeqCst);
    store.maintain(Days::default(), Rules::default()).await;
    assert_eq!(published(&place, DAY_1), (vec!["30|0".to_owned()], vec!["0".to_owned()]));
    store.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_without_identity_are_a_total_under_the_same_rules() {
    const DAY_3: i64 = DAY_0 + 300;
    let place = Place::new();
    let now = Arc::new(AtomicI64::new(DAY_3 * DAY));
    let store = open(&place.data(), &now);
    let start = async |network: u8, count: usize| {
        let received = || Received {
            contract: "lmcache/legacy".into(),
            message: "EnvMessage".into(),
            body: include_str!("../../../tests/golden/lmcache-legacy-env.json").to_owned().into(),
            time_nanos: 0,
        };
        let messages = (0..count).map(|_| received()).collect();
        store.keep(IpAddr::from([198, 18, network, 1]), messages).await.unwrap();
    };
    for network in 0..30 {
        start(network, 1).await;
    }
    // One network counts as twenty at most.
    start(99, 500).await;
    // On the next day there is one network only.
    store.run(|_| ()).await.unwrap();
    now.store((DAY_3 + 1) * DAY, Ordering::SeqCst);
    start(99, 500).await;
    store.run(|_| ()).await.unwrap();
    now.store((DAY_3 + 4) * DAY, Ordering::SeqCst);
    store.maintain(Days::default(), Rules::default()).await;
    let db = place.read();
    let starts =
        "SELECT day, cell, amount FROM cube WHERE question = 'starts/engines' AND published";
    assert_eq!(rows(&db, starts), [format!("{DAY_3}|lmcache/legacy|50")]);
    assert_eq!(rows(&db, "SELECT count(*) FROM start"), ["0"]);
    store.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_origin_is_in_no_file() {
    const DAY_2: i64 = DAY_0 + 200;
    /// The number of a key, as it stands in the file.
    const KEY: i64 = 0x5A17_C0DE_0DDB_A11A;
    let place = Place::new();
    let now = Arc::new(AtomicI64::new(DAY_2 * DAY + DAY / 2));
    open(&place.data(), &now).close();
    let db = rusqlite::Connection::open(place.data()).unwrap();
    db.execute("UPDATE meta SET value = ?1 WHERE key = 'origin_key'", [KEY - 1_000]).unwrap();
    drop(db);
    let store = open(&place.data(), &now);
    serve(&store, 0..30, DAY_2).await;
    let is_somewhere = || {
        // Numbers of keys go up by one a day, and the first eight of them have the same beginning.
        let begin = &KEY.to_be_bytes()[..7];
        let files = std::fs::read_dir(place.0.path()).unwrap();
        files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .any(|bytes| bytes.windows(begin.len()).filter(|window| window == &begin).count() > 1)
    };
    store.run(|_| ()).await.unwrap();
    assert!(is_somewhere(), "an origin of an open day is kept");
    now.store((DAY_2 + 3) * DAY + 1, Ordering::SeqCst);
    store.maintain(Days::default(), Rules::default()).await;
    assert!(!is_somewhere(), "it is erased");
    store.close();
}

/// Thirty engines of one day, in as many networks.
fn fleet() -> Vec<crate::fleet::Engine> {
    let engine = |n: i64| crate::fleet::Engine {
        contract: "vllm/current",
        facets: Vec::new(),
        days: vec![(DAY_0, Some(n))],
        slots: 6,
    };
    (0..30).map(engine).collect()
}

#[test]
fn a_close_that_was_interrupted_counts_nothing_twice() {
    let store = empty();
    write(&store, &fleet());
    let now = (DAY_0 + 3) * DAY;
    let rules = Rules::default();
    let mut counted = count(&store, &rules, now).unwrap().unwrap();
    // The numbers are written, and the process ends before the origins are erased.
    assert_eq!(counted.write(&store).unwrap(), Progress::More);
    assert_eq!(rows(&store, "SELECT count(*) FROM origin"), ["30"]);
    let done = close(&store, &rules, now).unwrap();
    assert_eq!((done.days, done.revisions), (0, 0));
    assert_eq!(rows(&store, "SELECT count(*) FROM origin"), ["0"]);
    let amounts = "SELECT amount FROM cube WHERE question = 'versions/engines' AND published";
    assert_eq!(rows(&store, amounts), ["30"]);
}

#[test]
fn what_was_counted_before_another_close_is_not_written() {
    let store = empty();
    write(&store, &fleet());
    let now = (DAY_0 + 3) * DAY;
    let rules = Rules::default();
    let mut first = count(&store, &rules, now).unwrap().unwrap();
    let mut second = count(&store, &rules, now).unwrap().unwrap();
    assert_eq!(first.write(&store).unwrap(), Progress::More);
    assert_eq!(second.write(&store).unwrap(), Progress::Stale);
}
