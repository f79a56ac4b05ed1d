//! Configuration: from the environment, a file and the builder to one effective pipeline.
//!
//! One precedence for everything: consent, then the builder, then the environment, then the file, then
//! the default. In: an [`Env`] snapshot, what file and builder say, a contract. Out: [`Settings`],
//! and one warning for each mistake; a mistake switches its sink off and is never an error.

mod consent;
mod env;
mod file;
mod otlp;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

pub use consent::{Consent, Decision};
pub use env::{Env, VARIABLES};
pub use otlp::OtlpSettings;

pub(crate) use consent::Switches;
pub(crate) use file::ConfigFile;

use crate::schema::{Contract, Directory};

/// A destination that can be chosen per deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Exporter {
    /// Readable JSON on stderr.
    Console,
    /// A local file: JSON lines, or LMCache's text log where one was asked for.
    File,
    /// OTLP to a collector.
    Otlp,
    /// Flat JSON to the contract's usage server.
    Server,
}

impl Exporter {
    /// Every exporter, in the order in which they are served: local ones first.
    pub const ALL: [Self; 4] = [Self::Console, Self::File, Self::Otlp, Self::Server];

    /// The word for it in `OTEL_USAGE_EXPORTERS`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::File => "file",
            Self::Otlp => "otlp",
            Self::Server => "server",
        }
    }

    /// Whether it leaves the machine; such a one needs [`Consent::Granted`].
    #[must_use]
    pub const fn is_network(self) -> bool {
        matches!(self, Self::Otlp | Self::Server)
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|exporter| exporter.as_str() == word)
    }
}

/// What the builder says; each wins over the environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    pub(crate) exporters: Option<Vec<Exporter>>,
    pub(crate) server_url: Option<String>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) local_log: Option<PathBuf>,
    pub(crate) otlp_endpoint: Option<String>,
    /// The data is made up: no default server, and none that is not loopback.
    pub(crate) sample: bool,
}

/// The effective pipeline.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The exporters that run, consent permitting.
    pub exporters: Vec<Exporter>,
    /// Base URL of the usage server. `None`: there is none, and `server` does not run.
    pub server: Option<String>,
    /// The JSON-lines file, if `file` runs and no text log replaces it.
    pub file: Option<PathBuf>,
    /// LMCache's text log, if `file` runs and one was asked for.
    pub local_log: Option<PathBuf>,
    /// Where OTLP goes, if `otlp` runs.
    pub otlp: Option<OtlpSettings>,
    /// Proxies, as `(variable, value)`, from the snapshot.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "for network sinks"))]
    pub(crate) proxy: Vec<(&'static str, String)>,
    /// The configuration file that was asked, if one was named.
    pub config_file: Option<PathBuf>,
    /// Mistakes, each naming the variable or the place in the file, and its remedy.
    pub warnings: Vec<String>,
    /// What the configuration file says to no effect, and is no mistake.
    pub notes: Vec<String>,
    /// Where the server's URL comes from.
    pub(crate) server_origin: String,
}

impl Settings {
    /// Works out the pipeline for `contract`.
    pub(crate) fn resolve(
        contract: &Contract,
        env: &Env,
        file: &ConfigFile,
        over: &Overrides,
    ) -> Self {
        let mut settings = Self {
            proxy: proxies(env),
            config_file: file.path.clone(),
            warnings: file.mistakes.clone(),
            notes: file.notes.clone(),
            ..Self::default()
        };
        let named = settings.named_exporters(env, file, over);
        let server = settings.server_url(contract, env, file, over);
        let wanted =
            |exporter: Exporter| named.as_ref().is_none_or(|names| names.contains(&exporter));

        if wanted(Exporter::Server)
            && let Some(url) = server
        {
            settings.exporters.push(Exporter::Server);
            settings.server = Some(url);
        }
        let explicit = named.as_ref().is_some_and(|names| names.contains(&Exporter::File));
        if wanted(Exporter::File) {
            settings.file_sinks(contract, env, file, over, explicit);
        }
        if let Some(names) = &named {
            if names.contains(&Exporter::Console) {
                settings.exporters.push(Exporter::Console);
            }
            if names.contains(&Exporter::Otlp) {
                match otlp::resolve(env, over.otlp_endpoint.as_deref(), file.otlp.as_ref()) {
                    Ok(otlp) => {
                        settings.exporters.push(Exporter::Otlp);
                        settings.otlp = Some(otlp);
                    }
                    Err(warning) => settings.warnings.push(warning),
                }
            }
        }
        settings.exporters.sort_unstable();
        settings.check_omitted(contract, env, file);
        settings
    }

