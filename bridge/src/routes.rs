//! The paths of the bridge, on every port: OTLP over HTTP and gRPC, health, metrics, and for a usage server flat messages
//! and a site.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use axum::routing::{any, get};
use hyper::body::Incoming;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::answer::{Answer, Form};
use crate::config::Config;
use crate::connections::Sender;
use crate::flat::BODY_BYTES;
use crate::intake::{Coding, Raw};
use crate::metrics::{Answered, MEDIA_TYPE, add};
use crate::pipeline::{Ask, Pipeline};
use crate::signal::Signal;

const HTTP_TRACES: &str = "/v1/traces";
const HTTP_LOGS: &str = "/v1/logs";
const GRPC_TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const GRPC_LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const HEALTH: &str = "/healthz";
const METRICS: &str = "/metrics";

/// The methods of what is only read.
const READ: &str = "GET, HEAD";

/// The answers at each path.
#[derive(Debug)]
pub(crate) struct Routes {
    pipeline: Arc<Pipeline>,
    flat_posts: bool,
    metrics: bool,
    /// All but reports.
    others: Router,
}

impl Routes {
    pub(crate) fn new(pipeline: &Arc<Pipeline>, config: &Config) -> Self {
        Self {
            pipeline: Arc::clone(pipeline),
            flat_posts: config.flat_posts,
            metrics: config.metrics,
            others: others(pipeline, config),
        }
    }

    /// Answers a request of `sender`.
    ///
    /// A report is not looked up in the router, which takes longer than to compare a few paths, and there are many of
    /// them.
    pub(crate) async fn answer(
        &self,
        sender: &Arc<Sender>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        match self.report(&request) {
            Some((ask, grpc)) => answer(&self.pipeline, ask, grpc, sender, request).await,
            None => {
                let answer = self.others.clone().oneshot(request.map(Body::new)).await;
                answer.unwrap_or_else(|never| match never {})
            }
        }
    }

    /// Returns what a request with a report asks for, and whether over gRPC. `None` if it is another request.
    fn report<B>(&self, request: &Request<B>) -> Option<(Ask, bool)> {
        if request.method() != Method::POST {
            return None;
        }
        match request.uri().path() {
            HTTP_TRACES => Some((Ask::Otlp(Signal::Traces), false)),
            HTTP_LOGS => Some((Ask::Otlp(Signal::Logs), false)),
            GRPC_TRACES => Some((Ask::Otlp(Signal::Traces), true)),
            GRPC_LOGS => Some((Ask::Otlp(Signal::Logs), true)),
            HEALTH => None,
            METRICS if self.metrics => None,
            _ => self.flat_posts.then_some((Ask::Flat, false)),
        }
    }
}

/// Returns the router of every request that is no report.
fn others(pipeline: &Arc<Pipeline>, config: &Config) -> Router {
    let wrong_method = |method: &'static str| {
        move |request: Request<Body>| async move { wrong(&Answer::NoSuchMethod(method), &request) }
    };
    let (site, flat_posts) = (config.site.clone(), config.flat_posts);
    let other = move |request: Request<Body>| async move {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let has_page = match site {
            Some(site) if method == Method::GET || method == Method::HEAD => {
                return site.oneshot(request).await.unwrap_or_else(|never| match never {});
            }
            Some(site) => is_page(site, method.clone(), uri).await,
            None => false,
        };
        let answer = match (has_page, flat_posts) {
            (true, true) => Answer::NoSuchMethod("GET, HEAD, POST"),
            (true, false) => Answer::NoSuchMethod(READ),
            // A flat message is taken at every path. A reader is told that there is no page.
            (false, true) if method != Method::GET && method != Method::HEAD => {
                Answer::NoSuchMethod("POST")
            }
            (false, _) => Answer::NoSuchPath,
        };
        wrong(&answer, &request)
    };
    let mut router = Router::new();
    if config.metrics {
        router = router.route(METRICS, get(metrics).fallback(wrong_method(READ)));
    }
    for path in [HTTP_TRACES, HTTP_LOGS, GRPC_TRACES, GRPC_LOGS] {
        router = router.route(path, any(wrong_method("POST")));
    }
    router
        .route(HEALTH, get(async || "ok\n").fallback(wrong_method(READ)))
        .fallback(other)
        .with_state(Arc::clone(pipeline))
}

