//! Measures the front page of the usage server with the made-up month of the demo: its size, and the time of an answer
//! beside that of a file of the same size, then with ten times as many sessions in the same store. Beside it the other
//! pages that take long: the maintainers' report, and the checksums of all days.
//!
//! `cargo bench -p otel-usage-serve-demo --bench page`
//!
//! With the name of a file, the store is kept there and used again, and only its own sessions are measured.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking, and reads the clock"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::routing::get;
use otel_usage_serve::page;
use otel_usage_serve_demo::{DAY, live, month, scratch};
use rusqlite::Connection;
use tokio::runtime::Runtime;

/// Answers from memory. A page that is made anew costs more, so there are fewer of these.
const AGAIN: usize = 4_000;
const ANEW: usize = 400;
const SLOW: usize = 20;

fn main() {
    println!("load average {}", std::fs::read_to_string("/proc/loadavg").unwrap().trim());
    let runtime = Runtime::new().unwrap();
    let plan = month(20_773);
    let fill = |file: &Path| runtime.block_on(live(file, plan, |_, _| {})).unwrap();
    if let Some(file) = std::env::args().skip(1).find(|one| one != "--bench") {
        let file = Path::new(&file);
        if !file.exists() {
            fill(file);
        }
        measure(&runtime, file, plan.begin + plan.days * DAY);
        return;
    }
    let folder = scratch().unwrap();
    let file = folder.path().join("otel-usage.db");
    let now = fill(&file);
    let size = measure(&runtime, &file, now);
    multiply(&file, 10);
    assert_eq!(measure(&runtime, &file, now), size, "the page has changed");
}

/// Measures the page of this store, and returns its size.
fn measure(runtime: &Runtime, file: &Path, now: i64) -> usize {
    let sessions: i64 = Connection::open(file)
        .unwrap()
        .query_row("SELECT count(*) FROM session", [], |row| row.get(0))
        .unwrap();
    let serve = |router: Router| {
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = runtime.spawn(async move { axum::serve(listener, router).await });
        (address, serving)
    };
    // Of pages with numbers, none names it.
    let listener = SocketAddr::from(([127, 0, 0, 1], 8_080));
    let site = || page::router(file, Arc::new(move || now), listener);

    let (address, serving) = serve(site());
    let mut client = Client::new(address);
    let (report, style) = (client.get("/"), client.get("/style.css"));
    println!(
        "{sessions} sessions: the front page has {} bytes after gzip, with its style sheet {}, in 2 requests",
        report.len(),
        report.len() + style.len()
    );
    let head = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_ENCODING, "gzip"),
        (CACHE_CONTROL, "max-age=60"),
        (VARY, "accept-encoding"),
    ];
    let same = report.clone();
    let (beside, serving_file) =
        serve(Router::new().route("/", get(async move || (head, same.clone()))));
    let mut plain = Client::new(beside);
    // In turns, so that both meet the same other work.
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..AGAIN {
        ours.push(client.time("/"));
        theirs.push(plain.time("/"));
    }
    serving.abort();
    serving_file.abort();
    let anew = |times: usize, path: &str, site: &dyn Fn() -> Router| -> Vec<Duration> {
        let once = |_| {
            // A server that has just started remembers no page.
            let (address, serving) = serve(site());
            let time = Client::new(address).time(path);
            serving.abort();
            time
        };
        (0..times).map(once).collect()
    };
    let internal = || page::internal(file, Arc::new(move || now), listener);
    let rows = [
        ("made anew", anew(ANEW, "/", &site)),
        ("from memory", ours),
        ("a file of that size", theirs),
        ("the maintainers' report", anew(SLOW, "/", &internal)),
        ("the checksums of all days", anew(SLOW, "/data/SHA256SUMS", &site)),
    ];
    for (what, mut times) in rows {
        times.sort();
        let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e3;
        println!("  {what}: p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));
    }
    report.len()
}

/// Makes each session of the store so many.
fn multiply(file: &Path, times: i64) {
    let db = Connection::open(file).unwrap();
    let last: i64 = db.query_row("SELECT max(id) FROM session", [], |row| row.get(0)).unwrap();
    for copy in 1..times {
        let shift = copy * last;
        let copies = format!(
            "BEGIN;
             INSERT INTO session (id, uuid, engine, contract, reported, machine, first, last, beats)
                 SELECT id + {shift}, randomblob(16), engine, contract, reported, machine, first, last, beats
                 FROM session WHERE id <= {last};
             INSERT INTO facet SELECT session + {shift}, name, value FROM facet WHERE session <= {last};
             INSERT INTO presence SELECT day, session + {shift}, slots FROM presence WHERE session <= {last};
             COMMIT;"
        );
        db.execute_batch(&copies).unwrap();
    }
}

/// A connection that asks for pages as a browser does.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    fn time(&mut self, path: &str) -> Duration {
        let began = Instant::now();
        self.get(path);
        began.elapsed()
    }

    /// Returns the body as it came.
    fn get(&mut self, path: &str) -> Vec<u8> {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: usage\r\naccept-encoding: gzip\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        for nth in 0.. {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            assert!(nth > 0 || line.contains(" 200 "), "{line}");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        body
    }
}
