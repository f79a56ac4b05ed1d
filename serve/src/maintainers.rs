//! The maintainers' listener, but for its pages: metrics, deletion, and what ClickHouse refused.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::ORIGIN;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use otel_usage_bridge::MetricsText;

use crate::clickhouse::{self, Http};
use crate::store::{Forgotten, Store, Waits, identity};

/// Returns the paths. `http` is the ClickHouse that keeps the messages, if one does.
pub(crate) fn router(metrics: MetricsText, store: &Arc<Store>, http: Option<Http>) -> Router {
    let (waiting, forgetting) = (Arc::clone(store), Arc::clone(store));
    let metrics = async move || {
        let text = metrics.text();
        match waiting.waits() {
            Some(waits) => with_spool(&text, waits),
            None => text,
        }
    };
    let forget = async move |id: String| forget(&forgetting, id).await;
    let mut changes = Router::new().route("/forget", post(forget));
    let mut router = Router::new().route("/metrics", get(metrics));
    if let Some(http) = http {
        let (listing, sending, discarding) =
            (Arc::clone(store), Arc::clone(store), Arc::clone(store));
        let list = async move || answer(listing.run(|core| core.list_aside()).await, |text| text);
        let again = async move || {
            let done = clickhouse::send_again(&sending, &http).await;
            answer(Some(done), |clickhouse::Sent { taken, refused }| {
                format!("ClickHouse has {taken} rows now, and refuses {refused}\n")
            })
        };
        let discard = async move || {
            let done = discarding.run(|core| core.discard_aside()).await;
            answer(done, |rows| format!("{rows} rows are thrown away\n"))
        };
        router = router.route("/aside", get(list));
        changes = changes.route("/aside/again", post(again)).route("/aside/discard", post(discard));
    }
    router.merge(changes.layer(middleware::from_fn(no_browser)))
}

/// Refuses what a browser sends. Only a browser names an origin, and a page of another site must not delete through a
/// maintainer's browser.
async fn no_browser(request: Request, next: Next) -> Response {
    if request.headers().contains_key(ORIGIN) {
        return (StatusCode::FORBIDDEN, "a browser may not change anything: use curl\n")
            .into_response();
    }
    next.run(request).await
}

async fn forget(store: &Arc<Store>, id: String) -> (StatusCode, String) {
    let wrong = identity(&id).is_none();
    let done = match &store.clickhouse {
        None => store.forget(id).await,
        Some(clickhouse) => clickhouse::forget(store, clickhouse, id).await,
    };
    match done {
        Ok(done) => {
            let Forgotten { sessions, messages } = done;
            (StatusCode::OK, format!("deleted {sessions} sessions and {messages} messages\n"))
        }
        Err(error) if wrong => (StatusCode::BAD_REQUEST, format!("{error:#}\n")),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}\n")),
    }
}

/// Answers with the text of a result. `done` is `None` once the store is closed.
fn answer<T, E: Into<anyhow::Error>>(
    done: Option<Result<T, E>>,
    text: impl FnOnce(T) -> String,
) -> (StatusCode, String) {
    match done {
        Some(Ok(done)) => (StatusCode::OK, text(done)),
        Some(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{:#}\n", error.into())),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the server ends\n".to_owned()),
    }
}

/// Puts what waits for ClickHouse before the end of the metrics.
fn with_spool(metrics: &str, waits: Waits) -> String {
    let end = "# EOF\n";
    let mut text = metrics.strip_suffix(end).unwrap_or(metrics).to_owned();
    let Waits { messages, bytes, aside, aside_bytes } = waits;
    for (name, help, value) in [
        ("spool_messages", "Messages that wait for ClickHouse.", messages),
        ("spool_bytes", "Bytes on disk of the messages that wait for ClickHouse.", bytes),
        ("aside_rows", "Rows that ClickHouse refused, and that wait for a person.", aside),
        ("aside_bytes", "Bytes of the rows that ClickHouse refused.", aside_bytes),
    ] {
        let name = format!("otel_usage_serve_{name}");
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n"));
    }
    text.push_str(end);
    text
}
