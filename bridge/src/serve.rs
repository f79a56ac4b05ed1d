//! Listens, serves connections within their limits, and stops without losing requests.
//!
//! When asked to stop, the bridge accepts no new connection and finishes the requests in progress, as far
//! as the time allows.

use std::convert::Infallible;
use std::iter;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use axum::Router;
use axum::http::Request;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::beside;
use crate::config::{Config, Limits};
use crate::connections::{Connections, End, Sender};
use crate::metrics::Counted;
use crate::pipeline::Pipeline;
use crate::ports::Ports;
use crate::routes::Routes;

/// Streams on one HTTP/2 connection, so that one collector cannot take every place by itself.
const STREAMS: u32 = 32;

/// Time for a sender without a request to take note that its connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Largest head of a request, of which OTLP needs a few hundred bytes, and largest piece of a body
/// that is read at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// A bridge that listens.
#[derive(Debug)]
pub struct Bridge {
    listeners: Vec<TcpListener>,
    pub(crate) pipeline: Arc<Pipeline>,
    routes: Arc<Routes>,
    pub(crate) connections: Arc<Connections>,
}

/// The metrics of a bridge, also for another listener than its own.
#[derive(Debug, Clone)]
pub struct MetricsText(Arc<Pipeline>);

impl MetricsText {
    /// Returns them as Prometheus text.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.metrics.text().unwrap_or_default()
    }
}

impl Bridge {
    /// Checks the configuration and opens the ports.
    ///
    /// # Errors
    ///
    /// Names what is wrong and what to do: no exporter, a contract or URL that cannot be used, a file
    /// that cannot be written, a port that is taken, collection switched off on this machine.
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        Self::on(Ports::take(&config.listen, "--listen")?, config)
    }

    /// Checks the configuration and opens these ports, not those of the configuration.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn on(ports: Ports, config: &Config) -> anyhow::Result<Self> {
        if config.exporters.is_empty() {
            bail!(
                "no exporter: say where records go, with --exporter server, --exporter file or \
                 --exporter console"
            );
        }
        if ports.is_empty() {
            bail!("no address: say where to listen, with --listen 127.0.0.1:4318");
        }
        let pipeline = Arc::new(Pipeline::new(config)?);
        let routes = Arc::new(Routes::new(&pipeline, config));
        let connections = Arc::new(Connections::new(affordable(&pipeline.limits)));
        Ok(Self { listeners: ports.open()?, pipeline, routes, connections })
    }

    /// Returns the addresses on which the bridge listens.
    ///
    /// # Errors
    ///
    /// The operating system does not return an address.
    pub fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(TcpListener::local_addr).collect()
    }

    /// Returns the metrics, which change while the bridge serves.
    #[must_use]
    pub fn metrics(&self) -> MetricsText {
        MetricsText(Arc::clone(&self.pipeline))
    }

    /// Returns where the messages of each contract go, a line for each place, without credentials.
    #[must_use]
    pub fn destinations(&self) -> Vec<String> {
        self.pipeline.destinations()
    }

    /// Serves until `stop` is ready, then finishes the requests in progress. Returns `false` if some of
    /// them were not finished in time.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> bool {
        let limits = &self.pipeline.limits;
        let (asked, stopping) = watch::channel(false);
        let mut loops = JoinSet::new();
        for listener in self.listeners {
            let door = Door {
                site: Site::Bridge(Arc::clone(&self.routes)),
                pipeline: Arc::clone(&self.pipeline),
                connections: Arc::clone(&self.connections),
            };
            loops.spawn(door.accept(listener, stopping.clone()));
        }
        stop.await;
        let _ = asked.send(true);
        self.pipeline.deliveries.close();
        let finished = async {
            while loops.join_next().await.is_some() {}
            self.pipeline.deliveries.wait().await;
        };
        tokio::time::timeout(limits.drain, finished).await.is_ok()
    }
}

/// The parts that the connections of one listener share.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) site: Site,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) connections: Arc<Connections>,
}

/// The paths behind a listener.
#[derive(Debug, Clone)]
pub(crate) enum Site {
    Bridge(Arc<Routes>),
    Beside(Router),
}

