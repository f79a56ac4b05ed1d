//! Listens, serves connections within their limits, and stops without losing requests.
//!
//! When asked to stop, the bridge accepts no new connection and finishes the requests in progress, as far
//! as the time allows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::pipeline::Pipeline;
use crate::routes::routes;

/// Streams on one HTTP/2 connection, so that one collector cannot take every place by itself.
const STREAMS: u32 = 32;

/// Largest head of a request, of which OTLP needs a few hundred bytes, and largest piece of a body
/// that is read at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// A bridge that listens.
#[derive(Debug)]
pub struct Bridge {
    listeners: Vec<TcpListener>,
    pipeline: Arc<Pipeline>,
}

impl Bridge {
    /// Checks the configuration and opens the ports.
    ///
    /// # Errors
    ///
    /// Names what is wrong and what to do: no exporter, a contract or URL that cannot be used, a file
    /// that cannot be written, a port that is taken, collection switched off on this machine.
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        if config.exporters.is_empty() {
            bail!(
                "no exporter: say where records go, with --exporter server, --exporter file or \
                 --exporter console"
            );
        }
        let pipeline = Arc::new(Pipeline::new(config)?);
        let mut listeners = Vec::new();
        for address in &config.listen {
            let listener = TcpListener::bind(address).await.with_context(|| {
                format!("cannot listen on {address}: choose another address with --listen")
            })?;
            listeners.push(listener);
        }
        if listeners.is_empty() {
            bail!("no address: say where to listen, with --listen 127.0.0.1:4318");
        }
        Ok(Self { listeners, pipeline })
    }

    /// Returns the addresses on which the bridge listens.
    ///
    /// # Errors
    ///
    /// The operating system does not return an address.
    pub fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(TcpListener::local_addr).collect()
    }

    /// Serves until `stop` is ready, then finishes the requests in progress. Returns `false` if some of
    /// them were not finished in time.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> bool {
        let limits = &self.pipeline.limits;
        let places = Arc::new(Semaphore::new(limits.connections));
        let (asked, stopping) = watch::channel(false);
        let router = routes(&self.pipeline);
        let mut loops = JoinSet::new();
        for listener in self.listeners {
            let connections = Connections {
                router: router.clone(),
                pipeline: Arc::clone(&self.pipeline),
                places: Arc::clone(&places),
            };
            loops.spawn(connections.accept(listener, stopping.clone()));
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

/// The parts that all connections of one listener share.
struct Connections {
    router: Router,
    pipeline: Arc<Pipeline>,
    places: Arc<Semaphore>,
}

impl Connections {
    /// Accepts until asked to stop, then waits for the connections to finish.
    async fn accept(self, listener: TcpListener, mut stopping: watch::Receiver<bool>) {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                _ = stopping.wait_for(|stop| *stop) => break,
                accepted = self.next(&listener) => accepted,
            };
            let Some((stream, place)) = accepted else { continue };
            let service = TowerToHyperService::new(self.router.clone());
            let connection = graceful
                .watch(self.builder().serve_connection(TokioIo::new(stream), service).into_owned());
            let metrics = Arc::clone(&self.pipeline.metrics);
            tokio::spawn(async move {
                metrics.connections.inc();
                // An error of this connection concerns its sender only.
                let _ = connection.await;
                metrics.connections.dec();
                drop(place);
            });
        }
        drop(listener);
        graceful.shutdown().await;
    }

    /// Returns the next connection, once there is a place for it.
    async fn next(
        &self,
        listener: &TcpListener,
    ) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                Some((stream, place))
            }
            Err(error) => {
                // Most likely no file descriptor is left, and a connection has to end first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                None
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
