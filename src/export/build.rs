//! Makes the exporters that the settings name.
//!
//! A mistake in environment or file switches its exporter off with a warning. The same mistake in the
//! builder is an error, because the programmer can mend it. The engine's thread checks what can be checked
//! without a file. The worker reads the files of certificates, because a read may take its time.

use otel_usage_schema::{Consent, Contract};

use super::console::Console;
use super::file::{File, Form};
use super::{ActiveExporter, Exporter, ExporterName};
use crate::error::Error;
use crate::notifier::Notifier;
use crate::settings::{Overrides, Settings};

/// The reason why an exporter cannot run.
enum Mistake {
    /// A mistake in environment or file.
    Operator(String),
    /// A mistake in the builder.
    Programmer(Error),
}

/// Removes the exporters that cannot run from the settings, with a warning for each. Reads no file.
///
/// # Errors
///
/// The first mistake in the builder.
pub(crate) fn check(settings: &mut Settings, over: &Overrides) -> Result<(), Error> {
    for name in settings.exporters.clone() {
        let checked = match name {
            ExporterName::Console | ExporterName::File => Ok(()),
            ExporterName::Otlp => check_otlp(settings, over),
            ExporterName::Server => check_server(settings, over),
        };
        match checked {
            Ok(()) => {}
            Err(Mistake::Operator(warning)) => settings.switch_off(name, warning),
            Err(Mistake::Programmer(error)) => return Err(error),
        }
    }
    Ok(())
}

/// Makes the exporters that consent allows, local ones first. `settings` must have been checked. Exporters
/// whose files cannot be used are removed from them, with a warning for each.
pub(crate) fn active(
    settings: &mut Settings,
    contract: &Contract,
    consent: Consent,
    own: Vec<Box<dyn Exporter>>,
    notifier: &Notifier,
) -> Vec<ActiveExporter> {
    let mut exporters: Vec<Box<dyn Exporter>> = Vec::new();
    let allowed = |name: &ExporterName| consent.allows(name.is_network());
    for name in settings.exporters.clone().into_iter().filter(allowed) {
        let network = match name {
            ExporterName::Console => {
                exporters.push(Box::new(Console));
                continue;
            }
            ExporterName::File => {
                let files = [(&settings.local_log, Form::Text), (&settings.file, Form::JsonLines)];
                for (path, form) in files {
                    if let Some(path) = path {
                        exporters.push(Box::new(File::new(path.clone(), form, notifier.clone())));
                    }
                }
                continue;
            }
            ExporterName::Otlp => otlp(settings, contract, notifier),
            ExporterName::Server => server(settings, contract, notifier),
        };
        match network {
            Ok(exporter) => exporters.extend(exporter),
            Err(warning) => settings.switch_off(name, warning),
        }
    }
    exporters.extend(own.into_iter().filter(|own| consent.allows(own.is_network())));
    exporters.into_iter().map(ActiveExporter::new).collect()
}

#[cfg(feature = "http")]
fn check_server(settings: &Settings, over: &Overrides) -> Result<(), Mistake> {
    let url = settings.server.as_deref().unwrap_or_default();
    let what = match otel_usage_schema::Destination::parse(url) {
        None => "is not a URL; write http://host:port/path or https://…",
        Some(base) if over.sample && !base.is_loopback() => {
            "is not on this machine, and made-up data must never reach a real usage server; use \
             http://127.0.0.1:PORT"
        }
        Some(base) => {
            let place = if over.server_url.is_some() {
                "the engine's own choice of a server"
            } else {
                &settings.server_origin
            };
            encrypted(settings, place, &base)
                .map_err(|what| Mistake::Operator(server_is_off(&what)))?;
            let proxy = settings.proxies.find(&base);
            return proxy.map(|_| ()).map_err(|what| Mistake::Operator(server_is_off(&what)));
        }
    };
    Err(if over.server_url.is_some() {
        Mistake::Programmer(Error::option("server", what))
    } else {
        Mistake::Operator(format!("{} {what}; the usage server is off", settings.server_origin))
    })
}

