//! Makes a running handle, an exporter or an inspection of the builder's choices.
//!
//! Consent comes first: if collection is off, nothing else happens.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use opentelemetry::Value;
use otel_usage_schema::{CompiledContract, Consent, Decision, Origin, Sanitizer};

use super::Builder;
use crate::consent::ConsentGate;
use crate::detectors::Machine;
use crate::error::Error;
use crate::export::{self, UsageSpanExporter};
use crate::inspect::Inspection;
use crate::instruments::Instruments;
use crate::notifier::Notifier;
use crate::run::{Pipeline, PipelineParts, Queue, RunContext, RunStart};
use crate::settings::{Env, Operator, Settings};
use crate::usage::{Live, State, Usage};

impl Builder {
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
