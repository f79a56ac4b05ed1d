//! Days: engines whose clock is wrong, midnight, and a day that is late.

use std::sync::atomic::Ordering;

use otel_usage_serve::questions::Rules;
use otel_usage_serve::store::Days;

use crate::running::{DAY, NOW, Place, beat, rows};

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
