//! The `server` exporter: one flat message, one POST.
//!
//! Connections are kept. Redirects are not followed, because the consent does not cover the server that
//! they name. The number of concurrent POSTs is limited. Proxies and certificates are those that the library
//! in an engine would use.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use otel_usage_schema::{Destination, Proxies};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, ClientBuilder, Proxy, Url, redirect};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use crate::authorities;
use crate::config::{self, Limits};
use crate::metrics::{Class, Counted, Metrics, add};
use crate::posted::{self, Posted};

#[derive(Debug)]
pub(crate) struct Poster {
    client: Client,
    proxies: Proxies,
    posts: Semaphore,
    metrics: Arc<Metrics>,
    /// The mistakes that were logged. Each is logged once, because only a new start can mend it.
    told: Mutex<BTreeSet<String>>,
}

impl Poster {
    /// Makes a poster that goes through the proxies that the environment names and trusts the certificates
    /// that it names.
    ///
    /// # Errors
    ///
    /// The file of the certificates cannot be used.
    pub(crate) fn new(limits: &Limits, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        Self::with(Client::builder(), config::variable, limits, metrics)
    }

    /// Makes a poster with a client and with the variables that `variable` looks up.
    fn with(
        client: ClientBuilder,
        variable: impl Fn(&str) -> Option<String>,
        limits: &Limits,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let proxies = Proxies::read(&variable);
        let of_client = proxies.clone();
        let client = client
            .user_agent(concat!("otel-usage/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(limits.post)
            .pool_max_idle_per_host(limits.posts)
            // A small body must not wait for the answer to the previous one.
            .tcp_nodelay(true)
            // The client would read the environment in its own way, and a proxy that it cannot read
            // would mean none.
            .no_proxy()
            .proxy(Proxy::custom(move |url| {
                let proxy = of_client.find(&Destination::parse(url.as_str())?).ok()??;
                Url::parse(&proxy.uri().to_string()).ok()
            }));
        let client = authorities::client(client, variable)?;
        let posts = Semaphore::new(limits.posts);
        Ok(Self { client, proxies, posts, metrics, told: Mutex::default() })
    }

    /// Returns whether a mistake was not logged before.
    fn is_new(&self, mistake: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(mistake.to_owned())
    }

    /// Posts one message for `contract`, before `until`.
    #[expect(clippy::disallowed_methods, reason = "the latency of a POST, for the metrics")]
    pub(crate) async fn post(
        &self,
        contract: &str,
        url: Url,
        body: Bytes,
        until: tokio::time::Instant,
    ) -> Posted {
        let proxy = Destination::parse(url.as_str())
            .ok_or_else(|| "not a URL".to_owned())
            .and_then(|to| self.proxies.find(&to));
        if let Err(what) = proxy {
            if self.is_new(&what) {
                tracing::warn!(%what, "nothing can be posted");
            }
            add(&self.metrics.upstream, Class { contract: contract.to_owned(), class: "other" }, 1);
            return Posted::Pause(None);
        }
        let Ok(Ok(_permit)) = timeout_at(until, self.posts.acquire()).await else {
            return Posted::Later(None);
        };
        let to = url.origin().ascii_serialization();
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body)
            .send();
        let counted = Counted::new(&self.metrics.posts_in_flight);
        let began = Instant::now();
        let answer = timeout_at(until, request).await;
        drop(counted);
        self.metrics.post_seconds.observe(began.elapsed().as_secs_f64());
        let (class, posted) = match answer {
            Err(_) => ("timeout", Posted::Pause(None)),
            Ok(Err(error)) if error.is_timeout() => ("timeout", Posted::Pause(None)),
            // No attempt can mend a request that cannot be made.
            Ok(Err(error)) if error.is_builder() => ("other", Posted::Refused),
            Ok(Err(error)) => {
                if let Some(why) = authorities::refused(&error)
                    && self.is_new(&to)
                {
                    let remedy = "name the file of its authority in OTEL_USAGE_CA_FILE";
                    tracing::warn!(to, why, "the server's certificate is refused: {remedy}");
                }
                ("unreachable", Posted::Pause(None))
            }
            Ok(Ok(response)) => (posted::class(response.status()), Posted::of(response).await),
        };
        let contract = contract.to_owned();
        add(&self.metrics.upstream, Class { contract, class }, 1);
        posted
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::logged::logged;

    fn post_to(poster: &Poster, url: &str) -> Posted {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let until = tokio::time::Instant::now().checked_add(Duration::from_secs(5)).unwrap();
        let url = Url::parse(url).unwrap();
        runtime.block_on(poster.post("vllm", url, Bytes::from_static(b"{}"), until))
    }

    /// Posts through `proxy` and returns the answer, and the head of the request if one came. Names end at the
    /// same place as the proxy, so that a request that goes past the proxy is seen, too.
    fn post(proxy: &str, to: &str) -> (Posted, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        let address = place.to_string();
        let variable = |name: &str| (name == "ALL_PROXY").then(|| proxy.replace("{}", &address));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            String::from_utf8_lossy(&head[..length]).into_owned()
        });
        let client = Client::builder().resolve("stats.invalid", place);
        let poster = Poster::with(client, variable, &Limits::default(), Arc::default()).unwrap();
        let posted = post_to(&poster, &to.replace("{}", &address));
        drop(std::net::TcpStream::connect(&address));
        (posted, server.join().unwrap().to_ascii_lowercase())
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_never_bypassed() {
        for proxy in ["socks5h://{}", "htp://{}", "://", "\"{}", "http://127.0.0.1:99999"] {
            let (posted, head) = post(proxy, "http://stats.invalid/");
            assert_eq!((posted, head.as_str()), (Posted::Pause(None), ""), "{proxy}");
        }
    }

    #[test]
    fn a_proxy_in_quotes_is_used_and_loopback_needs_none() {
        let (posted, head) = post(" 'http://us%40er:pw@{}' ", "http://stats.invalid/x?y=z");
        assert_eq!(posted, Posted::Delivered);
        assert!(head.starts_with("post http://stats.invalid/x?y=z http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nproxy-authorization: basic dxnazxi6chc="), "{head}");
        let (posted, head) = post("http://127.0.0.1:1", "http://{}/x");
        assert_eq!(posted, Posted::Delivered);
        assert!(head.starts_with("post /x http/1.1\r\n"), "{head}");
    }

    #[test]
    fn each_mistake_in_a_proxy_is_one_warning() {
        let variable = |name: &str| match name {
            "http_proxy" => Some("socks5://127.0.0.1:1".to_owned()),
            "https_proxy" => Some("htp://u:geheim@127.0.0.1:1".to_owned()),
            _ => None,
        };
        let poster =
            Poster::with(Client::builder(), variable, &Limits::default(), Arc::default()).unwrap();
        let log = logged(|| {
            for _ in 0..3 {
                for url in ["http://stats.invalid/", "https://stats.invalid/"] {
                    assert_eq!(post_to(&poster, url), Posted::Pause(None));
                }
            }
        });
        assert_eq!(log.matches("WARN").count(), 2, "{log}");
        assert!(log.contains("http_proxy") && log.contains("https_proxy"), "{log}");
        assert!(!log.contains("geheim"), "{log}");
    }

    #[test]
    fn a_private_authority_is_trusted_and_an_unknown_one_is_one_warning() {
        let (port, authority) = otel_usage_testing::tls::private_server();
        let url = format!("https://localhost:{port}/x?token=geheim");
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("authority.pem"), authority).unwrap();
        for trusted in [None, Some("OTEL_USAGE_CA_FILE"), Some("REQUESTS_CA_BUNDLE")] {
            let variable = |name: &str| match name {
                "HOME" => Some(home.path().display().to_string()),
                name if trusted == Some(name) => Some(" ~/authority.pem ".to_owned()),
                _ => None,
            };
            let poster =
                Poster::with(Client::builder(), variable, &Limits::default(), Arc::default())
                    .unwrap();
            let expected = trusted.map_or(Posted::Pause(None), |_| Posted::Delivered);
            let log = logged(|| {
                for _ in 0..3 {
                    assert_eq!(post_to(&poster, &url), expected);
                }
            });
            assert_eq!(log.matches("WARN").count(), usize::from(trusted.is_none()), "{log}");
            assert_eq!(log.contains("OTEL_USAGE_CA_FILE"), trusted.is_none(), "{log}");
            assert!(!log.contains("geheim"), "{log}");
        }
    }
}
