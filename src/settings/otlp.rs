//! The settings of the `otlp` exporter: `OTEL_USAGE_OTLP_*`, else the configuration file, else the
//! generic `OTEL_EXPORTER_OTLP_*`.
//!
//! The generic variables belong to the operator's own tracing. None of them is used if an endpoint for
//! usage data is set, so that tracing credentials cannot travel to a usage collector. For the same
//! reason `OTEL_USAGE_OTLP_ENDPOINT` replaces the file's exporter as a whole: the file's headers are
//! meant for the file's endpoint.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::env::Env;
use super::shown;

/// The specification's default for one export.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Settings of the OTLP exporter.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtlpSettings {
    /// The whole URL, `/v1/traces` included.
    pub endpoint: String,
    /// Headers to send, in the order given. Their values are secrets.
    pub headers: Vec<(String, String)>,
    /// Whether bodies are compressed with gzip.
    pub gzip: bool,
    /// Time for one export.
    pub timeout: Duration,
    /// PEM file with the certificates to trust instead of the built-in ones.
    pub certificate: Option<PathBuf>,
    /// Where it is set, and the PEM file with the certificates that prove who sends.
    pub client_certificate: Option<(String, PathBuf)>,
    /// Where it is set, and the PEM file with the private key of the client certificate.
    pub client_key: Option<(String, PathBuf)>,
    /// The places from which the settings come, for warnings.
    pub(crate) origins: Origins,
}

/// The variables or the places in a file from which the settings come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origins {
    pub(crate) endpoint: String,
    pub(crate) headers: String,
    pub(crate) certificate: String,
}

impl Origins {
    pub(super) fn all(origin: &str) -> Self {
        let origin = || origin.to_owned();
        Self { endpoint: origin(), headers: origin(), certificate: origin() }
    }
}

impl OtlpSettings {
    /// Returns the defaults with an endpoint.
    pub(super) const fn at(endpoint: String, origins: Origins) -> Self {
        Self {
            endpoint,
            headers: Vec::new(),
            gzip: false,
            timeout: TIMEOUT,
            certificate: None,
            client_certificate: None,
            client_key: None,
            origins,
        }
    }
}

#[cfg(feature = "http")]
impl OtlpSettings {
    /// Returns a hint if the port is the one that collectors use for gRPC. They may use it for HTTP too.
    pub(super) fn note_of_port(&self) -> Option<String> {
        let to = otel_usage_schema::Destination::parse(&self.endpoint)?;
        (to.port() == 4317).then(|| {
            format!(
                "{} names port 4317, where collectors expect gRPC; this build sends http/protobuf, \
                 which they usually expect at port 4318",
                self.origins.endpoint
            )
        })
    }
}

impl std::fmt::Debug for OtlpSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("OtlpSettings")
            .field("endpoint", &super::without_secrets(&self.endpoint))
            .field("headers", &names)
            .field("gzip", &self.gzip)
            .field("timeout", &self.timeout)
            .field("certificate", &self.certificate)
            .field("client_certificate", &self.client_certificate)
            .field("client_key", &self.client_key)
            .finish()
    }
}

