//! The paths of the bridge: OTLP over HTTP and gRPC, health and metrics, on every port.
//!
//! Each request with records takes one of a limited number of places. A task of its own delivers the
//! decoded request, so that a sender that hangs up does not stop a delivery half way.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{get, post};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tonic::codec::CompressionEncoding;
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;

use crate::answer::{Answer, Form};
use crate::metrics::{Answered, MEDIA_TYPE, add};
use crate::pipeline::{Pipeline, Records};

/// Returns the router with every path.
pub(crate) fn routes(pipeline: &Arc<Pipeline>) -> Router {
    let limits = &pipeline.limits;
    let http = Router::new()
        .route("/v1/traces", post(http::<ExportTraceServiceRequest>))
        .route("/v1/logs", post(http::<ExportLogsServiceRequest>))
        .layer(RequestDecompressionLayer::new())
        .layer(RequestBodyLimitLayer::new(limits.body_bytes))
        .with_state(Arc::clone(pipeline));
    let traces = TraceServiceServer::from_arc(Arc::new(Grpc(Arc::clone(pipeline))))
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(limits.decoded_bytes);
    let logs = LogsServiceServer::from_arc(Arc::new(Grpc(Arc::clone(pipeline))))
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(limits.decoded_bytes);
    let grpc = tonic::service::Routes::new(traces).add_service(logs).into_axum_router();
    http.merge(grpc)
        .fallback(elsewhere)
        .layer(from_fn_with_state(Arc::clone(pipeline), place))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics).with_state(Arc::clone(pipeline)))
}

/// Answers an unknown path. tonic would answer 200, and a sender with a wrong path would not notice.
async fn elsewhere(headers: HeaderMap) -> Response<Body> {
    if is_grpc(&headers) {
        tonic::Status::unimplemented("no such service here").into_http()
    } else {
        plain(StatusCode::NOT_FOUND)
    }
}

async fn health() -> &'static str {
    "ok\n"
}

async fn metrics(State(pipeline): State<Arc<Pipeline>>) -> Response<Body> {
    match pipeline.metrics.text() {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
            response
        }
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Gives a request a place, or answers "later" if none is free. Limits and measures the whole time.
#[expect(clippy::disallowed_methods, reason = "the latency of a request, for the metrics")]
async fn place(
    State(pipeline): State<Arc<Pipeline>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let grpc = is_grpc(request.headers());
    let form = form(request.headers()).unwrap_or(Form::Protobuf);
    let answer = |answer: Answer| {
        pipeline.count(if grpc { "grpc" } else { "http" }, &answer);
        if grpc {
            answer.grpc().err().map_or_else(|| plain(StatusCode::OK), tonic::Status::into_http)
        } else {
            answer.http(form)
        }
    };
    let Ok(_place) = pipeline.places.try_acquire() else {
        return answer(Answer::busy("too many requests at once"));
    };
    pipeline.metrics.requests_in_flight.inc();
    let began = Instant::now();
    let whole = pipeline.limits.read.saturating_add(pipeline.limits.deliver);
    let response = tokio::time::timeout(whole, next.run(request)).await;
    pipeline.metrics.requests_in_flight.dec();
    pipeline.metrics.request_seconds.observe(began.elapsed().as_secs_f64());
    match response {
        Ok(response) if grpc => final_where_it_is(response),
        Ok(response) => response,
        Err(_) => answer(Answer::busy("the request took too long")),
    }
}

/// Replaces two codes of tonic by final ones. It answers `OUT_OF_RANGE` to a message that is too large,
/// which a collector would send again for ever, and `INTERNAL` to a message that it cannot decode.
fn final_where_it_is(mut response: Response<Body>) -> Response<Body> {
    if let Some(code) = response.headers_mut().get_mut("grpc-status") {
        match code.as_bytes() {
            b"11" => *code = HeaderValue::from_static("8"),
            b"13" => *code = HeaderValue::from_static("3"),
            _ => {}
        }
    }
    response
}

/// Handles OTLP over HTTP.
async fn http<R: Records>(
    State(pipeline): State<Arc<Pipeline>>,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let Some(form) = form(&headers) else { return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE) };
    let answer = match read(&pipeline, body).await {
        Ok(bytes) => match decode::<R>(form, &bytes) {
            Ok(request) => pipeline.take(request).await,
            Err(answer) => answer,
        },
        Err(answer) => answer,
    };
    pipeline.count("http", &answer);
    answer.http(form)
}

fn decode<R: Records>(form: Form, bytes: &Bytes) -> Result<R, Answer> {
    // The parsers' errors may quote the request, so they stay out of answers and logs.
    match form {
        Form::Json => serde_json::from_slice(bytes).map_err(|error| {
            Answer::Undecodable(format!(
                "not OTLP/JSON, at line {} column {}",
                error.line(),
                error.column()
            ))
        }),
        Form::Protobuf => R::decode(bytes.as_ref())
            .map_err(|_| Answer::Undecodable("not OTLP/protobuf".to_owned())),
    }
}

/// Returns the decompressed body.
async fn read(pipeline: &Pipeline, body: Body) -> Result<Bytes, Answer> {
    let reading = axum::body::to_bytes(body, pipeline.limits.decoded_bytes);
    match tokio::time::timeout(pipeline.limits.read, reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_limit(&error) => Err(Answer::TooLarge),
        Ok(Err(_)) => Err(Answer::Undecodable(
            "the body ends early, or is not compressed as it says".to_owned(),
        )),
        // On a slow network a second attempt may succeed, and a collector would drop the request on 408.
        Err(_) => Err(Answer::busy("the request came too slowly")),
    }
}

fn is_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<http_body_util::LengthLimitError>() || error.source().is_some_and(is_limit)
}

/// The services for OTLP over gRPC.
#[derive(Debug)]
struct Grpc(Arc<Pipeline>);

impl Grpc {
    async fn take(&self, request: impl Records) -> Result<(), tonic::Status> {
        let answer = self.0.take(request).await;
        self.0.count("grpc", &answer);
        answer.grpc()
    }
}

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.take(request.into_inner()).await?;
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, tonic::Status> {
        self.take(request.into_inner()).await?;
        Ok(tonic::Response::new(ExportLogsServiceResponse::default()))
    }
}

impl Pipeline {
    fn count(&self, protocol: &'static str, answer: &Answer) {
        add(&self.metrics.requests, Answered { protocol, answer: answer.word() }, 1);
    }
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.split(';').next().unwrap_or("").trim()
}

fn is_grpc(headers: &HeaderMap) -> bool {
    media_type(headers).starts_with("application/grpc")
}

fn form(headers: &HeaderMap) -> Option<Form> {
    match media_type(headers) {
        "application/json" => Some(Form::Json),
        "application/x-protobuf" => Some(Form::Protobuf),
        _ => None,
    }
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
