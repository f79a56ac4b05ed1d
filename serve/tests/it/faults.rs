//! What goes wrong around a usage server. `cli/tests/it/serve.rs` has the faults that need a process of its own.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::atomic::Ordering;

use otel_usage_serve::Server;
use otel_usage_serve::questions::Rules;
use otel_usage_serve::store::{Core, Days, check, open_to_read, save};

use crate::running::{DAY, NOW, Place, Running, clock, goldens, picture, post_all, rows, settings};

fn beat(session: u128, time: i64) -> String {
    format!("{{\"uuid\": \"{}\", \"log_time\": {time}000000}}", uuid::Uuid::from_u128(session))
}

#[tokio::test(flavor = "multi_thread")]
async fn three_clients_behind_one_proxy_are_three_origins() {
    let place = Place::new();
    let mut settings = settings(&place.data());
    settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server = Running::start(settings).await;
    for (n, client) in ["192.0.2.1", "198.51.100.7", "2001:db8::1", "192.0.2.9"].iter().enumerate()
    {
        assert_eq!(server.post_for("/", beat(n as u128, NOW), Some(client)).await, 200);
    }
    server.stop().await;
    let origins = "SELECT count(*), count(DISTINCT origin), count(DISTINCT key) FROM origin";
    assert_eq!(rows(&place.read(), origins), ["4|3|1"]);
    // Without trust the proxy is the client, whatever it says.
    let place = Place::new();
    let server = place.serve().await;
    for (n, client) in ["192.0.2.1", "198.51.100.7", "2001:db8::1"].iter().enumerate() {
        server.post_for("/", beat(n as u128, NOW), Some(client)).await;
    }
    server.stop().await;
    assert_eq!(rows(&place.read(), origins), ["3|1|1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_a_day_off_moves_no_day() {
    let place = Place::new();
    let server = place.serve().await;
    let today = NOW / DAY;
    // Engines whose clocks are a day ahead, right, and a day back; the last may be a message that waited.
    for (session, time) in [(1, NOW + DAY), (2, NOW), (3, NOW - DAY), (4, NOW - 8 * DAY)] {
        assert_eq!(server.post("/", beat(session, time)).await, 200);
    }
    // The server's own clock goes a day back, and forth again.
    for off in [-DAY, 0] {
        server.now.store(NOW + off, Ordering::SeqCst);
        assert_eq!(server.post("/", beat(5, NOW + off)).await, 200);
    }
    server.stop().await;
    let days = rows(
        &place.read(),
        "SELECT hex(substr(uuid, 16)), group_concat(day) FROM presence JOIN session s ON s.id = session GROUP BY uuid",
    );
    let expected = [
        format!("01|{today}"),
        format!("02|{today}"),
        format!("03|{}", today - 1),
        format!("04|{today}"),
        format!("05|{},{today}", today - 1),
    ];
    assert_eq!(days, expected);
    assert_eq!(rows(&place.read(), "SELECT sum(count) FROM quality WHERE name = 'skewed'"), ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn midnight_within_a_batch_makes_two_days() {
    let place = Place::new();
    let server = place.serve().await;
    let midnight = (NOW / DAY + 1) * DAY;
    let before: Vec<_> = (0..20).map(|n| server.post("/", beat(n, midnight - 1))).collect();
    server.now.store(midnight - 1, Ordering::SeqCst);
    let all = futures_util::future::join_all(before);
    let moved = async {
        // The second half arrives a moment later, and most likely within the same twenty milliseconds.
        let now = server.now.clone();
        now.store(midnight, Ordering::SeqCst);
        let after = (20..40).map(|n| server.post("/", beat(n, midnight)));
        futures_util::future::join_all(after).await
    };
    let (one, other) = futures_util::join!(all, moved);
    assert!(one.iter().chain(&other).all(|status| *status == 200));
    server.stop().await;
    let db = place.read();
    let days = "SELECT day, count(*) FROM presence GROUP BY day ORDER BY day";
    let day = midnight / DAY;
    assert_eq!(rows(&db, days), [format!("{}|20", day - 1), format!("{day}|20")]);
    // Each batch holds messages of its own day, by receipt.
    for row in rows(&db, "SELECT id, day FROM batch") {
        let (id, day) = row.split_once('|').unwrap();
        let frame: Vec<u8> =
            db.query_row("SELECT lines FROM batch WHERE id = ?1", [id], |row| row.get(0)).unwrap();
        let text = String::from_utf8(zstd::decode_all(frame.as_slice()).unwrap()).unwrap();
        for line in text.lines() {
            let line: Vec<serde_json::Value> = serde_json::from_str(line).unwrap();
            assert_eq!((line[2].as_i64().unwrap() / DAY).to_string(), day);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_day_after_its_close_keeps_its_origins_for_the_correction() {
    let place = Place::new();
    let server = place.serve().await;
    // Every day since the first message is closed, whether anything was heard on it or not.
    server.post("/", beat(1, NOW - 6 * DAY)).await;
    server.store.maintain(Days::default(), Rules::default()).await;
    let day = NOW / DAY;
    let closed = format!("SELECT value - {day} FROM meta WHERE key = 'closed'");
    assert_eq!(rows(&place.read(), &closed), ["-3"]);
    server.post("/", beat(2, NOW - 5 * DAY)).await;
    server.post("/", beat(3, NOW - DAY)).await;
    server.store.maintain(Days::default(), Rules::default()).await;
    server.stop().await;
    let days = [day - 5, day - 1].map(|day| day.to_string());
    assert_eq!(rows(&place.read(), "SELECT day FROM origin ORDER BY day"), days);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_file_is_refused() {
    let place = Place::new();
    let server = place.serve().await;
    let error = Server::bind(&settings(&place.data()), clock(&server.now)).await.unwrap_err();
    assert!(error.to_string().contains("another otel-usage serve uses this file"), "{error:#}");
    assert!(Core::open(&place.data(), &[], NOW).is_err());
    // A link is another name of the same file.
    #[cfg(unix)]
    {
        let link = place.0.path().join("link.db");
        std::os::unix::fs::symlink(place.data(), &link).unwrap();
        assert!(Core::open(&link, &[], NOW).is_err());
    }
    assert_eq!(server.post("/", beat(1, NOW)).await, 200);
    server.stop().await;
    Core::open(&place.data(), &[], NOW).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_something_else_is_refused() {
    let place = Place::new();
    let other = rusqlite::Connection::open(place.data()).unwrap();
    other.execute_batch("CREATE TABLE mine (a); INSERT INTO mine VALUES (1)").unwrap();
    drop(other);
    let error = Core::open(&place.data(), &[], NOW).unwrap_err();
    assert!(error.to_string().contains("it is no store of otel-usage"), "{error:#}");
    // Another program has made it and has no tables yet.
    std::fs::remove_file(place.data()).unwrap();
    let other = rusqlite::Connection::open(place.data()).unwrap();
    other.pragma_update(None, "application_id", 7).unwrap();
    drop(other);
    let error = Core::open(&place.data(), &[], NOW).unwrap_err();
    assert!(error.to_string().contains("it is of another program"), "{error:#}");
    std::fs::write(place.data(), "a text of some length that is no database at all").unwrap();
    assert!(Core::open(&place.data(), &[], NOW).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_other_tables_is_refused_and_says_which_program_reads_it() {
    let place = Place::new();
    drop(Core::open(&place.data(), &[], NOW).unwrap());
    let change = |sql: &str| {
        rusqlite::Connection::open(place.data()).unwrap().execute_batch(sql).unwrap();
        let refused = [
            Core::open(&place.data(), &[], NOW).unwrap_err().to_string(),
            open_to_read(&place.data()).unwrap_err().to_string(),
        ];
        assert_eq!(refused[0], refused[1]);
        refused[0].clone()
    };
    let newer = change("PRAGMA user_version = 99");
    assert!(newer.contains("a newer otel-usage has written it, in format 99"), "{newer}");
    let older = change("PRAGMA user_version = 0");
    assert!(older.contains("an older otel-usage has written it, in format 0"), "{older}");
    let other = change("PRAGMA user_version = 1; ALTER TABLE cube DROP COLUMN largest");
    assert!(other.contains("the column cube.largest is missing: use that one"), "{other}");
}

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
    let (lost, damaged) = save(&place.data()).unwrap();
    assert!(lost.iter().any(|what| what.contains("table session")), "{lost:?}");
    assert!(damaged.exists());
    let mut core = Core::open(&place.data(), &[], NOW).unwrap();
    core.rebuild(NOW).unwrap();
    drop(core);
    assert!(check(&place.data(), &[]).unwrap().is_sound());
    assert_eq!(picture(&place.read()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_address_is_in_no_file_and_no_metric() {
    let place = Place::new();
    let mut settings = settings(&place.data());
    settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let server = Running::start(settings).await;
    let planted = ["203.0.113.77", "2001:db8:dead:beef::77"];
    for (n, address) in planted.iter().enumerate() {
        assert_eq!(server.post_for("/", beat(n as u128, NOW), Some(address)).await, 200);
        assert_eq!(server.post_for("/", "not json", Some(address)).await, 400);
    }
    post_all(&server).await;
    server.store.maintain(Days::default(), Rules::default()).await;
    let metrics =
        server.client.get(format!("{}/metrics", server.maintainers)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("otel_usage_bridge_requests"), "{metrics}");
    let mut seen = vec![("metrics".to_owned(), metrics.into_bytes())];
    let collect = |seen: &mut Vec<(String, Vec<u8>)>| {
        for entry in std::fs::read_dir(place.0.path()).unwrap() {
            let path = entry.unwrap().path();
            let mut bytes = Vec::new();
            std::fs::File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
            seen.push((path.display().to_string(), bytes));
        }
    };
    // While the log of SQLite is there, and after the end.
    collect(&mut seen);
    server.stop().await;
    collect(&mut seen);
    assert!(seen.len() >= 4);
    let v4 = [203, 0, 113, 77];
    let v6: std::net::Ipv6Addr = planted[1].parse().unwrap();
    for (place, bytes) in &seen {
        let has = |needle: &[u8]| bytes.windows(needle.len()).any(|piece| piece == needle);
        for needle in
            planted.map(str::as_bytes).iter().chain([&b"203.0.113."[..], &b"2001:db8"[..]].iter())
        {
            assert!(!has(needle), "{place}");
        }
        assert!(!has(&v4) && !has(&v6.octets()[..6]), "{place}");
    }
    let db = place.read();
    let wide = rows(&db, "SELECT count(*) FROM origin WHERE origin >= 1 << 20");
    assert_eq!(wide, ["0"]);
    for frame in db
        .prepare("SELECT lines FROM batch")
        .unwrap()
        .query_map([], |row| row.get::<_, Vec<u8>>(0))
        .unwrap()
    {
        let text = String::from_utf8(zstd::decode_all(frame.unwrap().as_slice()).unwrap()).unwrap();
        assert!(!text.contains("203.0.113") && !text.contains("2001:db8"), "{text}");
    }
    assert!(goldens().len() > 1);
}