/// Resolves the settings from environment, builder and file.
///
/// # Errors
///
/// The warning to give if `otlp` was asked for and cannot run.
pub(super) fn resolve(
    env: &Env,
    builder: Option<&str>,
    file: Option<&OtlpSettings>,
) -> Result<OtlpSettings, String> {
    let own = || env.filled("OTEL_USAGE_OTLP_ENDPOINT");
    let at = |url: String, origin: &str| OtlpSettings::at(url, Origins::all(origin));
    let (mut otlp, generic) = if let Some(base) = builder {
        (at(with_path(base), "the OTLP endpoint"), false)
    } else if let Some(base) = own() {
        (at(with_path(&base), "OTEL_USAGE_OTLP_ENDPOINT"), false)
    } else if let Some(file) = file {
        (file.clone(), false)
    } else if let Some(url) = env.filled("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        // The specification adds no path to the per-signal variable.
        (at(url, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), true)
    } else if let Some(base) = env.filled("OTEL_EXPORTER_OTLP_ENDPOINT") {
        // The specification appends the path to any base, also to one that ends like it.
        (at(append_path(&base), "OTEL_EXPORTER_OTLP_ENDPOINT"), true)
    } else {
        return Err("OTEL_USAGE_EXPORTERS names otlp but no endpoint is known; set \
                    OTEL_USAGE_OTLP_ENDPOINT, for example to http://localhost:4318"
            .to_owned());
    };
    let names = |setting: Setting| if generic { setting.generic() } else { setting.own() };

    if let Some((name, protocol)) = env.first_filled(names(Setting::Protocol))
        && protocol.trim() != "http/protobuf"
    {
        return Err(format!(
            "{name} is `{}`; otlp is off: this build speaks http/protobuf",
            shown(&protocol)
        ));
    }
    if let Some((name, word)) = env.first_filled(names(Setting::Compression)) {
        otlp.gzip = match word.trim() {
            "gzip" => true,
            "none" => false,
            word => {
                return Err(format!("{name} is `{}`; otlp is off: use gzip or none", shown(word)));
            }
        };
    }
    if let Some((name, text)) = env.first_filled(names(Setting::Timeout)) {
        otlp.timeout = match text.trim().parse() {
            Ok(millis) if millis > 0 => Duration::from_millis(millis),
            _ => {
                return Err(format!(
                    "{name} is `{}`; otlp is off: give milliseconds, for example 10000",
                    shown(&text)
                ));
            }
        };
    }
    if let Some((name, text)) = env.first_filled(names(Setting::Headers)) {
        // The value is a secret and is not shown.
        otlp.headers = parse_headers(&text).ok_or_else(|| {
            format!("{name} cannot be read; otlp is off: write key=value,key2=value2")
        })?;
        name.clone_into(&mut otlp.origins.headers);
    }
    if let Some((name, path)) = env.first_filled(names(Setting::Certificate)) {
        otlp.certificate = Some(env.expand(path.trim()));
        name.clone_into(&mut otlp.origins.certificate);
    }
    let file = |setting| {
        let (name, path) = env.first_filled(names(setting))?;
        Some((name.to_owned(), env.expand(path.trim())))
    };
    otlp.client_certificate = file(Setting::ClientCertificate).or(otlp.client_certificate);
    otlp.client_key = file(Setting::ClientKey).or(otlp.client_key);
    Ok(otlp)
}

#[derive(Clone, Copy)]
enum Setting {
    Certificate,
    ClientCertificate,
    ClientKey,
    Compression,
    Headers,
    Protocol,
    Timeout,
}

impl Setting {
    const fn own(self) -> &'static [&'static str] {
        match self {
            Self::Certificate => &["OTEL_USAGE_OTLP_CERTIFICATE"],
            Self::ClientCertificate => &["OTEL_USAGE_OTLP_CLIENT_CERTIFICATE"],
            Self::ClientKey => &["OTEL_USAGE_OTLP_CLIENT_KEY"],
            Self::Compression => &["OTEL_USAGE_OTLP_COMPRESSION"],
            Self::Headers => &["OTEL_USAGE_OTLP_HEADERS"],
            Self::Protocol => &["OTEL_USAGE_OTLP_PROTOCOL"],
            Self::Timeout => &["OTEL_USAGE_OTLP_TIMEOUT"],
        }
    }

    /// Returns our own variable first, then the one for traces, then the one for all signals.
    const fn generic(self) -> &'static [&'static str] {
        match self {
            Self::Certificate => &[
                "OTEL_USAGE_OTLP_CERTIFICATE",
                "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
                "OTEL_EXPORTER_OTLP_CERTIFICATE",
            ],
            Self::ClientCertificate => &[
                "OTEL_USAGE_OTLP_CLIENT_CERTIFICATE",
                "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
                "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            ],
            Self::ClientKey => &[
                "OTEL_USAGE_OTLP_CLIENT_KEY",
                "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
                "OTEL_EXPORTER_OTLP_CLIENT_KEY",
            ],
            Self::Compression => &[
                "OTEL_USAGE_OTLP_COMPRESSION",
                "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
                "OTEL_EXPORTER_OTLP_COMPRESSION",
            ],
            Self::Headers => &[
                "OTEL_USAGE_OTLP_HEADERS",
                "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
                "OTEL_EXPORTER_OTLP_HEADERS",
            ],
            Self::Protocol => &[
                "OTEL_USAGE_OTLP_PROTOCOL",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
                "OTEL_EXPORTER_OTLP_PROTOCOL",
            ],
            Self::Timeout => &[
                "OTEL_USAGE_OTLP_TIMEOUT",
                "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
                "OTEL_EXPORTER_OTLP_TIMEOUT",
            ],
        }
    }
}

