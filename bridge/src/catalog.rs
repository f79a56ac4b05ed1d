//! The contracts the bridge knows, made ready for use, each with its destination and consent.
//!
//! In: the configuration and the environment. Out: a [`Known`] contract by its id. Consent is asked
//! again while the bridge runs, at most once a second: its switches are files.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use otel_usage::schema::CompiledContract;
use otel_usage::{Builder, Consent, Contract, Decision, Env, Usage};
use reqwest::Url;

use crate::config::Config;

/// How long an answer on consent holds.
const CONSENT_HOLDS: Duration = Duration::from_secs(1);

/// Every contract the bridge knows.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) known: Vec<Known>,
}

/// One contract, ready for use.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) compiled: CompiledContract,
    /// Where each endpoint is posted to. Empty: there is no `server` sink.
    urls: HashMap<String, Url>,
    switches: Mutex<Switches>,
}

/// Where consent is looked up, and what was found there last.
#[derive(Debug)]
struct Switches {
    builder: Builder,
    found: Option<(Consent, Instant)>,
}

impl Catalog {
    /// # Errors
    ///
    /// When a contract contradicts itself, a server is no URL or is missing, a name in `--server`
    /// is unknown, or collection is off on this machine for every contract.
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
        for (known, decision) in known.iter().zip(decisions) {
            if decision.consent != Consent::Granted {
                let (contract, because) = (known.id(), decision.because);
                tracing::warn!(
                    contract,
                    mode = decision.consent.as_str(),
                    because,
                    "not everything is delivered"
                );
            }
        }
        Ok(Self { known })
    }

    /// The place of the contract with this id.
    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.known.iter().position(|known| known.id() == id)
    }
}

impl Known {
    fn new(contract: &Contract, config: &Config) -> anyhow::Result<Self> {
        let compiled = CompiledContract::new(contract).map_err(|error| anyhow!("{error}"))?;
        let environment = config.environment.clone().unwrap_or_else(|| Env::process(contract));
        let mut urls = HashMap::new();
        if config.sinks.server {
            let base = server(contract, config, &environment)?;
            for message in contract.messages.iter() {
                urls.insert(message.endpoint.to_string(), join(&base, &message.endpoint));
            }
        }
        Ok(Self {
            compiled,
            urls,
            switches: Mutex::new(Switches {
                builder: Usage::builder(contract).with_environment(environment),
                found: None,
            }),
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.compiled.contract().id
    }

    pub(crate) fn url(&self, endpoint: &str) -> Option<&Url> {
        self.urls.get(endpoint)
    }

    fn decision(&self) -> Decision {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner).builder.decision()
    }

    /// What the operator of this machine allows now.
    pub(crate) fn consent(&self, now: Instant) -> Consent {
        let mut switches = self.switches.lock().unwrap_or_else(PoisonError::into_inner);
        match switches.found {
            Some((consent, asked)) if now.saturating_duration_since(asked) < CONSENT_HOLDS => {
                consent
            }
            _ => {
                let consent = switches.builder.decision().consent;
                switches.found = Some((consent, now));
                consent
            }
        }
    }
}

/// The base URL: the command line's word, the environment's, the contract's.
fn server(contract: &Contract, config: &Config, environment: &Env) -> anyhow::Result<Url> {
    let told = |name: &str| {
        let mut named = config.servers.iter().rev();
        named.find(|(told, _)| told == name).map(|(_, url)| url.clone())
    };
    let (from, url) = if let Some(url) = told(&contract.id).or_else(|| told(&contract.system)) {
        ("--server".to_owned(), url)
    } else if let Some(variable) = contract.server_variable.as_deref()
        && let Some((_, url)) = environment.pairs().find(|(name, _)| name == variable)
        && !url.trim().is_empty()
    {
        (variable.to_owned(), url)
    } else {
        let id = &contract.id;
        let url = contract.server.as_deref().with_context(|| {
            format!("contract {id}: it names no usage server; add --server {id}=http://host:port")
        })?;
        (format!("contract {id}"), url.to_owned())
    };
    // The text may hold a password and is not repeated.
    let wrong =
        || anyhow!("{from}: not the URL of a server; write http://host:port/path or https://…");
    let url = Url::parse(url.trim()).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong());
    }
    Ok(url)
}

/// The endpoint below the base, whose own path and query are kept. An empty endpoint is the base.
fn join(base: &Url, endpoint: &str) -> Url {
    let mut url = base.clone();
    if !endpoint.is_empty() {
        url.set_path(&format!("{}/{endpoint}", base.path().trim_end_matches('/')));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_joined_below_the_base_path() {
        for (base, endpoint, url) in [
            ("https://stats.vllm.ai", "", "https://stats.vllm.ai/"),
            ("http://stats.lmcache.ai:8080", "context", "http://stats.lmcache.ai:8080/context"),
            ("http://127.0.0.1:9/?key=x", "context", "http://127.0.0.1:9/context?key=x"),
            ("http://127.0.0.1:9/base/", "cache-usage", "http://127.0.0.1:9/base/cache-usage"),
        ] {
            assert_eq!(join(&Url::parse(base).unwrap(), endpoint).as_str(), url);
        }
    }
}
