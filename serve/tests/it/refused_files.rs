//! Files that a server must not write to.

use otel_usage_serve::Server;
use otel_usage_serve::page::render;
use otel_usage_serve::store::{Core, open_to_read};

use crate::running::{NOW, Place, beat, clock, settings};

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
async fn a_server_whose_port_is_taken_makes_no_file() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    for option in ["--listen", "--maintainers"] {
        let place = Place::new();
        let mut settings = settings(&place.data());
        let one =
            if option == "--listen" { &mut settings.listen } else { &mut settings.maintainers };
        one.push(taken);
        let now = std::sync::Arc::new(NOW.into());
        let error = Server::bind(&settings, clock(&now)).await.unwrap_err();
        let text = format!("cannot listen on {taken}: choose another address with {option}");
        assert_eq!(error.to_string(), text);
        assert_eq!(std::fs::read_dir(place.0.path()).unwrap().count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_something_else_is_refused() {
    let place = Place::new();
    let other = rusqlite::Connection::open(place.data()).unwrap();
    other.execute_batch("CREATE TABLE mine (a); INSERT INTO mine VALUES (1)").unwrap();
    drop(other);
    let error = Core::open(&place.data(), &[], NOW).unwrap_err();
    assert!(error.to_string().contains("it is no store of otel-usage"), "{error:#}");
    let pages = place.0.path().join("pages");
    let error = render(&place.data(), &pages, NOW).unwrap_err();
    assert!(error.to_string().contains("it is no store of otel-usage"), "{error:#}");
    assert!(!pages.exists(), "pages of another program's file are written");
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
