use std::path::Path;

use axum::body::{Body, to_bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{Request, Response, StatusCode};
use rusqlite::Connection;
use tower::ServiceExt as _;

use super::address::Site;
use super::shell::Shell;
use super::*;
use crate::questions::Filter;
use crate::store::Core;

const NOW: i64 = 1_795_867_500_000;

/// Where the server listens.
const LISTENER: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 9_090);

fn empty(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("otel-usage.db");
    drop(Core::open(&file, &[], NOW).unwrap());
    file
}

async fn get(router: &axum::Router, address: &str, accept: &str) -> Response<Body> {
    let request = Request::get(address).header("accept-encoding", accept).body(Body::empty());
    router.clone().oneshot(request.unwrap()).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(body.into()).unwrap()
}

const PAGES: [&str; 6] =
    ["/", "/?engine=vllm&days=90&show=share", "/method", "/dictionary", "/quality", "/data/"];

#[tokio::test]
async fn an_empty_store_shows_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let router = router(&empty(folder.path()), std::sync::Arc::new(|| NOW), LISTENER);
    for address in PAGES {
        assert_eq!(get(&router, address, "").await.status(), StatusCode::OK, "{address}");
    }
    let front = text(get(&router, "/", "").await).await;
    assert!(front.contains("There is nothing to publish yet"), "{front}");
    assert!(front.contains("VLLM_USAGE_STATS_SERVER"), "{front}");
    assert!(!front.contains("These are the counts"), "{front}");
}

#[tokio::test]
async fn an_empty_page_names_the_address_at_which_it_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = empty(folder.path());
    let clock: crate::store::Clock = std::sync::Arc::new(|| NOW);
    let public = router(&file, clock.clone(), LISTENER);
    let shown = async |router: &axum::Router, uri: &str, headers: &[(&str, &str)]| {
        let request = headers
            .iter()
            .fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        let page = text(response).await;
        let (_, rest) = page.split_once("VLLM_USAGE_STATS_SERVER=").unwrap();
        for variable in ["LMCACHE_USAGE_TRACK_URL=", "OTEL_USAGE_OTLP_ENDPOINT="] {
            let (_, other) = page.split_once(variable).unwrap();
            assert_eq!(other.split(' ').next(), rest.split(' ').next());
        }
        rest.split(' ').next().unwrap().to_owned()
    };
    let own = "http://127.0.0.1:9090";
    for (headers, address) in [
        (&[("host", "usage.example.org")][..], "http://usage.example.org"),
        (&[("host", "[::1]:81")], "http://[::1]:81"),
        (
            &[("host", "usage.example.org"), ("x-forwarded-proto", "https")],
            "https://usage.example.org",
        ),
        (&[("host", "a\"><b>")], own),
        (&[("host", "$(id)")], own),
        (&[], own),
    ] {
        assert_eq!(shown(&public, "/", headers).await, address);
    }
    // As in HTTP/2.
    assert_eq!(shown(&public, "http://two.example:1/", &[]).await, "http://two.example:1");
    // Engines do not report to the listener of maintainers.
    let internal = internal(&file, clock, LISTENER);
    assert_eq!(shown(&internal, "/", &[("host", "localhost:9091")]).await, own);
    let site = folder.path().join("site");
    render(&file, &site, NOW).unwrap();
    let page = std::fs::read_to_string(site.join("index.html")).unwrap();
    assert!(page.contains("VLLM_USAGE_STATS_SERVER=http://ADDRESS:PORT "), "{page}");
}

#[tokio::test]
async fn maintainers_are_offered_the_window_that_they_see() {
    let folder = tempfile::tempdir().unwrap();
    let file = empty(folder.path());
    let start = "INSERT INTO word VALUES (1, 'vllm'), (2, 'vllm/current');
        INSERT INTO session (id, uuid, engine, contract, first, last, beats) VALUES (1, x'01', 1, 2, ?1, ?1, 0)";
    let [words, session] = start.split(';').collect::<Vec<_>>()[..] else { panic!() };
    let connection = Connection::open(&file).unwrap();
    connection.execute(words, []).unwrap();
    connection.execute(session, [NOW]).unwrap();
    let clock: crate::store::Clock = std::sync::Arc::new(|| NOW);
    let (public, internal) =
        (router(&file, clock.clone(), LISTENER), internal(&file, clock, LISTENER));
    for address in ["/", "/?days=90", "/data/"] {
        let page = text(get(&internal, address, "").await).await;
        assert!(page.contains("7 days"), "{address}: {page}");
        for other in ["28 days", "90 days", "days=28", "days=90"] {
            assert!(!page.contains(other), "{address}: {other}: {page}");
        }
    }
    let page = text(get(&internal, "/", "").await).await;
    // 28 November 2026.
    assert!(page.contains("22 November 2026</time> to <time datetime=\"2026-11-28\""), "{page}");
    let page = text(get(&public, "/data/", "").await).await;
    assert!(page.contains("28 days") && page.contains("days=90"), "{page}");
}

