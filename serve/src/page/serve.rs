//! Serves the pages over HTTP.
//!
//! A page is made at most once a minute, because a closed day changes rarely; maintainers see each message at once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::HeaderMap;
use axum::http::{Response, Uri};
use axum::routing::get;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::address::{self, Site};
use super::answer::{Answer, Trouble};
use super::pages::Pages;
use super::server_address::{asked, reached_at};
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

/// Returns the pages that everybody may see, from the data file. Engines report to `listener`.
pub fn router(data: &Path, clock: Clock, listener: SocketAddr) -> Router {
    with(Pages::new(Site::Served, data, false), clock, KEPT, listener)
}

/// Returns the pages of maintainers, whose numbers go through no rule of publication. Engines report to `listener`.
pub fn internal(data: &Path, clock: Clock, listener: SocketAddr) -> Router {
    with(Pages::new(Site::Served, data, true), clock, Duration::ZERO, listener)
}

/// Returns the pages of maintainers with numbers from ClickHouse, which answers too slowly to be asked for each request.
pub(crate) fn internal_in(
    clickhouse: Arc<ClickHouse>,
    data: &Path,
    clock: Clock,
    listener: SocketAddr,
) -> Router {
    let mut pages = Pages::new(Site::Served, data, true);
    pages.source.ask(clickhouse);
    with(pages, clock, KEPT, listener)
}

fn with(pages: Pages, clock: Clock, longest: Duration, listener: SocketAddr) -> Router {
    let served = Arc::new(Served {
        pages,
        clock,
        kept: Mutex::default(),
        versions: tokio::sync::Mutex::default(),
        places: Semaphore::new(AT_ONCE),
        longest,
        listener,
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
    .fallback(async || Trouble::NotThere.respond())
    .with_state(served)
}

struct Served {
    pages: Pages,
    clock: Clock,
    kept: Mutex<HashMap<String, Kept>>,
    versions: tokio::sync::Mutex<Option<(Instant, Arc<Vec<String>>)>>,
    places: Semaphore,
    longest: Duration,
    /// Where engines report.
    listener: SocketAddr,
}

/// An answer that was made lately.
struct Kept {
    made: Instant,
    answer: Answer,
    /// Whether a new one is being made.
    renewed: bool,
}

/// The answer that is kept for an address, if there is one.
enum Known {
    Fresh(Answer),
    /// It may be shown, and this request makes a new one.
    Old(Answer),
    Nothing,
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
        Known::Fresh(answer) => served.respond(answer, &uri, &headers),
        Known::Old(answer) => {
            let response = served.respond(answer, &uri, &headers);
            tokio::spawn(async move {
                let _ = served.make(path, query, address).await;
            });
            response
        }
        Known::Nothing => match served.make(path, query, address).await {
            Ok(answer) => served.respond(answer, &uri, &headers),
            Err(trouble) => trouble.respond(),
        },
    }
}

impl Served {
    fn respond(&self, answer: Answer, uri: &Uri, headers: &HeaderMap) -> Response<Body> {
        if !answer.asks_address {
            return answer.respond(headers, self.longest);
        }
        // Maintainers ask at another address than engines.
        let asked = if self.pages.source.internal { None } else { asked(uri, headers) };
        let address = asked.unwrap_or_else(|| format!("http://{}", reached_at(self.listener)));
        match answer.with_address(&address) {
            // Another reader would be told what this one sent.
            Ok(answer) => answer.respond(headers, Duration::ZERO),
            Err(_) => Trouble::Mistake.respond(),
        }
    }

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
        // A page that cannot be made now is made at the next request, and an old answer is not shown on.
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
