//! Another listener of the process, within the limits of the bridge.
//!
//! Its connections take places among those of the bridge, because both use up the same file descriptors: idle senders at
//! one listener would otherwise shut out those at the other.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::connections::Sender;
use crate::serve::{Bridge, Door, Site};

/// Largest body of a request, because no reports come here.
const BODY_BYTES: usize = 64 * 1024;

/// A listener beside a bridge, with paths of its own.
#[derive(Debug)]
pub struct Beside {
    door: Door,
    listener: TcpListener,
}

impl Bridge {
    /// Returns a listener with these paths, whose connections have the limits of this bridge and count among its own.
    #[must_use]
    pub fn beside(&self, listener: TcpListener, router: Router) -> Beside {
        let (pipeline, connections) = (Arc::clone(&self.pipeline), Arc::clone(&self.connections));
        Beside { door: Door { site: Site::Beside(router), pipeline, connections }, listener }
    }
}

impl Beside {
    /// Serves until `stopping` is true or its sender is gone, then finishes the requests in progress.
    pub async fn serve(self, stopping: watch::Receiver<bool>) {
        self.door.accept(self.listener, stopping).await;
    }
}

/// Answers a request, whose body has to come within `read`. Its answer may take any time.
pub(crate) async fn answer(
    router: Router,
    sender: &Arc<Sender>,
    request: Request<Incoming>,
    read: Duration,
) -> Response<Body> {
    let _asked = sender.asked();
    let (head, body) = request.into_parts();
    let body = match timeout(read, to_bytes(Body::new(body), BODY_BYTES)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let why = format!("the body ends early, or has more than {BODY_BYTES} bytes\n");
            return (StatusCode::BAD_REQUEST, why).into_response();
        }
        Err(_) => {
            return (StatusCode::REQUEST_TIMEOUT, "the body came too slowly\n").into_response();
        }
    };
    let _working = sender.working();
    let answered = router.oneshot(Request::from_parts(head, Body::from(body))).await;
    answered.unwrap_or_else(|never| match never {})
}