#[tokio::test]
async fn an_example_of_the_dictionary_is_the_value_itself() {
    let folder = tempfile::tempdir().unwrap();
    let router = router(&empty(folder.path()), std::sync::Arc::new(|| NOW), LISTENER);
    let page = text(get(&router, "/dictionary", "").await).await;
    assert!(page.contains("<code>{&quot;VLLM_USE_MODELSCOPE&quot;: false,"), "{page}");
}

#[tokio::test]
async fn every_page_has_a_strict_policy_and_no_script() {
    let folder = tempfile::tempdir().unwrap();
    let router = router(&empty(folder.path()), std::sync::Arc::new(|| NOW), LISTENER);
    for address in PAGES {
        let response = get(&router, address, "").await;
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
        let page = text(response).await;
        for forbidden in ["<script", " style=", " onclick", "https://", "@import"] {
            assert!(!page.contains(forbidden), "{address}: {forbidden}");
        }
    }
}

#[tokio::test]
async fn an_answer_is_zipped_if_the_client_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let router = router(&empty(folder.path()), std::sync::Arc::new(|| NOW), LISTENER);
    let none = get(&router, "/style.css", "gzip;q=0").await;
    assert!(!none.headers().contains_key(CONTENT_ENCODING));
    let plain = get(&router, "/style.css", "identity").await;
    assert_eq!(plain.headers()[CONTENT_TYPE], "text/css; charset=utf-8");
    let plain = text(plain).await;
    assert_eq!(plain, shell::STYLE);
    let zipped = get(&router, "/style.css", "br, gzip;q=0.5").await;
    assert_eq!(zipped.headers()[CONTENT_ENCODING], "gzip");
    let zipped = to_bytes(zipped.into_body(), usize::MAX).await.unwrap();
    assert!(zipped.len() * 2 < plain.len(), "{}", zipped.len());
}

#[tokio::test]
async fn what_does_not_exist_is_said_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let file = empty(folder.path());
    let known = router(&file, std::sync::Arc::new(|| NOW), LISTENER);
    for address in ["/figures/none.csv", "/figures/x", "/figures/..%2Fotel-usage.db", "/nothing"] {
        assert_eq!(get(&known, address, "").await.status(), StatusCode::NOT_FOUND, "{address}");
    }
    let missing = router(&folder.path().join("none.db"), std::sync::Arc::new(|| NOW), LISTENER);
    let response = get(&missing, "/", "").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let answer = text(response).await;
    assert!(!answer.contains("none.db"), "{answer}");
}

#[test]
fn files_link_to_each_other_and_to_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    let files = render(&empty(folder.path()), &site, NOW).unwrap();
    assert!(files >= 29, "{files}");
    let mut checked = 0;
    for entry in [
        "index.html",
        "vllm-90-share.html",
        "method.html",
        "dictionary.html",
        "quality.html",
        "data/index.html",
    ] {
        let page = std::fs::read_to_string(site.join(entry)).unwrap();
        assert!(page.contains("http-equiv=\"Content-Security-Policy\""), "{entry}");
        for link in page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.starts_with("data:") {
                continue;
            }
            let path = site.join(entry).parent().unwrap().join(target);
            assert!(path.is_file(), "{entry}: {link}");
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked}");
}

#[test]
fn the_front_page_is_small() {
    let shell = Shell { site: Site::Served, internal: false, now: NOW };
    let page = report::page(&shell, &Filter::default(), &samples::report(28), &[]);
    let zipped = |text: &str| {
        use std::io::Write as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap().len()
    };
    // Five figures of fifteen, and the style sheet.
    let bytes = zipped(&page) * 3 + zipped(shell::STYLE);
    assert!(bytes < 40_000, "{bytes}");
}
