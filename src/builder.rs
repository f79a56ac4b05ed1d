//! The builder, which takes the engine's choices. `start` makes a handle of them.

mod start;

use std::path::PathBuf;
use std::sync::Arc;

use otel_usage_schema::{Consent, Contract, IntoAttribute};
use tracing::Level;

use crate::clock::Clock;
use crate::detectors::{Accelerators, EngineFacts};
use crate::export::{Exporter, ExporterName};
use crate::notifier::Callback;
use crate::settings::{Env, Overrides};

/// Sets reporting up for one engine.
///
/// Settings come from the builder first, then from the environment, then from the operator's
/// configuration file, then from the contract. Consent stands above all of them: the operator's off
/// cannot be overruled.
///
/// # Examples
///
/// ```
/// use otel_usage::schema::vllm;
/// use otel_usage::{Accelerators, Usage};
/// # use otel_usage::Consent;
///
/// let usage = Usage::builder(&vllm::CURRENT)
///     .with_version("0.33.0")
///     .with_accelerators(Accelerators::new(8, "NVIDIA H100 80GB HBM3", 85_029_158_912))
/// #   .with_consent(Consent::Off)
///     .init();
/// # let _ = usage;
/// ```
#[must_use = "nothing happens until `init`"]
pub struct Builder {
    contract: Contract,
    engine: EngineFacts,
    overrides: Overrides,
    consent: Option<Consent>,
    callback: Option<Callback>,
    clock: Clock,
    environment: Option<Env>,
    instance_id: Option<String>,
    early_notice: bool,
    exporters: Vec<Box<dyn Exporter>>,
}

/// Prints the contract only, because settings may hold secrets.
impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("contract", &self.contract.id).finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new(contract: &Contract) -> Self {
        Self {
            contract: contract.clone(),
            engine: EngineFacts::default(),
            overrides: Overrides::default(),
            consent: None,
            callback: None,
            clock: Clock::system(),
            environment: None,
            instance_id: None,
            early_notice: false,
            exporters: Vec::new(),
        }
    }

    /// Sets the engine's version, which becomes `service.version`. Default: unknown.
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.engine.version = Some(version.into());
        self
    }

    /// Sets the accelerators as the engine's framework sees them. Default: the driver is asked.
    pub fn with_accelerators(mut self, accelerators: Accelerators) -> Self {
        self.engine.accelerators = Some(accelerators);
        self
    }

    /// Sets a Resource attribute of the contract that only the engine knows, such as
    /// `lmcache.deployment_mode`. An undeclared attribute is counted and does not leave.
    pub fn with_attribute(mut self, name: impl Into<String>, value: impl IntoAttribute) -> Self {
        if let Some(value) = value.into_attribute() {
            self.engine.attributes.push((name.into(), value));
        }
        self
    }

    /// Sets the path of a text log of the messages (LMCache's `local_log`). It replaces the JSON-lines
    /// file. A leading `~` is the home directory. Default: no text log.
    pub fn with_local_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.overrides.local_log = Some(path.into());
        self
    }

    /// Sets the path of the JSON-lines file. Default: `OTEL_USAGE_FILE`, then the configuration file,
    /// then the contract's file.
    pub fn with_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.overrides.file = Some(path.into());
        self
    }

    /// Sets the usage server's base URL. Default: the contract's variable, then the configuration file,
    /// then the contract's server.
    pub fn with_server(mut self, url: impl Into<String>) -> Self {
        self.overrides.server_url = Some(url.into());
        self
    }

    /// Sets the OTLP endpoint. Default: `OTEL_USAGE_OTLP_ENDPOINT`, then the configuration file, then
    /// the generic `OTEL_EXPORTER_OTLP_*` variables.
    pub fn with_otlp_endpoint(mut self, url: impl Into<String>) -> Self {
        self.overrides.otlp_endpoint = Some(url.into());
        self
    }

    /// Sets the built-in exporters that run. Default: `OTEL_USAGE_EXPORTERS`, then the configuration
    /// file, then `server` and `file` as far as the contract names them.
    pub fn with_exporters(mut self, names: impl IntoIterator<Item = ExporterName>) -> Self {
        self.overrides.exporters = Some(names.into_iter().collect());
        self
    }

    /// Adds an exporter of the engine's own, beside the built-in ones.
    pub fn with_exporter(mut self, exporter: impl Exporter + 'static) -> Self {
        self.exporters.push(Box::new(exporter));
        self
    }

    /// Sets the engine's own consent, which narrows what the operator allows and never widens it.
    /// Default: the operator decides.
    pub fn with_consent(mut self, consent: Consent) -> Self {
        self.consent = Some(consent);
        self
    }

    /// Sets the function that gets the notice and the warnings. Default: `tracing` if a subscriber
    /// listens, else stderr.
    pub fn on_notice(mut self, tell: impl Fn(Level, &str) + Send + Sync + 'static) -> Self {
        self.callback = Some(Arc::new(tell));
        self
    }

    /// Gives the notice at [`Builder::init`], on the calling thread. Default: the worker gives it, before the first
    /// message leaves.
    pub fn with_early_notice(mut self) -> Self {
        self.early_notice = true;
        self
    }

    /// Declares the data as made up, for an example, a test or a bench. There is then no default server,
    /// and a server that is not on this machine is refused.
    pub fn with_sample_data(mut self) -> Self {
        self.overrides.sample = true;
        self
    }

    /// Sets the clock, for tests and previews. Default: the machine's clock.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the environment variables, for tests and tools. Default: those of the process.
    pub fn with_environment(mut self, environment: Env) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Sets `service.instance.id`, for tests and previews. Default: a random UUID.
    pub fn with_instance_id(mut self, id: impl Into<String>) -> Self {
        self.instance_id = Some(id.into());
        self
    }
}
