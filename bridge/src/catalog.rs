//! The contracts that the bridge knows, each with its destination and the operator's consent.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use otel_usage_schema::{CompiledContract, Consent, Contract, Decision, Destination};
use reqwest::Url;

use crate::config::{Config, Operator};
use crate::keys::Keys;
use crate::recognise::Forms;
use crate::strangers::Strangers;

/// Time for which a consent holds.
const CONSENT_HOLDS: Duration = Duration::from_secs(1);

/// The contracts that the bridge knows.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) known: Vec<Known>,
    /// Every key of a flat message.
    pub(crate) keys: Keys,
    pub(crate) forms: Forms,
    pub(crate) strangers: Strangers,
}

/// One contract, ready for use.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) compiled: Arc<CompiledContract>,
    /// The URL of each endpoint; empty if there is no `server` exporter.
    urls: HashMap<String, Url>,
    /// The usage server without credentials. `None` if there is no `server` exporter.
    pub(crate) server: Option<String>,
    operator: Arc<dyn Operator>,
    /// The last consent and the time at which it was asked.
    consent: Mutex<Option<(Consent, Instant)>>,
}

impl Catalog {
    /// # Errors
    ///
    /// A contract contradicts itself, a server is missing or not a URL, `--server` names an unknown
    /// contract, or collection is off on this machine for every contract.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let mut contracts: Vec<Contract> = Contract::built_in().into_iter().cloned().collect();
        for own in &config.contracts {
            contracts.retain(|contract| contract.id != own.id);
            contracts.push(own.clone());
        }
        for (name, _) in &config.servers {
            let named = |contract: &Contract| contract.id == *name || contract.system == *name;
            if !contracts.iter().any(named) {
                let ids: Vec<&str> =
                    contracts.iter().map(|contract| contract.id.as_ref()).collect();
                bail!("server for {name}: no such contract; known are {}", ids.join(", "));
            }
        }
        let known = contracts
            .iter()
            .map(|contract| Known::new(contract, config))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let decisions: Vec<_> = known.iter().map(Known::decision).collect();
        if let Some(first) = decisions.first()
            && decisions.iter().all(|decision| decision.consent == Consent::Off)
        {
            bail!(
                "collection is off on this machine: {}; nothing to do here until it is on",
                first.because
            );
        }
        let mut held: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for (known, decision) in known.iter().zip(&decisions) {
            if decision.consent != Consent::Granted {
                let key = (decision.consent.as_str(), decision.because.as_str());
                held.entry(key).or_default().push(known.id());
            }
        }
        for ((mode, because), contracts) in held {
            let contracts = contracts.join(", ");
            tracing::warn!("collection is {mode} for {contracts}, because of {because}");
        }
        let messages = contracts.iter().flat_map(|contract| contract.messages.iter());
        let fields = messages.flat_map(|message| message.fields.iter());
        let keys = fields.map(|field| field.name.as_ref()).collect();
        let forms = Forms::new(&contracts, &keys);
        Ok(Self { known, keys, forms, strangers: Strangers::default() })
    }

    /// Returns the place of the contract with this id.
    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.known.iter().position(|known| known.id() == id)
    }
}

impl Known {
    fn new(contract: &Contract, config: &Config) -> anyhow::Result<Self> {
        let (mut urls, mut shown) = (HashMap::new(), None);
        if config.exporters.server {
            let (from, base) = server(contract, config)?;
            shown = Some(base.to_string().trim_end_matches('/').to_owned());
            for message in contract.messages.iter() {
                let url = base
                    .below(&message.endpoint)
                    .and_then(|url| Url::parse(&url.uri().to_string()).ok());
                let url = url.with_context(|| {
                    format!("{from}: the endpoint `{}` is not a path", message.endpoint)
                })?;
                urls.insert(message.endpoint.to_string(), url);
            }
        }
        Ok(Self {
            compiled: CompiledContract::shared(contract)?,
            urls,
            server: shown,
            operator: Arc::clone(&config.operator),
            consent: Mutex::new(None),
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.compiled.contract().id
    }

    pub(crate) fn url(&self, endpoint: &str) -> Option<&Url> {
        self.urls.get(endpoint)
    }

    fn decision(&self) -> Decision {
        self.operator.decision(self.compiled.contract())
    }

    /// Returns the operator's consent, which is asked again once it is a second old.
    pub(crate) fn consent(&self, now: Instant) -> Consent {
        let mut last = self.consent.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((consent, asked)) if now.saturating_duration_since(asked) < CONSENT_HOLDS => {
                consent
            }
            _ => {
                let consent = self.decision().consent;
                *last = Some((consent, now));
                consent
            }
        }
    }
}

/// Returns the base URL with the place that names it: the command line, the operator's variable, or the
/// contract.
fn server(contract: &Contract, config: &Config) -> anyhow::Result<(String, Destination)> {
    let named = |name: &str| {
        let mut servers = config.servers.iter().rev();
        servers.find(|(server, _)| server == name).map(|(_, url)| url.clone())
    };
    let by_operator = || config.operator.server(contract).filter(|(_, url)| !url.trim().is_empty());
    let (from, url) = if let Some(url) = named(&contract.id).or_else(|| named(&contract.system)) {
        ("--server".to_owned(), url)
    } else if let Some(by_operator) = by_operator() {
        by_operator
    } else {
        let id = &contract.id;
        let url = contract.server.as_deref().with_context(|| {
            format!("contract {id}: it names no usage server; add --server {id}=http://host:port")
        })?;
        (format!("contract {id}"), url.to_owned())
    };
    // The URL may hold a password and is not shown.
    let base = Destination::parse(url.trim()).with_context(|| {
        format!("{from}: not the URL of a server; write http://host:port/path or https://…")
    })?;
    Ok((from, base))
}
