//! Keeps pages of other sites away from a listener on the loopback.
//!
//! A site can let its name stand for 127.0.0.1. Its page then reads what the listener answers, through the browser of a
//! person on this machine, who let it do no more than load. Such a request carries the name of the site.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};

/// Refuses requests under other names, if the listener is on the loopback. Another one may have a name of its own.
pub(crate) fn only(router: Router, listener: std::io::Result<SocketAddr>) -> Router {
    if listener.is_ok_and(|address| address.ip().is_loopback()) {
        router.layer(from_fn(check))
    } else {
        router
    }
}

async fn check(request: Request, next: Next) -> Response {
    // HTTP/2 has the name in the address.
    let host = request.headers().get(HOST).map(|host| host.to_str().unwrap_or_default());
    let authority = request.uri().authority().map(|authority| authority.as_str());
    if host.into_iter().chain(authority).all(is_own) {
        return next.run(request).await;
    }
    (
        StatusCode::FORBIDDEN,
        "this listener is for its own machine: use http://127.0.0.1 or localhost\n",
    )
        .into_response()
}

/// Returns whether a host with or without a port is an address or `localhost`.
fn is_own(host: &str) -> bool {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name =
        host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    let six = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok()
        || six.is_some_and(|six| six.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn the_name_of_a_request_over_http_2_is_looked_at() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8081));
        let router = only(Router::new().fallback(async || "a number"), Ok(address));
        for (address, expected) in [
            ("http://127.0.0.1:8081/", StatusCode::OK),
            ("http://evil.example:8081/", StatusCode::FORBIDDEN),
        ] {
            let request = Request::builder().uri(address).body(axum::body::Body::empty()).unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), expected, "{address}");
        }
    }

    #[test]
    fn addresses_and_localhost_are_its_own_names() {
        for host in
            ["127.0.0.1:8081", "127.0.0.1", "localhost:8081", "LocalHost", "[::1]:8081", "[::1]"]
        {
            assert!(is_own(host), "{host}");
        }
        for host in
            ["evil.example:8081", "127.0.0.1.evil.example", "localhost.evil.example", "", "a:b"]
        {
            assert!(!is_own(host), "{host}");
        }
    }
}
