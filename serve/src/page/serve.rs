//! Serves the pages over HTTP.
//!
//! A page is made at most once a minute, because a closed day changes rarely; maintainers see each message at once.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    HeaderMap, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Response, StatusCode, Uri};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::address::{self, Site};
use super::pages::{Content, Kind, Pages};
use super::shell::POLICY;
use crate::clickhouse::ClickHouse;
use crate::store::Clock;

/// How long a published page may be shown again.
const KEPT: Duration = Duration::from_secs(60);
/// How long an older page is shown while a new one is made, so that a visitor does not wait for it.
const STALE: Duration = Duration::from_secs(600);
/// Pages that are kept. The fixed addresses are fewer; only versions that are published add to them.
const MOST: usize = 512;
/// Pages that are made at the same time.
const AT_ONCE: usize = 4;

/// Returns the pages that everybody may see, from the data file.
pub fn router(data: &Path, clock: Clock) -> Router {
    with(Pages::new(Site::Served, data, false), clock, KEPT)
}

/// Returns the pages of maintainers, whose numbers go through no rule of publication.
pub fn internal(data: &Path, clock: Clock) -> Router {
    with(Pages::new(Site::Served, data, true), clock, Duration::ZERO)
}

/// Returns the pages of maintainers with numbers from ClickHouse, which answers too slowly to be asked for each request.
pub(crate) fn internal_in(clickhouse: Arc<ClickHouse>, data: &Path, clock: Clock) -> Router {
    let mut pages = Pages::new(Site::Served, data, true);
    pages.source.ask(clickhouse);
    with(pages, clock, KEPT)
}

fn with(pages: Pages, clock: Clock, longest: Duration) -> Router {
    let served = Arc::new(Served {
        pages,
        clock,
        kept: Mutex::default(),
        versions: tokio::sync::Mutex::default(),
        places: Semaphore::new(AT_ONCE),
        longest,
    });
    [
        "/",
        "/method",
        "/dictionary",
        "/quality",
        "/data/",
        "/data/{name}",
        "/style.css",
        "/figures/{name}",
    ]
    .into_iter()
    .fold(Router::new(), |router, path| router.route(path, get(answer)))
    .fallback(async || nothing())
    .with_state(served)
}

struct Served {
    pages: Pages,
    clock: Clock,
    kept: Mutex<HashMap<String, Kept>>,
    versions: tokio::sync::Mutex<Option<(Instant, Arc<Vec<String>>)>>,
    places: Semaphore,
    longest: Duration,
}

/// An answer that was made lately.
struct Kept {
    made: Instant,
    answer: Answer,
    /// Whether a new one is being made.
    renewed: bool,
}

/// What is known at an address.
enum Known {
    Fresh(Answer),
    /// It may be shown, and this request makes a new one.
    Old(Answer),
    Nothing,
}

/// An answer in both codings.
#[derive(Debug, Clone)]
struct Answer {
    kind: Kind,
    plain: Bytes,
    zipped: Bytes,
}

async fn answer(State(served): State<Arc<Served>>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let (path, mut filter) =
        (uri.path().to_owned(), address::filter_of(uri.query().unwrap_or_default()));
    // Each version has pages of its own, so a made-up one is ignored as every other mistake.
    if let Some(version) = &filter.version
        && !served.versions().await.contains(version)
    {
        filter.version = None;
    }
    // Parameters that a page ignores are not a part of its key.
    let query = address::query(&filter);
    let address = format!("{path}{query}");
    match served.again(&address) {
        Known::Fresh(answer) => answer.respond(&headers, served.longest),
        Known::Old(answer) => {
            let response = answer.respond(&headers, served.longest);
            tokio::spawn(async move {
                let _ = served.make(path, query, address).await;
            });
            response
        }
        Known::Nothing => match served.make(path, query, address).await {
            Ok(answer) => answer.respond(&headers, served.longest),
            Err(trouble) => trouble.respond(),
        },
    }
}

/// Why there is no page.
enum Trouble {
    NotThere,
    Unreadable,
    Mistake,
}

impl Trouble {
    fn respond(&self) -> Response<Body> {
        match self {
            Self::NotThere => nothing(),
            Self::Unreadable => plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "The numbers cannot be read now. Try again later.\n",
            ),
            Self::Mistake => plain(StatusCode::INTERNAL_SERVER_ERROR, "The page cannot be made.\n"),
        }
    }
}

