//! Making again, deleting, packing, and limits: what a maintainer does with the file.

use std::sync::atomic::Ordering;

use otel_usage_serve::questions::Rules;
use otel_usage_serve::store::{Core, Days, Format, Rows, export};

use crate::archive::{archive, import};
use crate::running::{DAY, NOW, Place, Running, beat, goldens, picture, post_all, rows, settings};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rebuilt_is_what_was_there() {
    let place = Place::new();
    let server = place.serve().await;
    post_all(&server).await;
    server.stop().await;
    let before = picture(&place.read());
    let quality = rows(&place.read(), "SELECT * FROM quality ORDER BY day, name, label");
    let origins = rows(&place.read(), "SELECT * FROM origin ORDER BY day, session, key");
    assert!(!origins.is_empty());
    let mut core = Core::open(&place.data(), &[], NOW).unwrap();
    // A row that no message gives.
    core.connection().execute("UPDATE session SET beats = 1000", []).unwrap();
    core.connection().execute("DELETE FROM presence", []).unwrap();
    core.connection()
        .execute("INSERT INTO session (uuid, engine, contract, first, last) SELECT zeroblob(16), engine, contract, 5, 6 FROM session LIMIT 1", [])
        .unwrap();
    let messages = core.rebuild(NOW).unwrap();
    assert_eq!(usize::try_from(messages).unwrap(), goldens().len());
    drop(core);
    let db = place.read();
    assert_eq!(picture(&db), before);
    assert_eq!(rows(&db, "SELECT * FROM quality ORDER BY day, name, label"), quality);
    assert_eq!(rows(&db, "SELECT * FROM origin ORDER BY day, session, key"), origins);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_forgotten_does_not_come_back_by_a_replay() {
    let (uuid, machine) =
        ("b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10", "f4b6a2c8-9d17-4e57-8a0b-6c1d2e3f4a5b");
    let place = Place::new();
    let server = place.serve().await;
    post_all(&server).await;
    // On the maintainers' listener while the server runs, and not by a page of another site.
    let forget = || server.client.post(format!("{}/forget", server.maintainers));
    let strange = forget().header("origin", "https://example.org").body(uuid).send().await;
    assert_eq!(strange.unwrap().status(), 403);
    let answer = forget().body(uuid).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), "deleted 1 sessions and 3 messages\n");
    assert_eq!(forget().body("me").send().await.unwrap().status(), 400);
    // The engine goes on.
    let beat = format!("{{\"uuid\": \"{uuid}\", \"log_time\": {NOW}000000}}");
    assert_eq!(server.post("/", beat).await, 200);
    server.stop().await;
    // By the command.
    let mut core = Core::open(&place.data(), &[], NOW).unwrap();
    let done = core.forget(machine).unwrap();
    assert_eq!(done.sessions, 2);
    assert!(done.messages > 10, "{done:?}");
    assert!(core.forget("me").is_err());
    let files = archive(&place);
    let imported = import(&mut core, &files);
    assert!(imported.deleted > 10 && imported.messages > 0, "{imported:?}");
    core.rebuild(NOW).unwrap();
    drop(core);
    let db = place.read();
    let ids = [uuid, machine, "0d3a1e0f-5c8f-4f7d-9f0c-2b8c6a3b7d41"].map(|id| id.replace('-', ""));
    let left =
        picture(&db).into_iter().filter(|row| ids.iter().any(|id| row.contains(id.as_str())));
    assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
    let mut exported = Vec::new();
    export(&place.data(), Rows::Messages, Format::Json, &mut exported).unwrap();
    let exported = String::from_utf8(exported).unwrap();
    assert!(exported.contains("fbe880e9-084d-4cab-a395-8984c50f1109"));
    assert!(!exported.contains(uuid) && !exported.contains(machine), "{exported}");
    // Also not in pages that are free.
    drop(db);
    assert!(!is_on_disk(&place, uuid));
}

