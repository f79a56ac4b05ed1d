//! Finds each setting: the builder's, else the environment's, else the file's, else the default.

use otel_usage_schema::{Contract, Directory};

#[cfg(feature = "http")]
use crate::cutoff::Cutoff;
use crate::export::ExporterName;

use super::{ConfigFile, Env, Overrides, Settings, otlp, receipts, shown, tls};

impl Settings {
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