/// Checks that a destination, which `place` names, is not plain `http` if the operator forbids that.
///
/// # Errors
///
/// The beginning of the warning to give.
#[cfg(feature = "http")]
fn encrypted(
    settings: &Settings,
    place: &str,
    to: &otel_usage_schema::Destination,
) -> Result<(), String> {
    match &settings.require_tls {
        Some(required) if to.is_cleartext() => Err(format!(
            "{required} requires TLS, and {place} is {}; use an https:// URL, or do not require it",
            to.origin()
        )),
        _ => Ok(()),
    }
}

#[cfg(feature = "http")]
fn server_is_off(what: &str) -> String {
    format!("{what}; the usage server is off")
}

/// An exporter, `None` if there is nothing to make, or the warning to give.
type Made = Result<Option<Box<dyn Exporter>>, String>;

#[cfg(feature = "http")]
fn server(settings: &Settings, contract: &Contract, notifier: &Notifier) -> Made {
    let url = settings.server.as_deref().unwrap_or_default();
    let Some(base) = otel_usage_schema::Destination::parse(url) else { return Ok(None) };
    let exporter = super::network::server(base, settings, contract, notifier);
    Ok(Some(Box::new(exporter.map_err(|what| server_is_off(&what))?)))
}

#[cfg(not(feature = "http"))]
fn check_server(_: &Settings, over: &Overrides) -> Result<(), Mistake> {
    Err(not_in_this_build(ExporterName::Server, "http", over))
}

#[cfg(not(feature = "http"))]
fn server(_: &Settings, _: &Contract, _: &Notifier) -> Made {
    Ok(None)
}

#[cfg(feature = "otlp")]
fn check_otlp(settings: &Settings, over: &Overrides) -> Result<(), Mistake> {
    let Some(otlp) = &settings.otlp else {
        return Err(Mistake::Operator("no OTLP endpoint is known; otlp is off".to_owned()));
    };
    let to = super::network::check_otlp(otlp).map_err(|what| {
        if over.otlp_endpoint.is_some() {
            Mistake::Programmer(Error::option("otlp_endpoint", what))
        } else {
            Mistake::Operator(what)
        }
    })?;
    encrypted(settings, &otlp.origins.endpoint, &to)
        .map_err(|what| Mistake::Operator(format!("{what}; otlp is off")))?;
    let proxy = settings.proxies.find(&to).map(|_| ());
    proxy.map_err(|what| Mistake::Operator(format!("{what}; otlp is off")))
}

#[cfg(feature = "otlp")]
fn otlp(settings: &Settings, contract: &Contract, notifier: &Notifier) -> Made {
    let Some(otlp) = &settings.otlp else { return Ok(None) };
    let exporter = super::network::otlp(otlp, settings, contract, notifier);
    Ok(Some(Box::new(exporter.map_err(|what| format!("{what}; otlp is off"))?)))
}

#[cfg(not(feature = "otlp"))]
fn check_otlp(_: &Settings, over: &Overrides) -> Result<(), Mistake> {
    Err(not_in_this_build(ExporterName::Otlp, "otlp", over))
}

#[cfg(not(feature = "otlp"))]
fn otlp(_: &Settings, _: &Contract, _: &Notifier) -> Made {
    Ok(None)
}

#[cfg(not(all(feature = "http", feature = "otlp")))]
fn not_in_this_build(exporter: ExporterName, feature: &str, over: &Overrides) -> Mistake {
    let what = format!(
        "the exporter `{}` is not in this build, which lacks the feature `{feature}`; it is off",
        exporter.as_str()
    );
    if over.exporters.is_some() {
        Mistake::Programmer(Error::option("exporters", what))
    } else {
        Mistake::Operator(what)
    }
}