    /// One warning for each name that leaves nothing out. A name of another engine is none: one
    /// list may serve several.
    fn check_omitted(&mut self, contract: &Contract, env: &Env, file: &ConfigFile) {
        for (origin, name) in omitted(env, file) {
            let others = Contract::built_in().into_iter();
            let known = others.chain([contract]).filter_map(|contract| contract.may_omit(&name));
            match known.max() {
                Some(true) => {}
                Some(false) => self.warnings.push(format!(
                    "{origin} names `{}`, which tells messages apart and is sent; leave it out of \
                     the list",
                    shown(&name),
                )),
                None => self.warnings.push(format!(
                    "{origin} names `{}`, which is no field; see otel-usage preview for the names",
                    shown(&name),
                )),
            }
        }
    }

    /// Takes a network exporter out that cannot run, and says why.
    pub(crate) fn switch_off(&mut self, exporter: Exporter, warning: String) {
        self.exporters.retain(|other| *other != exporter);
        match exporter {
            Exporter::Otlp => self.otlp = None,
            Exporter::Server => self.server = None,
            Exporter::Console | Exporter::File => {}
        }
        self.warnings.push(warning);
    }

    /// The exporters that were named. `None`: none were, and the contract's defaults apply.
    fn named_exporters(
        &mut self,
        env: &Env,
        file: &ConfigFile,
        over: &Overrides,
    ) -> Option<Vec<Exporter>> {
        if let Some(exporters) = &over.exporters {
            return Some(exporters.clone());
        }
        // The specification treats an empty variable as one that is not there.
        let Some(text) = env.filled("OTEL_USAGE_EXPORTERS") else { return file.exporters.clone() };
        let text = text.to_ascii_lowercase();
        let words: Vec<&str> =
            text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        let mut exporters = Vec::new();
        for word in &words {
            match Exporter::parse(word) {
                Some(exporter) => exporters.push(exporter),
                None if *word == "none" => {}
                None => self.warnings.push(format!(
                    "OTEL_USAGE_EXPORTERS names the unknown exporter `{}`; use server, otlp, file, \
                     console or none, separated by commas",
                    shown(word),
                )),
            }
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
            // An empty value has always meant "keep the local file only" to vLLM's users.
            return Some(url.trim().to_owned()).filter(|url| !url.is_empty());
        }
        if let Some(said) = &file.server {
            self.server_origin.clone_from(&said.origin);
            return Some(said.text.clone());
        }
        "the contract's server".clone_into(&mut self.server_origin);
        if over.sample { None } else { contract.server.as_deref().map(str::to_owned) }
    }

    fn file_sinks(
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
                Directory::None => env.config_home().map(|home| home.join("otel-usage")),
                _ => env.directory(&contract.directory),
            };
            self.file = directory.map(|directory| directory.join(name.as_ref()));
        } else if explicit {
            let name = format!("{}.jsonl", contract.system);
            self.file = env.config_home().map(|home| home.join("otel-usage").join(name));
        } else {
            return;
        }
        if self.file.is_some() || self.local_log.is_some() {
            self.exporters.push(Exporter::File);
        } else {
            self.warnings.push(
                "the local file is off: no home directory is known; set HOME or OTEL_USAGE_FILE"
                    .to_owned(),
            );
        }
    }
}

/// The wire names to leave out, each with who said so. Less is sent the more there are, so no list
/// replaces the other.
pub(crate) fn omitted(env: &Env, file: &ConfigFile) -> Vec<(String, String)> {
    const VARIABLE: &str = "OTEL_USAGE_OMIT";
    let list = env.filled(VARIABLE).unwrap_or_default();
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| (VARIABLE.to_owned(), name.to_owned()))
        .chain(file.omit.iter().map(|said| (said.origin.clone(), said.text.clone())))
        .collect()
}

/// The first `limit` bytes of a file, without waiting for them: a pipe nobody writes into reads as
/// empty. One byte more is asked for, so that a long file is not taken for its start.
fn read_start(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(libc::O_NONBLOCK);
    }
    let mut text = Vec::new();
    options.open(path)?.take(limit.saturating_add(1)).read_to_end(&mut text)?;
    Ok(text)
}

fn proxies(env: &Env) -> Vec<(&'static str, String)> {
    const NAMES: [&[&str]; 4] = [
        &["http_proxy", "HTTP_PROXY"],
        &["https_proxy", "HTTPS_PROXY"],
        &["all_proxy", "ALL_PROXY"],
        &["no_proxy", "NO_PROXY"],
    ];
    NAMES
        .iter()
        .filter_map(|names| {
            let (_, value) = env.first_filled(names)?;
            Some((*names.first()?, value))
        })
        .collect()
}

/// An operator's word as it is shown back: short and on one line.
pub(crate) fn shown(word: &str) -> String {
    word.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
