//! The usage server behind a bridge: it answers by a script and keeps every POST.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// One POST as it arrived.
#[derive(Debug, Clone)]
pub struct Post {
    /// Without the query.
    pub path: String,
    /// All headers.
    pub headers: HeaderMap,
    /// Text, as every flat message is.
    pub body: String,
}

/// The server's treatment of a POST.
#[derive(Debug, Clone, Copy)]
pub enum Reply {
    /// Answers with a status.
    Status(u16),
    /// Answers with a status and a `Retry-After`.
    After(u16, &'static str),
    /// Answers 200 after [`Upstream::release`].
    Held,
}

type Script = Arc<dyn Fn(usize, &Post) -> Reply + Send + Sync>;

/// A running usage server.
#[derive(Clone)]
pub struct Upstream {
    /// Its URL without a path.
    pub url: String,
    posts: Arc<Mutex<Vec<Post>>>,
    script: Script,
    /// Closed by [`Upstream::release`].
    gate: Arc<Semaphore>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Upstream {
    /// Starts a server that answers 200 to every POST.
    pub async fn new() -> Self {
        Self::scripted(|_, _| Reply::Status(200)).await
    }

    /// Starts a server that answers by `script`, which gets the number of earlier POSTs.
    pub async fn scripted(script: impl Fn(usize, &Post) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let upstream = Self::at(url, Arc::new(script));
        let router = Router::new().fallback(take).with_state(upstream.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        upstream
    }

    /// Starts a server that answers 200 and keeps nothing, for measurements.
    pub async fn quiet() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(|_: Bytes| async { StatusCode::OK });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self::at(url, Arc::new(|_, _| Reply::Status(200)))
    }

    fn at(url: String, script: Script) -> Self {
        Self { url, posts: Arc::default(), script, gate: Arc::new(Semaphore::new(0)) }
    }

    /// Waits until this number of POSTs has arrived, 20 s at most.
    pub async fn until(&self, posts: usize) {
        let all = async {
            while self.posts.lock().unwrap().len() < posts {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(crate::PATIENCE, all).await.expect("the POSTs arrive");
    }

    /// Answers every held POST, and later ones at once.
    pub fn release(&self) {
        self.gate.close();
    }

    /// Returns the POSTs so far.
    pub fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    /// Returns the bodies of the POSTs so far.
    pub fn bodies(&self) -> Vec<String> {
        self.posts().into_iter().map(|post| post.body).collect()
    }
}

/// Returns a URL on this machine at which no server listens.
pub async fn unreachable() -> String {
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
        Reply::Held => {
            let _ = upstream.gate.acquire().await;
            StatusCode::OK.into_response()
        }
    }
}
