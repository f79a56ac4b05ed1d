//! Resolves environment, configuration file and builder to one value: [`Settings`].
//!
//! The engine, `status`, `preview` and `config check` all look at the same value. Consent comes first,
//! then the builder, then the environment, then the file, then the default. A mistake is one warning
//! that switches its exporter off; it is never an error.

mod env;
mod file;
mod folders;
mod operator;
mod otlp;
mod receipts;
mod resolve;
mod tls;
mod words;

use std::path::PathBuf;

pub use crate::inspect::{Inspection, RunPreview};
#[cfg(feature = "http")]
pub use crate::spool::{SpoolFile, SpoolFolder, SpoolMessage};
pub use env::{Env, VARIABLES};
pub use otel_usage_schema::Decision;
pub use otlp::OtlpSettings;
pub use receipts::{ReceiptsMode, ReceiptsSettings};

pub(crate) use file::ConfigFile;
pub(crate) use operator::Operator;
pub(crate) use words::{shown, without_secrets};

#[cfg(feature = "http")]
use crate::cutoff::Cutoff;
use crate::export::ExporterName;

/// The values that the builder sets. Each wins over the environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    pub(crate) exporters: Option<Vec<ExporterName>>,
    pub(crate) server_url: Option<String>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) local_log: Option<PathBuf>,
    pub(crate) otlp_endpoint: Option<String>,
    /// Whether the data is made up, so that it may reach a server on this machine only.
    pub(crate) sample: bool,
}

/// The effective settings of one engine. Their `Debug` form holds no password and no query.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The exporters that run, if consent allows them.
    pub exporters: Vec<ExporterName>,
    /// Base URL of the usage server. `None` if there is none; `server` then does not run.
    pub server: Option<String>,
    /// The JSON-lines file, if `file` runs and no text log replaces it.
    pub file: Option<PathBuf>,
    /// The text log, if `file` runs and a log was asked for.
    pub local_log: Option<PathBuf>,
    /// The settings of the `otlp` exporter, if it runs.
    pub otlp: Option<OtlpSettings>,
    /// The folder of messages that wait on disk. `None` if there is none.
    pub spool: Option<PathBuf>,
    /// The journal of what is sent.
    pub receipts: ReceiptsSettings,
    /// The variable or the place in the file that forbids plain `http` to another machine. `None` if nothing
    /// does.
    pub require_tls: Option<String>,
    /// The reason why messages wait in memory only, if they do.
    pub memory_only: Option<String>,
    /// The configuration file, if one was named and read.
    pub config_file: Option<PathBuf>,
    /// Mistakes. Each names the variable or the place in the file, and its remedy.
    pub warnings: Vec<String>,
    /// Settings that are no mistake but may not be meant, such as a key of the configuration file without an effect.
    pub notes: Vec<String>,
    #[cfg(feature = "http")]
    pub(crate) proxies: otel_usage_schema::Proxies,
    /// The file of the certificates to trust instead of the built-in ones, and the variable that names it.
    #[cfg(feature = "http")]
    pub(crate) authorities: Option<(&'static str, PathBuf)>,
    /// The place from which the server's URL comes.
    pub(crate) server_origin: String,
    /// The time of the last `otel-usage off`.
    #[cfg(feature = "http")]
    pub(crate) cutoff: Cutoff,
    /// The wire names to leave out, each with the place that names it.
    pub(crate) omitted: Vec<(String, String)>,
    /// The text of the operator's interval variable.
    pub(crate) interval: Option<String>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("exporters", &self.exporters)
            .field("server", &self.server.as_deref().map(without_secrets))
            .field("file", &self.file)
            .field("local_log", &self.local_log)
            .field("otlp", &self.otlp)
            .field("spool", &self.spool)
            .field("receipts", &self.receipts)
            .field("require_tls", &self.require_tls)
            .field("memory_only", &self.memory_only)
            .field("config_file", &self.config_file)
            .field("warnings", &self.warnings)
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Returns the places to which messages leave this process, as the notice names them.
    #[cfg(feature = "http")]
    pub(crate) fn destinations(&self) -> Vec<String> {
        let url = |name: &ExporterName| match name {
            ExporterName::Server => self.server.as_deref(),
            ExporterName::Otlp => self.otlp.as_ref().map(|otlp| otlp.endpoint.as_str()),
            _ => None,
        };
        let urls = self.exporters.iter().filter_map(url);
        let parsed = urls.filter_map(otel_usage_schema::Destination::parse);
        parsed.map(|destination| destination.origin()).collect()
    }

    /// No exporter of this build sends over the network.
    #[cfg(not(feature = "http"))]
    #[expect(clippy::unused_self, reason = "the same call in every build")]
    pub(crate) const fn destinations(&self) -> Vec<String> {
        Vec::new()
    }

    /// Looks with `check` whether messages of the network exporters can wait in the folder on disk.
    #[cfg(feature = "http")]
    pub(crate) fn check_spool(
        &mut self,
        consent: otel_usage_schema::Consent,
        check: fn(&std::path::Path) -> Result<(), crate::spool::place::Refused>,
    ) {
        let waits = |name: &ExporterName| name.is_network() && consent.allows(true);
        if self.memory_only.is_none()
            && self.exporters.iter().any(waits)
            && let Some(folder) = &self.spool
            && let Err(refused) = check(folder)
        {
            self.keep_in_memory(refused);
        }
    }

    /// Notes that messages wait in memory only, with a warning if that is a mistake.
    #[cfg(feature = "http")]
    pub(crate) fn keep_in_memory(&mut self, refused: crate::spool::place::Refused) {
        if refused.is_mistake {
            self.warnings.push(format!("{}; messages wait in memory only", refused.why));
        }
        self.memory_only = Some(refused.why);
    }

    /// Removes an exporter that cannot run, and adds the warning.
    pub(crate) fn switch_off(&mut self, exporter: ExporterName, warning: String) {
        self.exporters.retain(|other| *other != exporter);
        match exporter {
            ExporterName::Otlp => self.otlp = None,
            ExporterName::Server => self.server = None,
            ExporterName::Console | ExporterName::File => {}
        }
        self.warnings.push(warning);
    }
}