/// Returns `base` with the path `/v1/traces`, which `base` may already have.
fn with_path(base: &str) -> String {
    let (path, query) = split(base);
    append_path(&format!("{}{query}", path.strip_suffix("/v1/traces").unwrap_or(path)))
}

/// Appends `/v1/traces` to the path of `base`. A query stays at the end.
fn append_path(base: &str) -> String {
    let (path, query) = split(base);
    format!("{path}/v1/traces{query}")
}

/// Returns a URL without the slashes at its end, and its query with the question mark.
fn split(base: &str) -> (&str, &str) {
    let base = base.split('#').next().unwrap_or_default().trim();
    let (path, query) = base.split_at(base.find('?').unwrap_or(base.len()));
    (path.trim_end_matches('/'), query)
}

/// Parses `key=value` pairs separated by commas. Values are percent-decoded, as the specification says.
pub(super) fn parse_headers(text: &str) -> Option<Vec<(String, String)>> {
    text.split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let name = name.trim().to_ascii_lowercase();
            (!name.is_empty()).then_some(())?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            Some((name, value.into_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_endpoint_disables_generic_variables() {
        let env = Env::given([
            ("OTEL_USAGE_OTLP_ENDPOINT", "http://usage:4318/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ]);
        let settings = resolve(&env, None, None).unwrap();
        assert_eq!(settings.endpoint, "http://usage:4318/v1/traces");
        assert!(settings.headers.is_empty());
        assert!(!settings.gzip);
    }

    #[test]
    fn generic_variables_apply_without_own_endpoint() {
        let env = Env::given([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20secret, a=b"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
        ]);
        let settings = resolve(&env, None, None).unwrap();
        assert_eq!(settings.endpoint, "http://c:4318/v1/traces");
        assert_eq!(
            settings.headers,
            [("authorization".into(), "Bearer secret".into()), ("a".into(), "b".into())]
        );
        assert!(settings.gzip);
        assert_eq!(settings.timeout, Duration::from_millis(2500));
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[cfg(feature = "http")]
    #[test]
    fn a_port_for_grpc_is_a_hint() {
        for (url, hint) in [
            ("http://c:4317", true),
            ("https://user:secret@c:4317/v1/traces?key=secret", true),
            ("http://c:4318", false),
            ("http://c/4317", false),
        ] {
            let env = Env::given([("OTEL_EXPORTER_OTLP_ENDPOINT", url)]);
            let note = resolve(&env, None, None).unwrap().note_of_port();
            assert_eq!(note.is_some(), hint, "{url}");
            let note = note.unwrap_or_default();
            assert!(!hint || note.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && note.contains("4318"));
            assert!(!note.contains("secret"), "{note}");
        }
    }

    #[test]
    fn a_generic_endpoint_always_gets_the_path() {
        for (name, base, url) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/v1/traces", "/v1/traces/v1/traces"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/", "/v1/traces"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318/x", "/x"),
            ("OTEL_USAGE_OTLP_ENDPOINT", "http://c:4318/v1/traces", "/v1/traces"),
        ] {
            let settings = resolve(&Env::given([(name, base)]), None, None).unwrap();
            assert_eq!(settings.endpoint, format!("http://c:4318{url}"), "{name}={base}");
        }
    }

    #[test]
    fn mistakes_are_one_warning_that_names_the_variable() {
        for (name, value) in [
            ("OTEL_USAGE_OTLP_PROTOCOL", "carrier-pigeon"),
            ("OTEL_USAGE_OTLP_COMPRESSION", "rar"),
            ("OTEL_USAGE_OTLP_TIMEOUT", "soon"),
            ("OTEL_USAGE_OTLP_HEADERS", "no-equals-sign"),
        ] {
            let env = Env::given([("OTEL_USAGE_OTLP_ENDPOINT", "http://c:4318"), (name, value)]);
            let warning = resolve(&env, None, None).unwrap_err();
            assert!(warning.contains(name), "{warning}");
        }
        assert!(
            resolve(&Env::default(), None, None).unwrap_err().contains("OTEL_USAGE_OTLP_ENDPOINT")
        );
    }
}
