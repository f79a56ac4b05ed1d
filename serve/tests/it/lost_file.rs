//! A server that closes days in ClickHouse loses its file, or ClickHouse ends in the middle of something. ClickHouse's own
//! engine (chDB) plays ClickHouse.

use otel_usage_serve::clickhouse::{Keeper, take_over};
use otel_usage_serve::store::backup;

use crate::clickhouse::tables;
use crate::cut::{Cut, When};
use crate::publishing::{DAY, HOUR, Publisher, engines};
use crate::running::{NOW, Place, rows};

/// Returns the Python with chDB, or says that there is none.
pub(crate) fn python() -> Option<String> {
    let python = std::env::var("OTEL_USAGE_E2E_PYTHON").ok();
    if python.is_none() {
        eprintln!("not tested: ClickHouse; run `cargo xtask e2e --all`");
    }
    python
}

fn keeper(clickhouse: &Cut) -> Keeper {
    Keeper::new(format!("http://{}", clickhouse.at), tables())
}

/// Closes days until all cuts have happened, and once more.
async fn close_through(publisher: &Publisher, clickhouse: &Cut, now: i64) {
    for _ in 0..20 {
        if clickhouse.left() == 0 {
            break;
        }
        publisher.close(now).await;
    }
    assert_eq!(clickhouse.left(), 0);
    publisher.close(now).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_that_ends_in_the_middle_of_an_insert_or_a_close_changes_no_number() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let clickhouse = Cut::start(&python, &folder.path().join("clickhouse"));
    let day = NOW / DAY;
    let begin = day * DAY + 3 * HOUR;
    let file = Publisher::start(None).await;
    let other = Publisher::start(Some(keeper(&clickhouse))).await;
    clickhouse.cut(&[
        When::Before("INSERT INTO usage_vllm_current_heartbeat"),
        When::After("INSERT INTO usage_origin"),
        When::After("INSERT INTO usage_start"),
        When::After("INSERT INTO usage_vllm_current_heartbeat"),
    ]);
    // Starts without identity are summed, so one that arrives twice would be seen.
    let old = r#"{"message_type": "EnvMessage", "provider": "GCP", "num_cpu": 4}"#;
    for publisher in [&file, &other] {
        for client in 0..45 {
            let client = format!("198.51.{client}.1");
            publisher.server.post_for("/context", old, Some(&client)).await;
        }
        publisher.post(&engines(1..91, begin), 1_000).await;
    }
    other.delivered().await;
    assert_eq!(clickhouse.left(), 0);

    clickhouse.cut(&[
        When::After("INSERT INTO usage_publisher"),
        When::After("INSERT INTO usage_counted"),
        When::Before("INSERT INTO usage_published"),
        When::After("INSERT INTO usage_published"),
        When::After("ALTER TABLE usage_origin MOVE PARTITION"),
        When::After("INSERT INTO usage_origin SELECT"),
        When::Before("ALTER TABLE usage_erasing DROP PARTITION"),
        When::After("ALTER TABLE usage_start DROP PARTITION"),
    ]);
    let closed = (day + 3) * DAY + HOUR;
    file.close(closed).await;
    close_through(&other, &clickhouse, closed).await;
    let cubes = file.cubes();
    assert!(cubes.iter().any(|row| row.starts_with("starts/engines") && row.ends_with("|1|0")));
    assert_eq!(other.cubes(), cubes);
    for table in ["usage_origin", "usage_erasing", "usage_start"] {
        assert_eq!(clickhouse.number(&format!("SELECT count() FROM {table}")), 0, "{table}");
    }

    // Late engines. Those that are too few wait, and their networks with them, through every step of the erasing.
    for (late, hours) in [(80..95, 10), (95..115, 11)] {
        let late = engines(late, begin + hours * HOUR);
        for publisher in [&file, &other] {
            publisher.post(&late, 4 * DAY).await;
        }
        if hours == 10 {
            other.delivered().await;
            clickhouse.cut(&[
                When::After("ALTER TABLE usage_origin MOVE PARTITION"),
                When::After("INSERT INTO usage_origin SELECT"),
            ]);
        } else {
            other.delivered().await;
            clickhouse.cut(&[When::After("INSERT INTO usage_published")]);
        }
        let closed = (day + 4) * DAY + (20 + hours) * HOUR;
        file.close(closed).await;
        close_through(&other, &clickhouse, closed).await;
    }
    assert_ne!(file.cubes(), cubes);
    assert_eq!(other.cubes(), file.cubes());
    assert_eq!(rows(&other.place.read(), "SELECT number, reason FROM revision").len(), 1);
    assert_eq!(clickhouse.number("SELECT count() FROM usage_origin"), 0);
    // A replicated table refuses a deletion that asks another table.
    let asks = |sql: &&String| sql.starts_with("ALTER") && sql.contains("SELECT");
    assert_eq!(clickhouse.seen().iter().filter(asks).count(), 0);
    for publisher in [file, other] {
        publisher.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_takes_the_place_of_one_whose_file_is_lost_with_everything_that_was_published() {
    const REVISIONS: &str = "SELECT number, day, time, reason FROM revision ORDER BY number";
    const CLOSED: &str = "SELECT value FROM meta WHERE key = 'closed'";
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let clickhouse = Cut::start(&python, &folder.path().join("clickhouse"));
    let (day, keeper) = (NOW / DAY, keeper(&clickhouse));
    let begin = day * DAY + 3 * HOUR;
    let first = Publisher::start(Some(keeper.clone())).await;
    first.post(&engines(1..91, begin), 1_000).await;
    first.close((day + 3) * DAY + HOUR).await;
    let old = folder.path().join("old.db");
    backup(&first.place.data(), &old).unwrap();
    first.post(&engines(91..125, begin + 10 * HOUR), 4 * DAY).await;
    first.close((day + 4) * DAY + 20 * HOUR).await;
    let published = |publisher: &Publisher| {
        let file = publisher.place.read();
        (publisher.cubes(), rows(&file, REVISIONS), rows(&file, CLOSED))
    };
    let before = published(&first);
    assert_eq!((before.1.len(), before.2.len()), (1, 1), "{:?}", before.1);

    // An old copy of the file gets what it lacks by itself.
    let now = (day + 4) * DAY + 21 * HOUR;
    let Publisher { place, server } = first;
    server.stop().await;
    let _ = std::fs::remove_file(place.0.path().join("usage.db-wal"));
    let _ = std::fs::remove_file(place.0.path().join("usage.db-shm"));
    std::fs::copy(&old, place.data()).unwrap();
    let first = Publisher::start_with(place, Some(keeper.clone()), Vec::new()).await;
    first.close(now).await;
    assert_eq!(published(&first), before);

    // A new one closes nothing before it is told to take the place.
    let second = Publisher::start(Some(keeper.clone())).await;
    second.close(now).await;
    assert!(second.cubes().is_empty());
    let Publisher { place, server } = second;
    server.stop().await;
    let taken = take_over(&place.data(), &[], &keeper, now).await.unwrap();
    assert_eq!((taken.from.is_some(), taken.corrections), (true, 1), "{taken:?}");
    let again = take_over(&place.data(), &[], &keeper, now).await.unwrap();
    assert_eq!((again.from, again.closed), (None, taken.closed));
    let second = Publisher::start_with(place, Some(keeper.clone()), Vec::new()).await;
    second.close(now).await;
    assert_eq!(published(&second), before);
    // It goes on: a day, and a correction with the next number. The other one does not.
    second.post(&engines(200..290, begin + 2 * DAY), 1_000).await;
    second.close((day + 5) * DAY + HOUR).await;
    second.post(&engines(300..335, begin + 2 * DAY + 10 * HOUR), 4 * DAY).await;
    let later = (day + 6) * DAY + 23 * HOUR;
    second.close(later).await;
    first.close(later).await;
    assert_eq!(published(&first), before);
    let after = published(&second);
    let gone: Vec<_> = before.0.difference(&after.0).collect();
    assert!(gone.is_empty() && after.0.len() > before.0.len(), "{gone:?} {:#?}", after.0);
    assert_eq!(after.1.len(), 2, "{:?}", after.1);
    assert!(after.1[1].starts_with("2|"), "{:?}", after.1);

    // A file with closed days of its own is no file of a server that takes a place.
    let third = Publisher::start(None).await;
    third.post(&engines(1..91, begin + 20 * DAY), 1_000).await;
    third.close((day + 24) * DAY).await;
    let Publisher { place, server } = third;
    server.stop().await;
    let refused = take_over(&place.data(), &[], &keeper, later).await.unwrap_err().to_string();
    assert!(refused.contains("closed days that ClickHouse does not know"), "{refused}");
    for publisher in [first, second] {
        publisher.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_goes_on_in_clickhouse_brings_its_closed_days_along() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let clickhouse = Cut::start(&python, &folder.path().join("clickhouse"));
    let (day, keeper) = (NOW / DAY, keeper(&clickhouse));
    let begin = day * DAY + 3 * HOUR;
    let file = Publisher::start(None).await;
    file.post(&engines(1..91, begin), 1_000).await;
    file.close((day + 3) * DAY + HOUR).await;
    file.post(&engines(91..125, begin + 10 * HOUR), 4 * DAY).await;
    file.close((day + 4) * DAY + 20 * HOUR).await;
    let before = file.cubes();
    let Publisher { place, server } = file;
    server.stop().await;
    let first = Publisher::start_with(place, Some(keeper.clone()), Vec::new()).await;
    first.close((day + 4) * DAY + 21 * HOUR).await;
    first.server.stop().await;
    let place = Place::new();
    let taken = take_over(&place.data(), &[], &keeper, NOW).await.unwrap();
    assert_eq!(taken.corrections, 1);
    let second = Publisher::start_with(place, Some(keeper), Vec::new()).await;
    assert_eq!(second.cubes(), before);
    second.server.stop().await;
}
