//! Makes the exporters that the settings name.
//!
//! A mistake in environment or file switches its exporter off with a warning. The same mistake in the
//! builder is an error, because the programmer can mend it.

use otel_usage_schema::Consent;

use super::console::Console;
use super::file::{File, Form};
use super::{ActiveExporter, Exporter, ExporterName};
use crate::error::Error;
use crate::helper::Helper;
use crate::notifier::Notifier;
use crate::settings::{Overrides, Settings};

/// The reason why an exporter cannot run.
enum Mistake {
    /// A mistake in environment or file.
    Operator(String),
    /// A mistake in the builder.
    Programmer(Error),
}

/// Removes the exporters that cannot run from the settings, with a warning for each.
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

/// Makes the exporters that consent allows, local ones first. `settings` must have been checked.
pub(crate) fn active(
    settings: &Settings,
    consent: Consent,
    own: Vec<Box<dyn Exporter>>,
    helper: &Helper,
    notifier: &Notifier,
) -> Vec<ActiveExporter> {
    let mut exporters: Vec<Box<dyn Exporter>> = Vec::new();
    for name in settings.exporters.iter().filter(|name| consent.allows(name.is_network())) {
        match name {
            ExporterName::Console => exporters.push(Box::new(Console)),
            ExporterName::File => {
                let files = [(&settings.local_log, Form::Text), (&settings.file, Form::JsonLines)];
                for (path, form) in files {
                    if let Some(path) = path {
                        exporters.push(Box::new(File::new(path.clone(), form, notifier.clone())));
                    }
                }
            }
            ExporterName::Otlp => exporters.extend(otlp(settings, helper, notifier)),
            ExporterName::Server => exporters.extend(server(settings, helper, notifier)),
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
            return super::network::check_route(settings, &base)
                .map_err(|what| Mistake::Operator(format!("{what}; the usage server is off")));
        }
    };
    Err(if over.server_url.is_some() {
        Mistake::Programmer(Error::option("server", what))
    } else {
        Mistake::Operator(format!("{} {what}; the usage server is off", settings.server_origin))
    })
}

#[cfg(feature = "http")]
fn server(settings: &Settings, helper: &Helper, notifier: &Notifier) -> Option<Box<dyn Exporter>> {
    let base = otel_usage_schema::Destination::parse(settings.server.as_deref()?)?;
    Some(Box::new(super::network::server(base, settings, helper, notifier).ok()?))
}

#[cfg(not(feature = "http"))]
fn check_server(_: &Settings, over: &Overrides) -> Result<(), Mistake> {
    Err(not_in_this_build(ExporterName::Server, "http", over))
}

#[cfg(not(feature = "http"))]
fn server(_: &Settings, _: &Helper, _: &Notifier) -> Option<Box<dyn Exporter>> {
    None
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
    let route = match otlp.certificate {
        None => super::network::check_route(settings, &to),
        Some(_) => settings.proxies.find(&to).map(|_| ()),
    };
    route.map_err(|what| Mistake::Operator(format!("{what}; otlp is off")))
}

#[cfg(feature = "otlp")]
fn otlp(settings: &Settings, helper: &Helper, notifier: &Notifier) -> Option<Box<dyn Exporter>> {
    let exporter =
        super::network::otlp(settings.otlp.as_ref()?, settings, helper, notifier).ok()?;
    Some(Box::new(exporter))
}

#[cfg(not(feature = "otlp"))]
fn check_otlp(_: &Settings, over: &Overrides) -> Result<(), Mistake> {
    Err(not_in_this_build(ExporterName::Otlp, "otlp", over))
}

#[cfg(not(feature = "otlp"))]
fn otlp(_: &Settings, _: &Helper, _: &Notifier) -> Option<Box<dyn Exporter>> {
    None
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
