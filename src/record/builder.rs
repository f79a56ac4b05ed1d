//! The builder: from a contract and an engine's own facts to a running [`Usage`].
//!
//! Consent comes first: when it is off, nothing below it happens.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use opentelemetry::trace::TracerProvider as _;
use tracing::Level;

use super::handle::{Live, State};
use super::processor::provider;
use super::{RunPreview, Usage, preview};
use crate::clock::Clock;
use crate::config::{ConfigFile, Consent, Decision, Env, Exporter, Overrides, Settings, Switches};
use crate::error::Error;
use crate::export::{Assembly, Gate, Pipeline, Plan, Run, Shared, UsageExporter, Worker};
use crate::helper::Helper;
use crate::notice::{Callback, Voice};
use crate::probe::{Accelerators, Machine};
use crate::resource::EngineFacts;
use crate::schema::{CompiledContract, Contract, IntoAttribute, UsageRecord};
use crate::sink::{Report, Sink};

/// Sets reporting up for one engine.
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
    sinks: Vec<Box<dyn Sink>>,
}

/// What the operator says.
struct Operator {
    env: Env,
    file: ConfigFile,
    switches: Switches,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("contract", &self.contract.id).finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn new(contract: &Contract) -> Self {
        Self {
            contract: contract.clone(),
            engine: EngineFacts::default(),
            overrides: Overrides::default(),
            consent: None,
            callback: None,
            clock: Clock::system(),
            environment: None,
            instance_id: None,
            sinks: Vec::new(),
        }
    }

