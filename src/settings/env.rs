//! The environment variables, read once, on the initialising thread, into a snapshot.
//!
//! Nothing reads them later, because an engine's `setenv` would race with that. [`VARIABLES`] lists the
//! names, and `docs/operator/environment.md` documents each.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use otel_usage_schema::Contract;

/// The environment variables that this crate reads, beside those that a contract names.
pub const VARIABLES: &[&str] = &[
    // Consent.
    "DO_NOT_TRACK",
    "OTEL_SDK_DISABLED",
    "OTEL_USAGE_MODE",
    "CI",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "JENKINS_URL",
    "BUILDKITE",
    // The configuration file.
    "OTEL_USAGE_CONFIG",
    // Where configuration and local files live.
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "OTEL_USAGE_SPOOL_DIR",
    "OTEL_USAGE_RECEIPTS",
    // Exporters.
    "OTEL_USAGE_EXPORTERS",
    "OTEL_USAGE_FILE",
    // Of the Python package.
    "OTEL_USAGE_CONTRACT",
    "OTEL_USAGE_TAKE_OVER",
    // Content.
    "OTEL_USAGE_OMIT",
    "OTEL_USAGE_OTLP_ENDPOINT",
    "OTEL_USAGE_OTLP_HEADERS",
    "OTEL_USAGE_OTLP_PROTOCOL",
    "OTEL_USAGE_OTLP_COMPRESSION",
    "OTEL_USAGE_OTLP_TIMEOUT",
    "OTEL_USAGE_OTLP_CERTIFICATE",
    "OTEL_USAGE_OTLP_CLIENT_CERTIFICATE",
    "OTEL_USAGE_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    // Certificates to trust, in this order.
    "OTEL_USAGE_REQUIRE_TLS",
    "OTEL_USAGE_CA_FILE",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    // Proxies, lower case before upper case.
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// A snapshot of the environment variables that this crate, its detectors and a contract name.
///
/// Its `Debug` form shows names only, because the values hold passwords.
#[derive(Clone, Default)]
pub struct Env {
    values: BTreeMap<String, OsString>,
    /// The list of users, if it is another than that of the system.
    pub(super) passwd: Option<PathBuf>,
    /// Whether the snapshot is that of this process.
    #[cfg_attr(
        not(feature = "config-file"),
        expect(dead_code, reason = "for variables that a file names")
    )]
    process: bool,
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Env {
    /// Reads the environment of this process.
    #[must_use]
    pub fn process(contract: &Contract) -> Self {
        let names = VARIABLES.iter().chain(crate::detectors::VARIABLES).copied();
        Self::read(names.chain(contract.variables()))
    }

    /// Reads the variables of [`detectors::VARIABLES`](crate::detectors::VARIABLES) only.
    #[must_use]
    pub fn of_machine() -> Self {
        Self::read(crate::detectors::VARIABLES.iter().copied())
    }

    fn read<'name>(names: impl Iterator<Item = &'name str>) -> Self {
        let values = names
            .filter_map(|name| {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the only place that reads the environment"
                )]
                let value = std::env::var_os(name)?;
                Some((name.to_owned(), value))
            })
            .collect();
        Self { values, process: true, passwd: None }
    }

    /// Returns a snapshot of the given variables, for tests and for tools that ask "what if".
    #[must_use]
    pub fn given<K: Into<String>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let values = variables.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Self { values, process: false, passwd: None }
    }

    /// Adds a variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.values.insert(name.into(), value.into());
        self
    }

    /// Returns whether the variable is set, to any value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    pub(super) fn os(&self, name: &str) -> Option<&OsStr> {
        self.values.get(name).map(OsString::as_os_str)
    }

    /// Returns the value as text. A value that is not UTF-8 keeps its readable part, so that a switch
    /// with a damaged value is still a switch.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.os(name).map(|value| value.to_string_lossy().into_owned())
    }

    /// Returns the value of a variable that a configuration file names. It may be outside the snapshot
    /// and is then read now, on the initialising thread.
    #[cfg(feature = "config-file")]
    pub(crate) fn look_up(&self, name: &str) -> Option<String> {
        #[expect(clippy::disallowed_methods, reason = "the only place that reads the environment")]
        let live = || self.process.then(|| std::env::var_os(name)).flatten();
        let value = self.os(name).map(OsStr::to_owned).or_else(live)?;
        Some(value.to_string_lossy().into_owned())
    }

    /// Returns the value trimmed and in lower case, as switches are compared.
    pub(crate) fn word(&self, name: &str) -> Option<String> {
        self.text(name).map(|value| value.trim().to_ascii_lowercase())
    }

    /// Returns the value as text, or `None` if it is blank.
    pub(crate) fn filled(&self, name: &str) -> Option<String> {
        self.text(name).filter(|value| !value.trim().is_empty())
    }

    /// Returns the first of `names` that has a value, with that value.
    pub(crate) fn first_filled(&self, names: &[&'static str]) -> Option<(&'static str, String)> {
        names.iter().find_map(|name| Some((*name, self.filled(name)?)))
    }

    /// Returns the variables whose values are text, as
    /// [`Machine::live`](crate::detectors::Machine::live) takes them.
    pub fn pairs(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.values
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.to_str()?.to_owned())))
    }

    /// Returns a snapshot of which another file lists the users.
    #[cfg(test)]
    pub(crate) fn with_passwd(mut self, passwd: &std::path::Path) -> Self {
        self.passwd = Some(passwd.to_owned());
        self
    }
}
