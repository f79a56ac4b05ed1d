//! A file after a kill, and one whose disk has damaged it.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::atomic::Ordering;

use otel_usage_serve::questions::Rules;
use otel_usage_serve::store::{Core, backup, check, save};

use crate::running::{DAY, NOW, Place, Running, beat, picture, post_all, rows, settings};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kill_leaves_unprojected_is_counted_and_its_networks_are_unknown() {
    let place = Place::new();
    let mut settings = settings(&place.data());
    settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let server = Running::start(settings).await;
    let clients = (0..60_u128).map(|n| (n, format!("10.{}.0.1", n % 30)));
    for (n, client) in clients {
        // Six slots make an engine served.
        for slot in 0..6 {
            let time = NOW / DAY * DAY + slot * 600_000;
            server.now.store(time, Ordering::SeqCst);
            assert_eq!(server.post_for("/", beat(n, time), Some(&client)).await, 200);
        }
    }
    server.stop().await;
    let shown = picture(&place.read());
    let published = |file: &Place| {
        let close = (NOW / DAY + 4) * DAY;
        let mut core = Core::open(&file.data(), &[], close).unwrap();
        otel_usage_serve::questions::close(core.connection(), &Rules::default(), close).unwrap();
        rows(core.connection(), "SELECT count(*) > 0 FROM cube WHERE published = 1")
    };
    // As a kill leaves it: the batches are there, and no row that follows from them.
    let killed = Place::new();
    std::fs::copy(place.data(), killed.data()).unwrap();
    let db = rusqlite::Connection::open(killed.data()).unwrap();
    for table in ["session", "presence", "facet", "origin", "quality"] {
        db.execute(&format!("DELETE FROM {table}"), []).unwrap();
    }
    db.execute("UPDATE meta SET value = 0 WHERE key = 'projected'", []).unwrap();
    drop(db);
    drop(Core::open(&killed.data(), &[], NOW).unwrap());
    assert_eq!(picture(&killed.read()), shown);
    assert_eq!(rows(&killed.read(), "SELECT count(*) FROM origin"), ["0"]);
    // Engines of unknown networks might all be of one, so nothing of them is published.
    assert_eq!([published(&place), published(&killed)], [["1"], ["0"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_message_is_named_and_the_rest_is_kept() {
    let place = Place::new();
    let server = place.serve().await;
    post_all(&server).await;
    server.stop().await;
    assert!(check(&place.data(), &[]).unwrap().is_sound());
    let db = rusqlite::Connection::open(place.data()).unwrap();
    // One bit of one batch.
    let (id, messages, mut frame): (i64, u32, Vec<u8>) = db
        .query_row("SELECT id, messages, lines FROM batch LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    let messages = u64::from(messages);
    let middle = frame.len() / 2;
    frame[middle] ^= 1;
    db.execute("UPDATE batch SET lines = ?2 WHERE id = ?1", (id, frame)).unwrap();
    drop(db);
    let health = check(&place.data(), &[]).unwrap();
    assert!(!health.is_sound() && health.pages.is_empty());
    assert_eq!(
        (health.lost.len(), health.lost[0].batch, health.lost[0].messages),
        (1, id, Some(messages))
    );
    assert!(health.lost[0].to_string().contains("received on 2026-08-2"), "{}", health.lost[0]);
    let mut core = Core::open(&place.data(), &[], NOW).unwrap();
    core.rebuild(NOW).unwrap();
    drop(core);
    let sessions = rows(&place.read(), "SELECT count(*) FROM session")[0].parse::<u64>().unwrap();
    assert!(sessions >= 11 - messages, "{sessions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_pages_are_named_and_the_rest_is_saved() {
    let place = Place::new();
    let server = place.serve().await;
    post_all(&server).await;
    for n in 0..300 {
        server.post("/", beat(n, NOW)).await;
    }
    server.stop().await;
    let before = picture(&place.read());
    // Every page but the first and those of the batches is overwritten.
    let db = place.read();
    let keep: Vec<u64> =
        rows(&db, "SELECT pageno FROM dbstat WHERE name IN ('batch', 'sqlite_schema')")
            .iter()
            .map(|page| page.parse().unwrap())
            .collect();
    let tables = rows(&db, "SELECT DISTINCT name FROM dbstat");
    assert!(tables.len() > 5);
    drop(db);
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(place.data()).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    for page in 1..=pages {
        if !keep.contains(&page) {
            file.seek(SeekFrom::Start((page - 1) * 4096)).unwrap();
            file.write_all(&[0xa5; 4096]).unwrap();
        }
    }
    drop(file);
    let health = check(&place.data(), &[]).unwrap();
    assert!(!health.pages.is_empty() && health.lost.is_empty(), "{health:?}");
    let copy = place.0.path().join("copy.db");
    backup(&place.data(), &copy).unwrap_err();
    assert!(!copy.exists(), "the part of a copy is left");
    let (lost, damaged) = save(&place.data()).unwrap();
    assert!(lost.iter().any(|what| what.contains("table session")), "{lost:?}");
    assert!(damaged.exists());
    let mut core = Core::open(&place.data(), &[], NOW).unwrap();
    core.rebuild(NOW).unwrap();
    drop(core);
    assert!(check(&place.data(), &[]).unwrap().is_sound());
    assert_eq!(picture(&place.read()), before);
}