    /// The engine's version: `service.version`.
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.engine.version = Some(version.into());
        self
    }

    /// The accelerators as the engine's framework sees them. They win over what the driver says.
    pub fn with_accelerators(mut self, accelerators: Accelerators) -> Self {
        self.engine.accelerators = Some(accelerators);
        self
    }

    /// A Resource attribute of the contract that only the engine knows, such as
    /// `lmcache.deployment_mode`. Undeclared ones are counted and do not leave.
    pub fn with_attribute(mut self, name: impl Into<String>, value: impl IntoAttribute) -> Self {
        if let Some(value) = value.into_attribute() {
            self.engine.attributes.push((name.into(), value));
        }
        self
    }

    /// LMCache's `local_log`: a text log of the messages, written beside whatever else runs.
    /// A leading `~` is the home directory.
    pub fn with_local_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.overrides.local_log = Some(path.into());
        self
    }

    /// The JSON-lines file, instead of the contract's own.
    pub fn with_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.overrides.file = Some(path.into());
        self
    }

    /// The usage server's base URL, instead of the operator's and the contract's.
    pub fn with_server(mut self, url: impl Into<String>) -> Self {
        self.overrides.server_url = Some(url.into());
        self
    }

    /// The OTLP endpoint, instead of the operator's.
    pub fn with_otlp_endpoint(mut self, url: impl Into<String>) -> Self {
        self.overrides.otlp_endpoint = Some(url.into());
        self
    }

    /// Exactly these exporters, instead of the operator's and the contract's.
    pub fn with_exporters(mut self, exporters: impl IntoIterator<Item = Exporter>) -> Self {
        self.overrides.exporters = Some(exporters.into_iter().collect());
        self
    }

    /// A destination of the engine's own, beside the others.
    pub fn with_sink(mut self, sink: impl Sink + 'static) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }

    /// The engine's own word on consent: it can narrow what the operator allows, never widen it.
    pub fn with_consent(mut self, consent: Consent) -> Self {
        self.consent = Some(consent);
        self
    }

    /// Who hears the notice and the warnings, instead of `tracing` or stderr.
    pub fn with_messages(mut self, tell: impl Fn(Level, &str) + Send + Sync + 'static) -> Self {
        self.callback = Some(Arc::new(tell));
        self
    }

    /// The data is made up (an example, a test, a bench): there is no default server, and one that
    /// is not on this machine is refused.
    pub fn with_sample_data(mut self) -> Self {
        self.overrides.sample = true;
        self
    }

    /// Another clock, for tests and previews.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Another environment than the process's, for tests and tools.
    pub fn with_environment(mut self, environment: Env) -> Self {
        self.environment = Some(environment);
        self
    }

    /// A fixed `service.instance.id` instead of a random one, for tests and previews.
    pub fn with_instance_id(mut self, id: impl Into<String>) -> Self {
        self.instance_id = Some(id.into());
        self
    }

    /// Starts reporting. When collection is off, the handle does nothing.
    ///
    /// # Errors
    ///
    /// A programmer's mistake: a contract that contradicts itself, a URL given here that is none,
    /// an exporter named here that this build lacks.
    pub fn init(mut self) -> Result<Usage, Error> {
        let operator = self.operator();
        let decision = operator.switches.decide();
        let live = self.live(operator, &decision)?;
        Ok(self.usage(decision, live))
    }

    /// As [`Builder::init`], with a programmer's mistake as a warning and a handle that is off.
    pub(super) fn init_or_off(mut self) -> Usage {
        let operator = self.operator();
        let mut decision = operator.switches.decide();
        let live = self.live(operator, &decision).unwrap_or_else(|error| {
            Voice::new(self.callback.clone()).warn(&format!("{error}; usage reporting is off"));
            decision = Decision { consent: Consent::Off, because: error.to_string() };
            None
        });
        self.usage(decision, live)
    }

    fn usage(self, decision: Decision, live: Option<Live>) -> Usage {
        let state = live.map_or_else(|| State::Off(Box::new(Mutex::new(self))), State::Live);
        Usage::new(decision, state)
    }

    /// Everything that happens once consent is known. `None`: it is off.
    fn live(&mut self, operator: Operator, decision: &Decision) -> Result<Option<Live>, Error> {
        let Operator { env, file, switches } = operator;
        let voice = Voice::new(self.callback.clone());
        if decision.consent == Consent::Off {
            warn_of_damage(&file, &voice);
            return Ok(None);
        }
        let plan = Arc::new(self.plan(&env, &file)?);
        let withdrawn = Arc::new(AtomicBool::new(false));
        let gate = Gate::new(switches, Arc::clone(&withdrawn));
        let settings =
            self.pipeline(Arc::clone(&plan), gate, (&env, &file), decision.consent, &voice);
        let pipeline = settings?;
        let (direct, meters) = (pipeline.is_direct(), pipeline.meters());
        let shared = Arc::new(Shared::new(pipeline.counters()));
        if !Worker::start(Arc::clone(&shared), pipeline) {
            voice.warn("no thread could be started; usage reporting is off in this process");
            return Ok(None);
        }
        let provider = provider(Arc::clone(&shared));
        let tracer = provider.tracer(crate::SCOPE);
        let detached = AtomicBool::new(false);
        Ok(Some(Live { plan, shared, meters, provider, tracer, withdrawn, direct, detached }))
    }

    /// Starts reporting, or `None` when collection is off.
    ///
    /// # Errors
    ///
    /// As [`Builder::init`].
    pub fn try_init(self) -> Result<Option<Usage>, Error> {
        Ok(Some(self.init()?).filter(Usage::is_enabled))
    }

    /// A `SpanExporter` for a provider that the caller assembles, instead of a [`Usage`].
    ///
    /// # Errors
    ///
    /// As [`Builder::init`].
    pub fn exporter(mut self) -> Result<UsageExporter, Error> {
        let Operator { env, file, switches } = self.operator();
        let voice = Voice::new(self.callback.clone());
        let consent = switches.decide().consent;
        if consent == Consent::Off {
            warn_of_damage(&file, &voice);
            return Ok(UsageExporter::new(None));
        }
        let plan = Arc::new(self.plan(&env, &file)?);
        let gate = Gate::new(switches, Arc::default());
        let pipeline = self.pipeline(plan, gate, (&env, &file), consent, &voice)?;
        Ok(UsageExporter::new(Some(pipeline)))
    }

    /// The reports that `record` would cause on this machine now. Nothing is started, written or
    /// sent; works when collection is off. Reads the machine on the calling thread.
    ///
    /// # Errors
    ///
    /// As [`Builder::init`].
    pub fn preview(&self, record: impl UsageRecord) -> Result<Vec<Report>, Error> {
        Ok(self.preview_run(record)?.start)
    }

    /// As [`Builder::preview`], with the heartbeat and the end of a run that starts with `record`.
    ///
    /// # Errors
    ///
    /// As [`Builder::init`].
    pub fn preview_run(&self, record: impl UsageRecord) -> Result<RunPreview, Error> {
        let env = self.env();
        let plan = Arc::new(self.plan(&env, &ConfigFile::load(&env))?);
        let direct = self.settings().exporters.contains(&Exporter::Server);
        Ok(preview::run(&plan, record, direct))
    }

    /// Whether collection is on, and which switch decided it.
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.operator().switches.decide()
    }

    /// The mode file that the `otel-usage` command writes. `None`: no home directory is known.
    #[must_use]
    pub fn mode_file(&self) -> Option<PathBuf> {
        self.switches(&self.env()).mode_file().map(PathBuf::from)
    }

    /// The pipeline that would run, consent aside, with every mistake found in what was asked for.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let env = self.env();
        self.assembly(&env, &ConfigFile::load(&env), &Helper::default()).settings()
    }

    fn env(&self) -> Env {
        self.environment.clone().unwrap_or_else(|| Env::process(&self.contract))
    }

    /// The file is opened only if everything else leaves something to do.
    fn operator(&self) -> Operator {
        let env = self.env();
        let mut switches = self.switches(&env);
        let opened = ConfigFile::is_named(&env) && switches.decide().consent != Consent::Off;
        let file = if opened { ConfigFile::load(&env) } else { ConfigFile::default() };
        if let Some(word) = &file.consent {
            switches.narrow(word.clone());
        }
        Operator { env, file, switches }
    }

    fn switches(&self, env: &Env) -> Switches {
        Switches::new(&self.contract, env, self.consent)
    }

    pub(super) fn plan(&self, env: &Env, file: &ConfigFile) -> Result<Plan, Error> {
        let omitted = crate::config::omitted(env, file);
        let omitted: Vec<&str> = omitted.iter().map(|(_, name)| name.as_str()).collect();
        let contract = self.contract.clone().without(&omitted);
        Ok(Plan {
            contract: Arc::new(CompiledContract::new(&contract)?),
            machine: Machine::live(env.pairs()),
            engine: EngineFacts {
                instance_id: self
                    .instance_id
                    .clone()
                    .unwrap_or_else(|| self.clock.uuid().to_string()),
                source: env.text("VLLM_USAGE_SOURCE"),
                ..self.engine.clone()
            },
            directory: env.directory(&self.contract.directory),
            interval: self.contract.interval_variable.as_ref().and_then(|name| env.text(name)),
            run: Run::begin(&self.clock),
            clock: self.clock.clone(),
        })
    }

    fn pipeline(
        &mut self,
        plan: Arc<Plan>,
        gate: Gate,
        (env, file): (&Env, &ConfigFile),
        consent: Consent,
        voice: &Voice,
    ) -> Result<Pipeline, Error> {
        let helper = Helper::default();
        let own = std::mem::take(&mut self.sinks);
        let (settings, outlets) = self.assembly(env, file, &helper).outlets(consent, own, voice)?;
        for warning in settings.warnings.iter().chain(&settings.notes) {
            voice.warn(warning);
        }
        Ok(Pipeline::new(plan, gate, helper, outlets, &settings, voice.clone()))
    }

    fn assembly<'a>(&'a self, env: &Env, file: &ConfigFile, helper: &'a Helper) -> Assembly<'a> {
        Assembly::new(&self.contract, &self.overrides, env, file, helper)
    }
}

/// The one thing said about an off: that it was not asked for.
fn warn_of_damage(file: &ConfigFile, voice: &Voice) {
    if let Some(warning) = file.warning() {
        voice.warn(&warning);
    }
}