impl Served {
    /// Returns the versions that have pages. They are read once for as long as a page is kept.
    async fn versions(self: &Arc<Self>) -> Arc<Vec<String>> {
        let mut known = self.versions.lock().await;
        if let Some((read, versions)) = &*known
            && read.elapsed() < KEPT.min(self.longest)
        {
            return Arc::clone(versions);
        }
        let reader = Arc::clone(self);
        let read = move || reader.pages.versions((reader.clock)());
        let versions = match tokio::task::spawn_blocking(read).await {
            Ok(Ok(versions)) => Arc::new(versions),
            // The page itself tells that nothing can be read.
            _ => Arc::default(),
        };
        *known = Some((Instant::now(), Arc::clone(&versions)));
        versions
    }

    /// Returns the answer that was made lately. The first request that gets an old one has to make a new one.
    fn again(&self, address: &str) -> Known {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Kept { made, answer, renewed }) = kept.get_mut(address) else {
            return Known::Nothing;
        };
        match made.elapsed() {
            age if age < self.longest => Known::Fresh(answer.clone()),
            age if age >= STALE => Known::Nothing,
            _ if std::mem::replace(renewed, true) => Known::Fresh(answer.clone()),
            _ => Known::Old(answer.clone()),
        }
    }

    /// Makes the answer at an address, unless another request has made it meanwhile.
    async fn make(
        self: &Arc<Self>,
        path: String,
        query: String,
        address: String,
    ) -> Result<Answer, Trouble> {
        // The semaphore is never closed, so this cannot fail.
        let _place = self.places.acquire().await;
        if let Some(answer) = self.made_lately(&address) {
            return Ok(answer);
        }
        let maker = Arc::clone(self);
        let made = tokio::task::spawn_blocking(move || {
            let content = maker.pages.at(&path, query.trim_start_matches('?'), (maker.clock)())?;
            content.map(Answer::of).transpose()
        });
        let trouble = match made.await {
            Ok(Ok(Some(answer))) => {
                self.keep(address, answer.clone());
                return Ok(answer);
            }
            Ok(Ok(None)) => Trouble::NotThere,
            Ok(Err(error)) => {
                tracing::warn!("a page cannot be made: {error:#}");
                Trouble::Unreadable
            }
            Err(error) => {
                tracing::warn!("a page cannot be made: {error}");
                Trouble::Mistake
            }
        };
        // What cannot be made now is asked for again, and an old answer is not shown on.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
        Err(trouble)
    }

    fn made_lately(&self, address: &str) -> Option<Answer> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(address)
            .filter(|kept| kept.made.elapsed() < self.longest)
            .map(|kept| kept.answer.clone())
    }

    fn keep(&self, address: String, answer: Answer) {
        if self.longest.is_zero() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(address, Kept { made: Instant::now(), answer, renewed: false });
    }
}

impl Answer {
    fn of(content: Content) -> anyhow::Result<Self> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(content.text.as_bytes())?;
        let zipped = gzip.finish()?.into();
        Ok(Self { kind: content.kind, plain: content.text.into(), zipped })
    }

    /// `lasts` is how long a page may be shown again.
    fn respond(self, headers: &HeaderMap, lasts: Duration) -> Response<Body> {
        let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
        let zips = accepted.is_some_and(|codings| {
            codings
                .split(',')
                .any(|coding| coding.trim() == "gzip" || coding.trim().starts_with("gzip;"))
        });
        let mut response = Response::new(Body::from(if zips { self.zipped } else { self.plain }));
        let kind = match self.kind {
            Kind::Html => "text/html; charset=utf-8",
            Kind::Css => "text/css; charset=utf-8",
            Kind::Csv => "text/csv; charset=utf-8",
            Kind::Json => "application/json",
            Kind::Text => "text/plain; charset=utf-8",
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        let cached = if lasts.is_zero() { "no-store" } else { "max-age=60" };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cached));
        if zips {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        guard(headers);
        response
    }
}

fn nothing() -> Response<Body> {
    plain(StatusCode::NOT_FOUND, "There is no such page.\n")
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    guard(headers);
    response
}

fn guard(headers: &mut HeaderMap) {
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
