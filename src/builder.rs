//! The builder, which sets reporting up for one engine.
//!
//! Consent comes first: if collection is off, nothing else happens.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use opentelemetry::Value;
use otel_usage_schema::{
    CompiledContract, Consent, Contract, Decision, IntoAttribute, Origin, Sanitizer,
};
use tracing::Level;

use crate::clock::Clock;
use crate::consent::ConsentGate;
use crate::detectors::{Accelerators, EngineFacts, Machine};
use crate::error::Error;
use crate::export::{self, Exporter, ExporterName, UsageSpanExporter};
use crate::inspect::Inspection;
use crate::instruments::Instruments;
use crate::notifier::{Callback, Notifier};
use crate::run::{Pipeline, PipelineParts, Queue, RunContext, RunStart};
use crate::settings::{Env, Operator, Overrides, Settings};
use crate::usage::{Live, State, Usage};

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

    /// Starts reporting. It never fails: a mistake in the builder or the contract is one warning, and the
    /// handle does nothing.
    ///
    /// No thread is started before the first record.
    pub fn init(mut self) -> Usage {
        let operator = self.operator();
        let mut decision = operator.decision.clone();
        let live = self.live(operator).unwrap_or_else(|error| {
            self.notifier().warn(&format!("{error}; usage reporting is off"));
            decision = Decision { consent: Consent::Off, because: error.to_string() };
            None
        });
        self.usage(decision, live)
    }

    /// Starts reporting like [`Builder::init`], and returns a mistake instead of warning of it.
    ///
    /// If collection is off, the handle does nothing.
    ///
    /// # Errors
    ///
    /// A mistake of the programmer: the contract contradicts itself, a URL of the builder cannot be
    /// used, or an exporter that the builder names is not in this build.
    pub fn try_init(mut self) -> Result<Usage, Error> {
        let operator = self.operator();
        let decision = operator.decision.clone();
        let live = self.live(operator)?;
        Ok(self.usage(decision, live))
    }

    /// Makes a `SpanExporter` for a provider that the caller assembles, instead of a [`Usage`].
    ///
    /// It keeps messages that wait in memory only, because it runs on the caller's thread, which no disk may
    /// hold up.
    ///
    /// # Errors
    ///
    /// As [`Builder::try_init`].
    pub fn span_exporter(mut self) -> Result<UsageSpanExporter, Error> {
        let operator = self.operator();
        let mut parts = self.parts(operator, &Arc::default())?;
        if let Some(parts) = &mut parts {
            let why = "a span exporter for a provider of the caller has no thread of its own";
            parts.settings.memory_only = Some(why.to_owned());
        }
        Ok(UsageSpanExporter::new(parts.map(Pipeline::new)))
    }

    /// Finds out what the engine would do here, for tools and tests. Nothing is sent.
    ///
    /// # Errors
    ///
    /// The contract contradicts itself. Other mistakes are warnings of
    /// [`Inspection::settings`].
    pub fn inspect(&self) -> Result<Inspection, Error> {
        let mut inspection = self.look()?;
        #[cfg(feature = "http")]
        inspection.settings.check_spool(Consent::Granted, crate::spool::place::check_now);
        // Made as a running engine makes them, for the warnings.
        let _ = export::active(
            &mut inspection.settings,
            &self.contract,
            Consent::Granted,
            Vec::new(),
            &self.notifier(),
        );
        Ok(inspection)
    }

    /// Finds out what the engine would do here, without the files of its exporters and therefore without a thread
    /// that reads them.
    pub(crate) fn look(&self) -> Result<Inspection, Error> {
        let operator = Operator::read_all(&self.contract, self.env(), self.consent);
        let mut settings = operator.all_settings(&self.contract, &self.overrides);
        settings.receipts.complete(&mut settings.warnings);
        settings.notes.extend(self.note_of_instance());
        while let Err(error) = export::check(&mut settings, &self.overrides) {
            // `check` stops at the builder's mistake, whose exporter is the first that fails.
            let Some(name) = settings.exporters.iter().copied().find(|name| name.is_network())
            else {
                break;
            };
            settings.switch_off(name, error.to_string());
        }
        Ok(Inspection {
            context: Arc::new(self.context(&operator.env, &settings)?),
            switches: operator.switches,
            decision: operator.decision,
            settings,
        })
    }

    fn usage(self, decision: Decision, live: Option<Live>) -> Usage {
        let state = match live {
            Some(live) => State::Live(Box::new(live)),
            None => State::Off(Box::new(Mutex::new(self))),
        };
        Usage::new(decision, state)
    }

    /// Makes everything that a running handle needs, or `None` if collection is off.
    fn live(&mut self, operator: Operator) -> Result<Option<Live>, Error> {
        let withdrawn = Arc::default();
        let Some(parts) = self.parts(operator, &withdrawn)? else { return Ok(None) };
        let context = Arc::clone(&parts.context);
        let instruments = Arc::clone(&parts.instruments);
        let direct = parts.is_direct();
        let queue = Arc::new(Queue::new(parts));
        let finished = AtomicBool::new(false);
        Ok(Some(Live {
            context,
            queue,
            instruments,
            provider: OnceLock::new(),
            withdrawn,
            direct,
            finished,
        }))
    }

    /// Resolves the settings and checks them, or returns `None` if collection is off.
    fn parts(
        &mut self,
        operator: Operator,
        withdrawn: &Arc<AtomicBool>,
    ) -> Result<Option<PipelineParts>, Error> {
        let notifier = self.notifier();
        let consent = operator.decision.consent;
        if consent == Consent::Off {
            // Only a broken file, and not an opt-out, is worth a warning.
            if let Some(warning) = operator.warning_of_off() {
                notifier.warn(&warning);
            }
            return Ok(None);
        }
        let mut settings = operator.settings(&self.contract, &self.overrides);
        settings.exporters.retain(|name| consent.allows(name.is_network()));
        export::check(&mut settings, &self.overrides)?;
        settings.notes.extend(self.note_of_instance());
        for warning in settings.warnings.iter().chain(&settings.notes) {
            notifier.warn(warning);
        }
        let destinations = settings.destinations();
        if self.early_notice && !destinations.is_empty() {
            notifier.notice(&self.contract, &destinations);
        }
        let context = Arc::new(self.context(&operator.env, &settings)?);
        Ok(Some(PipelineParts {
            instruments: Arc::new(Instruments::new(context.contract.contract())),
            context,
            gate: ConsentGate::new(operator.switches, Arc::clone(withdrawn)),
            settings,
            consent,
            own_exporters: std::mem::take(&mut self.exporters),
            counters: Arc::default(),
            notifier,
        }))
    }

    /// Returns the note that the instance id is no UUID and is left out. The id may be a secret and is not shown.
    fn note_of_instance(&self) -> Option<String> {
        let id = self.instance_id.as_deref()?;
        Sanitizer::Uuid.text(id).is_empty().then(|| {
            "option `instance_id`: it is not a UUID and is sent as the empty text".to_owned()
        })
    }

    fn context(&self, env: &Env, settings: &Settings) -> Result<RunContext, Error> {
        let mut engine = self.engine.clone();
        engine.instance_id = self.instance_id.clone().unwrap_or_else(|| self.clock.uuid());
        engine.directory = env.directory(&self.contract.directory);
        // The builder's attributes come last and win.
        engine.attributes.splice(0..0, self.operator_attributes(env));
        Ok(RunContext {
            contract: self.compiled(settings)?,
            machine: Machine::live(env.pairs()),
            engine,
            start: RunStart::now(&self.clock),
            clock: self.clock.clone(),
        })
    }

    /// Returns the Resource attributes that the contract takes from environment variables.
    fn operator_attributes(&self, env: &Env) -> Vec<(String, Value)> {
        let attributes = self.contract.attributes.iter();
        let set = attributes.filter_map(|attribute| match &attribute.origin {
            Origin::Variable(variable) => {
                Some((attribute.name.to_string(), Value::String(env.text(variable)?.into())))
            }
            _ => None,
        });
        set.collect()
    }

    fn compiled(&self, settings: &Settings) -> Result<Arc<CompiledContract>, Error> {
        if settings.omitted.is_empty() {
            return Ok(CompiledContract::shared(&self.contract)?);
        }
        let omitted: Vec<&str> = settings.omitted.iter().map(|(_, name)| name.as_str()).collect();
        let contract = self.contract.clone().without(&omitted);
        Ok(Arc::new(CompiledContract::new(&contract)?))
    }

    fn env(&self) -> Env {
        self.environment.clone().unwrap_or_else(|| Env::process(&self.contract))
    }

    fn operator(&self) -> Operator {
        Operator::read(&self.contract, self.env(), self.consent)
    }

    fn notifier(&self) -> Notifier {
        Notifier::new(self.callback.clone())
    }
}