/// Returns whether a site has a page at a path that is asked for by another method than a page's.
async fn is_page(site: Router, method: Method, uri: Uri) -> bool {
    let mut request = Request::new(Body::empty());
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    let answer = site.oneshot(request).await.unwrap_or_else(|never| match never {});
    answer.status() == StatusCode::METHOD_NOT_ALLOWED
}

/// Answers a request that is no OTLP, in its own form. A person who tries the bridge by hand can read JSON.
fn wrong(answer: &Answer, request: &Request<Body>) -> Response<Body> {
    answer.respond(Form::of(request.headers()).unwrap_or(Form::Json), Signal::Traces)
}

async fn metrics(State(pipeline): State<Arc<Pipeline>>) -> Response<Body> {
    let mut response = Response::new(Body::from(pipeline.metrics.text().unwrap_or_default()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// Handles OTLP, and limits and measures the whole time.
#[expect(clippy::disallowed_methods, reason = "the latency of a request, for the metrics")]
async fn answer(
    pipeline: &Arc<Pipeline>,
    ask: Ask,
    grpc: bool,
    sender: &Arc<Sender>,
    request: Request<Incoming>,
) -> Response<Body> {
    let began = Instant::now();
    let form = match ask {
        // Engines and people write many media types.
        Ask::Flat => Some(Form::Json),
        Ask::Otlp(_) => Form::of(request.headers()).filter(|form| (*form == Form::Grpc) == grpc),
    };
    let answer = match form {
        Some(form) => {
            let whole = pipeline.limits.read.saturating_add(pipeline.limits.deliver);
            let taken = timeout(whole, take(pipeline, ask, form, sender, request)).await;
            match taken.unwrap_or(Answer::busy("the request took too long")) {
                // The sender of one message has no smaller batch.
                Answer::TooLarge(_) if matches!(ask, Ask::Flat) => {
                    Answer::long_message(BODY_BYTES.min(pipeline.limits.decoded_bytes))
                }
                answer => answer,
            }
        }
        None if grpc => Answer::Unsupported("write `content-type: application/grpc`"),
        None => Answer::Unsupported(
            "write `content-type: application/x-protobuf` or `application/json`",
        ),
    };
    let protocol = match ask {
        Ask::Flat => "flat",
        Ask::Otlp(_) if grpc => "grpc",
        Ask::Otlp(_) => "http",
    };
    add(&pipeline.metrics.requests, Answered { protocol, answer: answer.word() }, 1);
    pipeline.note_refusal(ask, &answer);
    pipeline.metrics.request_seconds.observe(began.elapsed().as_secs_f64());
    answer.respond(form.unwrap_or(if grpc { Form::Grpc } else { Form::Json }), ask.signal())
}

async fn take(
    pipeline: &Arc<Pipeline>,
    ask: Ask,
    form: Form,
    sender: &Arc<Sender>,
    request: Request<Incoming>,
) -> Answer {
    let Some(coding) = Coding::of(request.headers(), form) else {
        return Answer::Unsupported("compress with gzip or zstd, or not at all");
    };
    let _asked = sender.asked();
    let client = pipeline.sender(sender.address, request.headers());
    let mut memory = pipeline.memory(client);
    let reading = Raw::read(request.into_body(), coding, form, &pipeline.limits, &mut memory);
    let raw = match timeout(pipeline.limits.read, reading).await {
        Ok(Ok(raw)) => raw,
        Ok(Err(answer)) => return answer,
        // On a slow network a second attempt may succeed, and a collector would drop the request on 408.
        Err(_) => return Answer::busy("the request came too slowly"),
    };
    let _working = sender.working();
    pipeline.take(ask, form, raw, memory, client).await
}
