//! Networks: which client a message counts for, and that no address is kept.

use std::io::Read as _;

use otel_usage_serve::questions::Rules;
use otel_usage_serve::store::Days;

use crate::running::{NOW, Place, Running, beat, goldens, post_all, rows, settings};

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
