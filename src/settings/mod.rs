//! Resolves environment, configuration file and builder to one value: [`Settings`].
//!
//! The engine, `status`, `preview` and `config check` all look at the same value. Consent comes first,
//! then the builder, then the environment, then the file, then the default. A mistake is one warning
//! that switches its exporter off; it is never an error.

mod env;
mod file;
mod operator;
mod otlp;
mod receipts;
mod tls;

use std::path::PathBuf;

use otel_usage_schema::{Contract, Directory};

pub use crate::inspect::{Inspection, RunPreview};
#[cfg(feature = "http")]
pub use crate::spool::{SpoolFile, SpoolFolder, SpoolMessage};
pub use env::{Env, VARIABLES};
pub use otel_usage_schema::Decision;
pub use otlp::OtlpSettings;
pub use receipts::{ReceiptsMode, ReceiptsSettings};

pub(crate) use file::ConfigFile;
pub(crate) use operator::Operator;

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

    /// Resolves the settings for `contract`, consent aside.
    pub(crate) fn resolve(
        contract: &Contract,
        env: &Env,
        file: &ConfigFile,
        over: &Overrides,
    ) -> Self {
        let mut settings = Self {
            #[cfg(feature = "http")]
            proxies: otel_usage_schema::Proxies::read(|name| env.text(name)),
            #[cfg(feature = "http")]
            authorities: otel_usage_schema::authorities(|name| env.text(name))
                .map(|(name, path)| (name, env.expand(path))),
            #[cfg(feature = "http")]
            cutoff: Cutoff::below(env.own_folder()),
            interval: contract.interval_variable.as_ref().and_then(|name| env.text(name)),
            omitted: omitted(env, file),
            config_file: file.path.clone(),
            warnings: file.mistakes.clone(),
            notes: file.notes.iter().cloned().chain(env.note_of_home()).collect(),
            ..Self::default()
        };
        settings.receipts = receipts::resolve(env, file, &mut settings.warnings);
        let (require_tls, unclear) = tls::required(env, file);
        settings.require_tls = require_tls;
        settings.warnings.extend(unclear);
        #[cfg(feature = "http")]
        match env.spool() {
            Ok(folder) => settings.spool = Some(folder),
            Err(refused) => settings.keep_in_memory(refused),
        }
        let named = settings.named_exporters(env, file, over);
        let server = settings.server_url(contract, env, file, over);
        let wanted =
            |exporter: ExporterName| named.as_ref().is_none_or(|names| names.contains(&exporter));

        if wanted(ExporterName::Server)
            && let Some(url) = server
        {
            settings.exporters.push(ExporterName::Server);
            settings.server = Some(url);
        }
        let explicit = named.as_ref().is_some_and(|names| names.contains(&ExporterName::File));
        if wanted(ExporterName::File) {
            settings.files(contract, env, file, over, explicit);
        }
        if let Some(names) = &named {
            if names.contains(&ExporterName::Console) {
                settings.exporters.push(ExporterName::Console);
            }
            if names.contains(&ExporterName::Otlp) {
                match otlp::resolve(env, over.otlp_endpoint.as_deref(), file.otlp.as_ref()) {
                    Ok(otlp) => {
                        #[cfg(feature = "http")]
                        settings.notes.extend(otlp.note_of_port());
                        settings.exporters.push(ExporterName::Otlp);
                        settings.otlp = Some(otlp);
                    }
                    Err(warning) => settings.warnings.push(warning),
                }
            }
        }
        settings.exporters.sort_unstable();
        settings.note_unused(env, over);
        settings.check_omitted(contract);
        settings
    }

    /// Notes each destination that nothing uses, because its exporter was not named.
    fn note_unused(&mut self, env: &Env, over: &Overrides) {
        let unused = [
            ("OTEL_USAGE_OTLP_ENDPOINT", ExporterName::Otlp, over.otlp_endpoint.is_some()),
            ("OTEL_USAGE_FILE", ExporterName::File, over.file.is_some()),
        ];
        for (variable, exporter, overruled) in unused {
            let name = exporter.as_str();
            let failed = self.warnings.iter().any(|warning| warning.contains(name));
            if env.filled(variable).is_some()
                && !self.exporters.contains(&exporter)
                && !overruled
                && !failed
            {
                self.notes.push(format!(
                    "{variable} has no effect, because `{name}` is not among the exporters; add it to \
                     OTEL_USAGE_EXPORTERS, or unset the variable"
                ));
            }
        }
    }

    /// Warns of each name that leaves nothing out. A name of another engine is accepted, because one
    /// list may serve several engines.
    fn check_omitted(&mut self, contract: &Contract) {
        for (origin, name) in &self.omitted {
            let others = Contract::built_in().into_iter();
            let known = others.chain([contract]).filter_map(|contract| contract.may_omit(name));
            let warning = match known.max() {
                Some(true) => continue,
                Some(false) => format!(
                    "{origin} names `{}`, which tells messages apart and is sent; leave it out of \
                     the list",
                    shown(name),
                ),
                None => format!(
                    "{origin} names `{}`, which is not a field; see otel-usage preview for the names",
                    shown(name),
                ),
            };
            self.warnings.push(warning);
        }
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

    /// Returns the exporters that were named, or `None` if the contract's defaults apply.
    fn named_exporters(
        &mut self,
        env: &Env,
        file: &ConfigFile,
        over: &Overrides,
    ) -> Option<Vec<ExporterName>> {
        if let Some(exporters) = &over.exporters {
            return Some(exporters.clone());
        }
        // The specification treats an empty variable as unset.
        let Some(text) = env.filled("OTEL_USAGE_EXPORTERS") else { return file.exporters.clone() };
        let text = text.to_ascii_lowercase();
        let words: Vec<&str> =
            text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        let mut exporters = Vec::new();
        for word in &words {
            match ExporterName::parse(word) {
                Some(exporter) => exporters.push(exporter),
                None if *word == "none" => {}
                None => self.warnings.push(format!(
                    "OTEL_USAGE_EXPORTERS names the unknown exporter `{}`; use server, otlp, file, \
                     console or none, separated by commas",
                    shown(word),
                )),
            }
        }
        if words.is_empty() {
            self.warnings.push(
                "OTEL_USAGE_EXPORTERS names no exporter, so nothing is reported; use server, otlp, file, \
                 console or none, separated by commas"
                    .to_owned(),
            );
        }
        if words.contains(&"none") {
            exporters.clear();
        }
        Some(exporters)
    }

    fn server_url(
        &mut self,
        contract: &Contract,
        env: &Env,
        file: &ConfigFile,
        over: &Overrides,
    ) -> Option<String> {
        if let Some(url) = &over.server_url {
            return Some(url.clone());
        }
        if let Some(variable) = &contract.server_variable
            && let Some(url) = env.text(variable)
        {
            self.server_origin = variable.to_string();
            // For the original clients an empty value means "write the local file only".
            return Some(url.trim().to_owned()).filter(|url| !url.is_empty());
        }
        if let Some(said) = &file.server {
            self.server_origin.clone_from(&said.origin);
            return Some(said.text.clone());
        }
        "the contract's server".clone_into(&mut self.server_origin);
        if over.sample { None } else { contract.server.as_deref().map(str::to_owned) }
    }

    fn files(
        &mut self,
        contract: &Contract,
        env: &Env,
        file: &ConfigFile,
        over: &Overrides,
        explicit: bool,
    ) {
        if let Some(path) = &over.local_log {
            self.local_log = Some(env.expand(path));
        } else if let Some(path) = &over.file {
            self.file = Some(env.expand(path));
        } else if let Some(path) = env.filled("OTEL_USAGE_FILE") {
            self.file = Some(env.expand(&path));
        } else if let Some(path) = &file.file {
            self.file = Some(env.expand(path));
        } else if let Some(name) = &contract.local_file {
            let directory = match contract.directory {
                Directory::None => env.own_folder(),
                _ => env.directory(&contract.directory),
            };
            self.file = directory.map(|directory| directory.join(name.as_ref()));
        } else if explicit {
            let name = format!("{}.jsonl", contract.system);
            self.file = env.own_folder().map(|own| own.join(name));
        } else {
            return;
        }
        if self.file.is_some() || self.local_log.is_some() {
            self.exporters.push(ExporterName::File);
        } else {
            self.warnings.push(
                "the local file is off: no home directory is known; set HOME or OTEL_USAGE_FILE"
                    .to_owned(),
            );
        }
    }
}

/// Returns the wire names to leave out, each with the place that names it.
///
/// The lists of environment and file are joined, because a longer list sends less.
fn omitted(env: &Env, file: &ConfigFile) -> Vec<(String, String)> {
    const VARIABLE: &str = "OTEL_USAGE_OMIT";
    let list = env.filled(VARIABLE).unwrap_or_default();
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| (VARIABLE.to_owned(), name.to_owned()))
        .chain(file.omit.iter().map(|said| (said.origin.clone(), said.text.clone())))
        .collect()
}

/// Returns a URL without user, password and query, for output. Text that is no URL is not shown.
pub(crate) fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    if matches!(scheme, "http" | "https") {
        format!("{scheme}://{host}{path}")
    } else {
        "…".to_owned()
    }
}

/// Shortens an operator's word to one line of at most 40 characters, for a warning.
pub(crate) fn shown(word: &str) -> String {
    word.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
