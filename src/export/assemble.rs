//! From settings to the sinks that run.
//!
//! In: the effective settings, consent, and the engine's own sinks. Out: [`Outlet`]s, local ones first. A
//! mistake in environment or file switches its sink off with a warning; the same mistake in the builder is
//! the programmer's error.

use super::Outlet;
use crate::config::{ConfigFile, Consent, Env, Exporter, Overrides, Settings};
use crate::error::Error;
use crate::helper::Helper;
use crate::notice::Voice;
use crate::schema::Contract;
use crate::sink::{Console, File, Form, Sink};

pub(crate) struct Assembly<'a> {
    over: &'a Overrides,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "for network sinks"))]
    helper: &'a Helper,
    settings: Settings,
}

/// Why a sink cannot run.
enum Mistake {
    /// The environment's: a warning, and the sink is off.
    Operator(String),
    /// The builder's.
    Programmer(Error),
}

impl<'a> Assembly<'a> {
    pub(crate) fn new(
        contract: &Contract,
        over: &'a Overrides,
        env: &Env,
        file: &ConfigFile,
        helper: &'a Helper,
    ) -> Self {
        Self { over, helper, settings: Settings::resolve(contract, env, file, over) }
    }

    /// The settings, consent aside, with every mistake as a warning.
    pub(crate) fn settings(mut self) -> Settings {
        for exporter in self.settings.exporters.clone() {
            // Made and dropped again: only then is it known whether a destination can be used.
            match self.outlet(exporter) {
                Some(Err(Mistake::Operator(warning))) => {
                    self.settings.switch_off(exporter, warning)
                }
                Some(Err(Mistake::Programmer(error))) => {
                    self.settings.switch_off(exporter, error.to_string());
                }
                Some(Ok(_)) | None => {}
            }
        }
        self.settings
    }

    /// The sinks that consent allows, local ones first, and the settings that are left.
    ///
    /// # Errors
    ///
    /// The first mistake of the programmer.
    pub(crate) fn outlets(
        mut self,
        consent: Consent,
        own: Vec<Box<dyn Sink>>,
        voice: &Voice,
    ) -> Result<(Settings, Vec<Outlet>), Error> {
        let allowed = |is_network: bool| consent == Consent::Granted || !is_network;
        self.settings.exporters.retain(|exporter| allowed(exporter.is_network()));
        let mut outlets = Vec::new();
        for exporter in self.settings.exporters.clone() {
            match self.outlet(exporter) {
                Some(Ok(outlet)) => outlets.push(outlet),
                Some(Err(Mistake::Operator(warning))) => {
                    self.settings.switch_off(exporter, warning)
                }
                Some(Err(Mistake::Programmer(error))) => return Err(error),
                None => outlets.extend(self.files(voice)),
            }
        }
        let own = own.into_iter().map(Outlet::direct);
        outlets.extend(own.filter(|outlet| allowed(outlet.is_network())));
        Ok((self.settings, outlets))
    }

    fn files(&self, voice: &Voice) -> Vec<Outlet> {
        let Settings { local_log, file, .. } = &self.settings;
        [(local_log, Form::Text), (file, Form::JsonLines)]
            .into_iter()
            .filter_map(|(path, form)| {
                let sink = File::new(path.clone()?, form, voice.clone());
                Some(Outlet::direct(Box::new(sink)))
            })
            .collect()
    }

    /// The sink of an exporter. `None`: files, of which there may be two.
    fn outlet(&self, exporter: Exporter) -> Option<Result<Outlet, Mistake>> {
        match exporter {
            Exporter::Console => Some(Ok(Outlet::direct(Box::new(Console)))),
            Exporter::File => None,
            Exporter::Otlp => Some(self.otlp()),
            Exporter::Server => Some(self.server()),
        }
    }

    #[cfg(feature = "http")]
    fn server(&self) -> Result<Outlet, Mistake> {
        use crate::sink::Server;

        let url = self.settings.server.as_deref().unwrap_or_default();
        match Server::check(url, self.over.sample) {
            Ok(base) => Ok(Outlet::server(Server::new(base, &self.settings, self.helper))),
            Err(what) if self.over.server_url.is_some() => {
                Err(Mistake::Programmer(Error::option("server", what)))
            }
            Err(what) => {
                let name = &self.settings.server_origin;
                Err(Mistake::Operator(format!("{name} {what}; the usage server is off")))
            }
        }
    }

    #[cfg(not(feature = "http"))]
    fn server(&self) -> Result<Outlet, Mistake> {
        Err(self.not_in_this_build(Exporter::Server, "http"))
    }

    #[cfg(feature = "otlp")]
    fn otlp(&self) -> Result<Outlet, Mistake> {
        use crate::sink::Otlp;

        let Some(otlp) = &self.settings.otlp else {
            return Err(Mistake::Operator("no OTLP endpoint is known; otlp is off".to_owned()));
        };
        Otlp::new(otlp, &self.settings, self.helper).map(Outlet::otlp).map_err(|what| {
            if self.over.otlp_endpoint.is_some() {
                Mistake::Programmer(Error::option("otlp_endpoint", what))
            } else {
                Mistake::Operator(what)
            }
        })
    }

    #[cfg(not(feature = "otlp"))]
    fn otlp(&self) -> Result<Outlet, Mistake> {
        Err(self.not_in_this_build(Exporter::Otlp, "otlp"))
    }

    #[cfg(not(all(feature = "http", feature = "otlp")))]
    fn not_in_this_build(&self, exporter: Exporter, feature: &str) -> Mistake {
        let what = format!(
            "the exporter `{}` is not in this build, which lacks the feature `{feature}`; it is off",
            exporter.as_str()
        );
        if self.over.exporters.is_some() {
            Mistake::Programmer(Error::option("exporters", what))
        } else {
            Mistake::Operator(what)
        }
    }
}
