//! A usage server that listens: the front door with the store behind it, the public site, and the maintainers' listener.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use otel_usage_bridge::{Bridge, Config, Limits, Network, Operator, Ports};
use otel_usage_schema::{Consent, Contract, Decision};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::clickhouse::{Delivery, Keeper};
use crate::page;
use crate::questions::Rules;
use crate::store::{Clock, Days, Store};
use crate::{maintainers, own_names};

/// Requests in progress. Each waits for the sync of its batch, so a thousand a sync need many.
const REQUESTS: usize = 4_096;
/// Open connections. Unmodified engines open one for each message.
const CONNECTIONS: usize = 4_096;

/// How long a server that ends waits for ClickHouse.
const LAST: Duration = Duration::from_secs(10);

/// How often the store is maintained.
const OFTEN: Duration = Duration::from_secs(60);

/// The settings of a usage server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Addresses that receive reports and show the public site.
    pub listen: Vec<SocketAddr>,
    /// Addresses for maintainers, with numbers that are not for the public.
    pub maintainers: Vec<SocketAddr>,
    /// The file of the store.
    pub data: PathBuf,
    /// Contracts beside the built-in ones.
    pub contracts: Vec<Contract>,
    /// The peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Messages a second that one network may send for long; 0 for any number.
    pub rate: u32,
    /// How long batches and sessions are kept.
    pub keep: Days,
    /// The rules that a published number obeys.
    pub rules: Rules,
    /// Where messages are kept, if not in the file. The file is their spool then.
    pub clickhouse: Option<Keeper>,
    /// Limits that keep one sender from hurting the others.
    pub limits: Limits,
}

impl Settings {
    /// Returns the settings of a server on the loopback with this file.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        let local = |port| vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
        Self {
            listen: local(8080),
            maintainers: local(8081),
            data: data.into(),
            contracts: Vec::new(),
            trusted_proxies: Vec::new(),
            // A network with 30,000 engines that send heartbeats every ten minutes.
            rate: 60,
            keep: Days::default(),
            rules: Rules::default(),
            clickhouse: None,
            limits: limits(),
        }
    }
}

/// Returns the limits of the front door for a server that many engines post to.
fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.requests, limits.connections) = (REQUESTS, CONNECTIONS);
    limits
}

/// Engines that report have asked their own operators, so this machine's switches, which are about what it sends, do not
/// count.
#[derive(Debug)]
pub struct Receives;

impl Operator for Receives {
    fn decision(&self, _: &Contract) -> Decision {
        Decision { consent: Consent::Granted, because: "it only receives".to_owned() }
    }

    fn server(&self, _: &Contract) -> Option<(String, String)> {
        None
    }
}

/// A usage server that listens.
#[derive(Debug)]
pub struct Server {
    bridge: Bridge,
    store: Arc<Store>,
    /// The pages of the maintainers' listener.
    pages: Router,
    maintainers: Vec<TcpListener>,
    keep: Days,
    rules: Rules,
    delivery: Option<Delivery>,
}

impl Server {
    /// Takes the ports, opens the file, and then opens the ports.
    ///
    /// # Errors
    ///
    /// Names what is wrong and what to do: another process has the file, it is no store, a port is taken.
    pub async fn bind(settings: &Settings, clock: Clock) -> anyhow::Result<Self> {
        // Before the file is made.
        let ports = Ports::take(&settings.listen, "--listen")?;
        let maintainers = Ports::take(&settings.maintainers, "--maintainers")?;
        let public = ports.addresses()?;
        let listener = *public.first().context("no address: say where to listen, with --listen")?;
        let site = page::router(&settings.data, Arc::clone(&clock), listener);
        let (data, own, rate) = (&settings.data, &settings.contracts, settings.rate);
        let (store, delivery) = match &settings.clickhouse {
            None => (Arc::new(Store::open(data, own, rate, Arc::clone(&clock))?), None),
            Some(keeper) => {
                let http = keeper.http()?;
                let to = (&http, keeper);
                let store = Arc::new(Store::open_spool(data, own, rate, Arc::clone(&clock), to)?);
                let delivery = Delivery::new(Arc::clone(&store), http, keeper, Arc::clone(&clock));
                (store, Some(delivery))
            }
        };
        let pages = match &store.clickhouse {
            None => page::internal(data, clock, listener),
            Some(clickhouse) => page::internal_in(Arc::clone(clickhouse), data, clock, listener),
        };
        let mut config = Config::default();
        config.contracts.clone_from(&settings.contracts);
        config.trusted_proxies.clone_from(&settings.trusted_proxies);
        config.operator = Arc::new(Receives);
        config.flat_posts = true;
        config.metrics = false;
        let only = settings.clickhouse.as_ref().is_some_and(|keeper| keeper.receive_only);
        config.site = (!only).then_some(site);
        config.exporters.store = Some(Arc::clone(&store) as Arc<dyn otel_usage_bridge::Store>);
        config.limits = settings.limits.clone();
        let bridge = Bridge::on(ports, &config)?;
        let maintainers = maintainers.open()?;
        let (keep, rules) = (settings.keep, settings.rules);
        Ok(Self { bridge, store, pages, maintainers, keep, rules, delivery })
    }

    /// Returns the addresses of the public listener.
    ///
    /// # Errors
    ///
    /// The operating system does not return an address.
    pub fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        self.bridge.addresses()
    }

    /// Returns the addresses of the maintainers' listener.
    ///
    /// # Errors
    ///
    /// The operating system does not return an address.
    pub fn maintainers(&self) -> std::io::Result<Vec<SocketAddr>> {
        self.maintainers.iter().map(TcpListener::local_addr).collect()
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// Serves until `stop` is ready, then finishes the requests in progress and closes the file. Returns `false` if some
    /// requests were not finished in time.
    ///
    /// # Errors
    ///
    /// The file cannot be trusted any more, so the server had to stop.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> anyhow::Result<bool> {
        let Self { bridge, store, pages, maintainers: listeners, keep, rules, mut delivery } = self;
        let (ended, ending) = watch::channel(false);
        for listener in listeners {
            let http = delivery.as_ref().map(Delivery::http);
            let router = maintainers::router(bridge.metrics(), &store, http).merge(pages.clone());
            let router = own_names::only(router, listener.local_addr());
            tokio::spawn(bridge.beside(listener, router).serve(ending.clone()));
        }
        let (maintained, mut ending) = (Arc::clone(&store), ending.clone());
        tokio::spawn(async move {
            let ended = ending.wait_for(|ended| *ended);
            let maintain = async {
                let mut often = tokio::time::interval(OFTEN);
                loop {
                    often.tick().await;
                    maintained.maintain(keep, rules).await;
                }
            };
            tokio::select! {
                _ = ended => {}
                () = maintain => {}
            }
        });
        let mut why = None;
        let stopping = async {
            tokio::select! {
                () = stop => {}
                reason = store.stopped() => why = Some(reason),
            }
        };
        let finished = match &mut delivery {
            None => bridge.serve(stopping).await,
            Some(delivery) => {
                let finished = tokio::select! {
                    finished = bridge.serve(stopping) => finished,
                    never = delivery.run() => match never {},
                };
                // The disk of a receiver may go with it.
                let _ = tokio::time::timeout(LAST, delivery.finish()).await;
                finished
            }
        };
        let _ = ended.send(true);
        // The last batch, and the projection.
        tokio::task::spawn_blocking(move || store.close())
            .await
            .context("the store did not end")?;
        match why {
            Some(why) => Err(why),
            None => Ok(finished),
        }
    }
}
