//! The operator's part of the settings, read once: environment, switches and configuration file.

use otel_usage_schema::{Consent, Contract, Decision};

use super::{ConfigFile, Env, Overrides, Settings};
use crate::consent::ConsentSwitches;

/// Environment, switches and configuration file of one engine.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) env: Env,
    pub(crate) switches: ConsentSwitches,
    pub(crate) decision: Decision,
    file: ConfigFile,
}

impl Operator {
    /// Reads the switches, and then the configuration file unless collection is off already.
    pub(crate) fn read(contract: &Contract, env: Env, builder: Option<Consent>) -> Self {
        let switches = ConsentSwitches::new(contract, &env, builder);
        let decision = switches.decide();
        let operator = Self { env, switches, decision, file: ConfigFile::default() };
        if operator.decision.consent == Consent::Off { operator } else { operator.with_file() }
    }

    /// Reads the switches and the configuration file, for a tool that shows both.
    pub(crate) fn read_all(contract: &Contract, env: Env, builder: Option<Consent>) -> Self {
        let operator = Self::read(contract, env, builder);
        if operator.file.path.is_some() { operator } else { operator.with_file() }
    }

    fn with_file(mut self) -> Self {
        self.file = ConfigFile::load(&self.env);
        if let Some(decision) = &self.file.consent {
            self.switches.narrow(decision.clone());
            self.decision = self.switches.decide();
        }
        self
    }

    /// Resolves the settings for `contract`, consent aside.
    pub(crate) fn settings(&self, contract: &Contract, over: &Overrides) -> Settings {
        Settings::resolve(contract, &self.env, &self.file, over)
    }

    /// Resolves the settings with the mistakes of switches among the warnings, for a tool that shows both.
    pub(crate) fn all_settings(&self, contract: &Contract, over: &Overrides) -> Settings {
        let mut settings = self.settings(contract, over);
        settings.warnings.splice(0..0, self.switches.warning());
        settings
    }

    /// Returns the warning to give if something unreadable, and not an opt-out, turned collection off.
    pub(crate) fn warning_of_off(&self) -> Option<String> {
        self.switches.warning().or_else(|| self.file.warning())
    }
}
