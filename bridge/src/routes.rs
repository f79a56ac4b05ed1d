//! The paths of the bridge, on every port: OTLP over HTTP and gRPC, health, metrics, and for a usage server flat messages
//! and a site.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Response};
use axum::routing::{MethodRouter, get, post};
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::answer::{Answer, Form};
use crate::config::Config;
use crate::connections::Sender;
use crate::intake::{Coding, Raw};
use crate::metrics::{Answered, MEDIA_TYPE, add};
use crate::pipeline::{Ask, Pipeline};
use crate::signal::Signal;

/// The path of a service of gRPC.
const fn service(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

/// Returns the router with every path.
pub(crate) fn routes(pipeline: &Arc<Pipeline>, config: &Config) -> Router {
    let only = |path: MethodRouter<Arc<Pipeline>>, method: &'static str| {
        path.fallback(move |request: Request| async move {
            wrong(&Answer::NoSuchMethod(method), &request)
        })
    };
    let otlp = |signal, grpc| {
        let take = move |State(pipeline): State<Arc<Pipeline>>, request: Request| async move {
            answer(&pipeline, Ask::Otlp(signal), grpc, request).await
        };
        only(post(take), "POST")
    };
    let (flat_posts, site) = (config.flat_posts, config.site.clone());
    let other = move |State(pipeline): State<Arc<Pipeline>>, request: Request| {
        let site = site.clone();
        async move {
            match (request.method(), site) {
                (&Method::POST, _) if flat_posts => {
                    answer(&pipeline, Ask::Flat, false, request).await
                }
                (&Method::GET | &Method::HEAD, Some(site)) => {
                    site.oneshot(request).await.unwrap_or_else(|never| match never {})
                }
                _ => wrong(&Answer::NoSuchPath, &request),
            }
        }
    };
    let mut router = Router::new();
    if config.metrics {
        router = router.route("/metrics", only(get(metrics), "GET"));
    }
    router
        .route("/v1/traces", otlp(Signal::Traces, false))
        .route("/v1/logs", otlp(Signal::Logs, false))
        .route(service(Signal::Traces), otlp(Signal::Traces, true))
        .route(service(Signal::Logs), otlp(Signal::Logs, true))
        .route("/healthz", only(get(async || "ok\n"), "GET"))
        .fallback(other)
        .with_state(Arc::clone(pipeline))
}

/// Answers a request that is no OTLP, in its own form. A person who tries the bridge by hand can read JSON.
fn wrong(answer: &Answer, request: &Request) -> Response<Body> {
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
    request: Request,
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
            let taken = timeout(whole, take(pipeline, ask, form, request)).await;
            taken.unwrap_or(Answer::busy("the request took too long"))
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

async fn take(pipeline: &Arc<Pipeline>, ask: Ask, form: Form, request: Request) -> Answer {
    let Some(coding) = Coding::of(request.headers(), form) else {
        return Answer::Unsupported("compress with gzip or zstd, or not at all");
    };
    let Some(sender) = request.extensions().get::<Arc<Sender>>().cloned() else {
        return Answer::busy("the connection is unknown");
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