/// Returns whether the file or its log has the bytes of an identity, also in pages that are free.
fn is_on_disk(place: &Place, id: &str) -> bool {
    let raw = id.parse::<uuid::Uuid>().unwrap().into_bytes();
    let files = std::fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut files = files.filter(|file| file.to_str().unwrap().contains("usage.db"));
    files.any(|file| std::fs::read(file).unwrap().windows(16).any(|piece| piece == raw))
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_engines_go_with_the_last_row_that_names_them() {
    let place = Place::new();
    let server = place.serve().await;
    post_all(&server).await;
    server.stop().await;
    let mut core = Core::open(&place.data(), &[], NOW).unwrap();
    let before = picture(&place.read());
    let texts = || rows(&place.read(), "SELECT text FROM word ORDER BY text");
    let all = texts();
    core.forget_words(NOW).unwrap();
    assert_eq!((picture(&place.read()), texts()), (before, all.clone()));
    core.forget("b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10").unwrap();
    // Once a day, because it reads every session.
    core.forget_words(NOW).unwrap();
    assert_eq!(texts(), all);
    core.forget_words(NOW + DAY).unwrap();
    assert!(texts().len() < all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_says_that_the_log_still_holds_the_messages() {
    let uuid = "b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10";
    let place = Place::new();
    let server = place.serve().await;
    post_all(&server).await;
    server.stop().await;
    let mut core = Core::open(&place.data(), &[], NOW).unwrap();
    // A page that is being made.
    let reader = place.read();
    reader.execute_batch("BEGIN; SELECT count(*) FROM session").unwrap();
    let busy = core.forget(uuid).unwrap_err().to_string();
    assert!(busy.contains("delete it once more"), "{busy}");
    drop(reader);
    core.forget(uuid).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_waits_for_a_reader_holds_up_no_message() {
    let uuid = "b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10";
    let machine = "f4b6a2c8-9d17-4e57-8a0b-6c1d2e3f4a5b";
    let place = Place::new();
    let server = place.serve().await;
    post_all(&server).await;
    let forget = |id: &'static str| {
        server.client.post(format!("{}/forget", server.maintainers)).body(id).send()
    };
    // A page that is being made.
    let reader = place.read();
    reader.execute_batch("BEGIN; SELECT count(*) FROM session").unwrap();
    let deletion = tokio::spawn(forget(uuid));
    for session in 1..=8 {
        assert_eq!(server.post("/", beat(session, NOW)).await, 200);
    }
    // Messages that had to wait would have been taken after the deletion gave up.
    drop(reader);
    let answer = deletion.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    // A backup that takes longer than a deletion waits.
    let reader = place.read();
    reader.execute_batch("BEGIN; SELECT count(*) FROM session").unwrap();
    let answer = forget(machine).await.unwrap();
    assert_eq!(answer.status(), 503);
    let said = answer.text().await.unwrap();
    assert!(said.contains("the log beside the file still holds it"), "{said}");
    drop(reader);
    assert!(is_on_disk(&place, machine));
    server.store.maintain(Days::default(), Rules::default()).await;
    assert!(!is_on_disk(&place, machine));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_after_90_days_and_sessions_after_400() {
    let place = Place::new();
    let server = place.serve().await;
    let day = server.now.load(Ordering::SeqCst) / DAY * DAY;
    server
        .post("/", format!("{{\"uuid\": \"{}\", \"log_time\": 0}}", uuid::Uuid::from_u128(7)))
        .await;
    let count = |table: &str| {
        let rows = rows(&place.read(), &format!("SELECT count(*) FROM {table}"));
        rows[0].parse::<i64>().unwrap()
    };
    for (days, batches, sessions, origins) in [
        (0, 1, 1, 1),
        (2, 1, 1, 1),
        (3, 1, 1, 0),
        (90, 1, 1, 0),
        (91, 0, 1, 0),
        (400, 0, 1, 0),
        (402, 0, 0, 0),
    ] {
        server.now.store(day + days * DAY, Ordering::SeqCst);
        server.store.maintain(Days::default(), Rules::default()).await;
        let found = ["batch", "session", "origin"].map(count);
        assert_eq!(found, [batches, sessions, origins], "after {days} days");
    }
    assert_eq!(count("presence"), 0);
    assert_eq!(rows(&place.read(), "SELECT value FROM meta WHERE key = 'kept_from'").len(), 1);
    // The memory about the session is gone too.
    server
        .post("/", format!("{{\"uuid\": \"{}\", \"log_time\": 0}}", uuid::Uuid::from_u128(7)))
        .await;
    server.stop().await;
    assert_eq!(count("session"), 1);
    assert_eq!(
        rows(&place.read(), "SELECT count(*) FROM presence p JOIN session s ON s.id = p.session"),
        ["1"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_day_is_smaller_and_gives_the_same_rows() {
    let place = Place::new();
    let server = place.serve().await;
    let start = server.now.load(Ordering::SeqCst) / DAY * DAY;
    for slot in 0..30 {
        server.now.store(start + slot * 600_000, Ordering::SeqCst);
        for session in 0..5_u128 {
            let (id, time) =
                (uuid::Uuid::from_u128(session << 64 | 99), server.now.load(Ordering::SeqCst));
            server.post("/", format!("{{\"uuid\": \"{id}\", \"log_time\": {time}000000}}")).await;
        }
    }
    let size = || {
        rows(&place.read(), "SELECT sum(length(lines)), sum(messages), count(*) FROM batch")[0]
            .clone()
    };
    let before = size();
    server.now.store(start + 3 * DAY, Ordering::SeqCst);
    server.store.maintain(Days::default(), Rules::default()).await;
    let after = size();
    server.stop().await;
    let numbers =
        |text: &str| -> Vec<i64> { text.split('|').map(|part| part.parse().unwrap()).collect() };
    let (before, after) = (numbers(&before), numbers(&after));
    assert_eq!((before[1], after[1], after[2]), (150, 150, 1));
    assert!(after[0] * 3 < before[0], "{before:?} {after:?}");
    let shown = picture(&place.read());
    let mut core = Core::open(&place.data(), &[], NOW).unwrap();
    assert_eq!(core.rebuild(NOW + 3 * DAY).unwrap(), 150);
    assert_eq!(picture(&place.read()), shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_sends_too_much_is_asked_to_wait() {
    let place = Place::new();
    let mut settings = settings(&place.data());
    settings.rate = 1;
    settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let server = Running::start(settings).await;
    let beat = format!("{{\"uuid\": \"{}\", \"log_time\": 0}}", uuid::Uuid::from_u128(1));
    for _ in 0..60 {
        assert_eq!(server.post_for("/", beat.as_str(), Some("192.0.2.1")).await, 200);
    }
    let request = server.client.post(&server.url).header("x-forwarded-for", "192.0.2.99");
    let answer = request.body(beat.clone()).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (429, &"1".parse().unwrap())
    );
    assert_eq!(server.post_for("/", beat.as_str(), Some("198.51.100.1")).await, 200);
    server.now.fetch_add(1_000, Ordering::SeqCst);
    assert_eq!(server.post_for("/", beat.as_str(), Some("192.0.2.1")).await, 200);
    server.store.maintain(Days::default(), Rules::default()).await;
    server.stop().await;
    let refused =
        rows(&place.read(), "SELECT name, label, count FROM quality WHERE name = 'refused'");
    assert_eq!(refused, ["refused|too_many|1"]);
}