impl Door {
    /// Accepts until asked to stop, then waits for the connections to finish.
    pub(crate) async fn accept(self, listener: TcpListener, mut stopping: watch::Receiver<bool>) {
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                _ = stopping.wait_for(|stop| *stop) => break,
                accepted = self.next(&listener) => accepted,
            };
            if let Some((stream, sender)) = accepted {
                tasks.spawn(self.connection(stream, sender, stopping.clone()));
            }
        }
        drop(listener);
        tasks.close();
        tasks.wait().await;
    }

    /// Returns the next connection, once there is a place for it.
    async fn next(&self, listener: &TcpListener) -> Option<(TcpStream, Arc<Sender>)> {
        match listener.accept().await {
            Ok((stream, address)) => {
                let _ = stream.set_nodelay(true);
                Some((stream, self.connections.enter(address.ip().to_canonical()).await))
            }
            Err(error) => {
                // Most likely no file descriptor is left, and a connection has to end first.
                self.connections.end_one(&format!("no connection can be accepted ({error})"));
                tokio::time::sleep(Duration::from_millis(100)).await;
                None
            }
        }
    }

    /// Serves a connection to its end.
    fn connection(
        &self,
        stream: TcpStream,
        sender: Arc<Sender>,
        mut stopping: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + use<> {
        let Limits { read, deliver, .. } = self.pipeline.limits;
        let (site, from) = (self.site.clone(), Arc::clone(&sender));
        let service = service_fn(move |request: Request<Incoming>| {
            let (site, from) = (site.clone(), Arc::clone(&from));
            async move {
                // A request without a body, as for /healthz, is complete.
                let _working = request.is_end_stream().then(|| from.working());
                Ok::<_, Infallible>(match site {
                    Site::Bridge(routes) => routes.answer(&from, request).await,
                    // It stands in a box, so that a report has no room for it to carry along.
                    Site::Beside(router) => {
                        Box::pin(beside::answer(router, &from, request, read)).await
                    }
                })
            }
        });
        let served = self.builder().serve_connection(TokioIo::new(stream), service).into_owned();
        // Given back also if a request panics.
        let place = self.connections.place(&sender);
        let counted = Counted::new(&self.pipeline.metrics.connections);
        async move {
            let _place = (place, counted);
            let mut served = pin!(served);
            let end = async {
                tokio::select! {
                    end = sender.end(read) => end,
                    _ = stopping.wait_for(|stop| *stop) => End::Quiet,
                }
            };
            // The set asks only what was woken, and so not at each request whether the connection has to end.
            let mut ends: FuturesUnordered<_> = iter::once(end).collect();
            // An error of this connection concerns its sender only.
            let end = tokio::select! {
                biased;
                _ = served.as_mut() => None,
                end = ends.next() => end,
            };
            drop(ends);
            if end == Some(End::Quiet) {
                // A request that has begun is still answered. Until then the connection keeps its place, unless
                // another one needs it, because a sender may ignore that it has to go.
                served.as_mut().graceful_shutdown();
                tokio::select! {
                    _ = tokio::time::timeout(read.saturating_add(deliver), served) => {}
                    () = sender.needed() => {}
                    // Without a request there is nothing to wait for but the sender's farewell.
                    () = sender.idle(FAREWELL) => {}
                }
            }
        }
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let read = self.pipeline.limits.read;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(read)
            // An answer to a report is short, and the kernel takes one piece more cheaply than a list of two.
            .writev(false)
            .max_buf_size(BUFFER_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(BUFFER_BYTES).unwrap_or(u32::MAX))
            .keep_alive_interval(Some(read))
            .keep_alive_timeout(read);
        builder
    }
}

/// Returns the number of connections that the limits allow and for which the process has file descriptors.
fn affordable(limits: &Limits) -> usize {
    /// The descriptors of files, listeners and the runtime.
    const OTHERS: usize = 64;
    let open = files().unwrap_or(usize::MAX);
    let most = open.saturating_sub(limits.posts).saturating_sub(OTHERS).max(1);
    if most < limits.connections {
        tracing::info!(
            connections = most,
            "this process may open {open} files, which is too few for --max-connections {}: \
             raise `ulimit -n` for more",
            limits.connections
        );
    }
    most.min(limits.connections)
}

/// Returns how many files this process may open, `None` if there is no limit.
#[cfg(unix)]
fn files() -> Option<usize> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.and_then(|files| usize::try_from(files).ok())
}

#[cfg(not(unix))]
fn files() -> Option<usize> {
    None
}
