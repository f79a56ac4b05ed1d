//! Finds out whether a message would arrive, with a request that holds no data.

use std::io::ErrorKind;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use otel_usage_schema::{Consent, Destination};
use ureq::Error;

use super::client::Client;
#[cfg(feature = "otlp")]
use super::otlp;
use super::server;
use crate::export::ExporterName;
use crate::notifier::Notifier;
use crate::settings::Inspection;
use crate::thread;

/// A destination, and the way to it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Route {
    /// The exporter that sends there.
    pub exporter: ExporterName,
    /// The origin of its URL.
    pub destination: String,
    /// The origin of the proxy through which messages go.
    pub proxy: Option<String>,
    /// The mistake because of which the exporter cannot run. It names a file that cannot be used.
    pub mistake: Option<String>,
}

/// The end of an attempt to reach a destination.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Reached {
    /// The destination, or the proxy of plain HTTP, answered with this status.
    Answered(u16),
    /// It cannot be reached.
    Failed {
        /// The part of the way that failed.
        stage: Stage,
        /// The event, in words.
        what: String,
    },
}

/// A part of the way to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// The look-up of the name.
    Name,
    /// The TCP connection.
    Connection,
    /// The tunnel through the proxy.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// The answer.
    Answer,
}

impl Stage {
    /// Returns the word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Connection => "connection",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::Answer => "answer",
        }
    }
}

impl Inspection {
    /// Returns the ways to the destinations, consent aside. It reads the files of certificates and opens no
    /// connection.
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        let of = |(exporter, destination): (ExporterName, Destination)| {
            let proxy = self.settings.proxies.find(&destination);
            Route {
                exporter,
                mistake: self.client(exporter, &destination).err(),
                proxy: proxy.ok().flatten().map(|proxy| proxy.origin()),
                destination: destination.origin(),
            }
        };
        self.network().into_iter().map(of).collect()
    }

    /// Asks the destination of a route for the head of its root, as `HEAD /` without path, query, body or
    /// credentials, through the operator's proxy and with its certificates. It may take the time `within`.
    ///
    /// Returns `None` if no host was asked: consent does not allow to send, or the exporter cannot run.
    #[must_use]
    pub fn reach(&self, route: &Route, within: Duration) -> Option<Reached> {
        // Asked each time, because the one before may have taken its time.
        if self.switches.decide().consent != Consent::Granted {
            return None;
        }
        let mut all = self.network().into_iter();
        let (exporter, to) = all.find(|(exporter, _)| *exporter == route.exporter)?;
        let client = self.client(exporter, &to).ok()?;
        // A look-up of a name cannot be cut short.
        let (sender, answer) = mpsc::channel();
        let ask = move || {
            let _ = sender.send(client.reach(&to, within));
        };
        let thread = thread::spawn("otel-usage-reach", ask);
        let answer = thread.ok().map(|_| answer.recv_timeout(within.saturating_mul(2)));
        Some(match answer {
            Some(Ok(Ok(status))) => Reached::Answered(status),
            Some(Ok(Err(error))) => failed(&error),
            _ => Reached::Failed { stage: Stage::Name, what: "no answer in time".to_owned() },
        })
    }

    fn network(&self) -> Vec<(ExporterName, Destination)> {
        let settings = &self.settings;
        let url = |name: &ExporterName| match name {
            ExporterName::Server => settings.server.as_deref(),
            ExporterName::Otlp => settings.otlp.as_ref().map(|otlp| otlp.endpoint.as_str()),
            _ => None,
        };
        let parsed = |name: &ExporterName| Some((*name, Destination::parse(url(name)?)?));
        settings.exporters.iter().filter_map(parsed).collect()
    }

    /// Makes the client of an exporter, which reads its certificates.
    fn client(&self, exporter: ExporterName, to: &Destination) -> Result<Client, String> {
        let notifier = Notifier::new(Some(Arc::new(|_, _| {})));
        match (exporter, &self.settings.otlp) {
            #[cfg(feature = "otlp")]
            (ExporterName::Otlp, Some(otlp)) => otlp::client(otlp, to, &self.settings, &notifier),
            _ => server::client(to, &self.settings, &notifier),
        }
    }
}

fn failed(error: &Error) -> Reached {
    let what = error.to_string();
    let stage = match error {
        Error::HostNotFound | Error::Timeout(ureq::Timeout::Resolve) => Stage::Name,
        Error::ConnectProxyFailed(_) => Stage::Proxy,
        Error::Tls(_) | Error::Rustls(_) => Stage::Tls,
        Error::Timeout(ureq::Timeout::Connect) | Error::ConnectionFailed => Stage::Connection,
        Error::Io(error) => match error.kind() {
            // So are the errors of rustls wrapped.
            ErrorKind::InvalidData => Stage::Tls,
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => Stage::Answer,
            _ if what.contains("lookup") || what.contains("resolution") => Stage::Name,
            _ => Stage::Connection,
        },
        _ => Stage::Answer,
    };
    Reached::Failed { stage, what }
}
