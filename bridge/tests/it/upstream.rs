//! A usage server that answers by a script and keeps what it was sent.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;

/// One POST as it came.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// What the server does with a POST.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    Status(u16),
    /// A status, and when to come back.
    After(u16, &'static str),
    /// It takes the request and says nothing.
    Never,
    /// It answers well, but only after a while.
    Slowly(Duration),
}

type Script = Arc<dyn Fn(usize, &Post) -> Reply + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    posts: Arc<Mutex<Vec<Post>>>,
    script: Script,
}

impl Upstream {
    /// A server that takes everything.
    pub(crate) async fn new() -> Self {
        Self::scripted(|_, _| Reply::Status(200)).await
    }

    /// `script` is told how many POSTs came before.
    pub(crate) async fn scripted(
        script: impl Fn(usize, &Post) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let upstream = Self { url, posts: Arc::default(), script: Arc::new(script) };
        let router = Router::new().fallback(take).with_state(upstream.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        upstream
    }

    /// A server that takes everything and keeps nothing, for measurements.
    pub(crate) async fn quiet() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(|_: Bytes| async { StatusCode::OK });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, posts: Arc::default(), script: Arc::new(|_, _| Reply::Status(200)) }
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        self.posts().into_iter().map(|post| post.body).collect()
    }
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn take(
    State(upstream): State<Upstream>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let post = Post { path: uri.path().to_owned(), headers, body };
    let before = {
        let mut posts = upstream.posts.lock().unwrap();
        posts.push(post.clone());
        posts.len() - 1
    };
    match (upstream.script)(before, &post) {
        Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Reply::After(status, after) => {
            (StatusCode::from_u16(status).unwrap(), [(RETRY_AFTER, after)]).into_response()
        }
        Reply::Never => std::future::pending().await,
        Reply::Slowly(pause) => {
            tokio::time::sleep(pause).await;
            StatusCode::OK.into_response()
        }
    }
}
