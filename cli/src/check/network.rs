//! The destinations: certificates and proxies, and with `--network` the way to them.

use std::time::Duration;

use otel_usage::Consent;
use otel_usage::export::{ExporterName, Reached, Route, Stage};
use otel_usage::settings::Inspection;

use super::Finding;

/// Time for one destination, TLS included.
const WITHIN: Duration = Duration::from_secs(10);

/// Returns the destinations, the proxies before them, and certificates that cannot be used.
pub(super) fn routes(seen: &[Inspection], overall: Consent) -> Vec<Finding> {
    if overall != Consent::Granted {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for one in seen.iter().filter(|one| one.decision().consent == Consent::Granted) {
        for route in one.routes() {
            let finding = match &route.mistake {
                Some(mistake) => Finding::problem(
                    "certificates",
                    mistake.clone(),
                    "name a readable file in PEM form, or unset the variable",
                ),
                None => Finding::fine("route", way(&route)),
            };
            // Several contracts may have one destination.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    findings
}

fn way(route: &Route) -> String {
    let Route { exporter, destination, proxy, .. } = route;
    let proxy = proxy.as_ref().map(|proxy| format!(" through {proxy}")).unwrap_or_default();
    format!("{}: {destination}{proxy}", exporter.as_str())
}

/// Asks each destination, unless collection is off or local.
pub(super) fn reach(seen: &[Inspection], overall: Consent) -> Vec<Finding> {
    if overall != Consent::Granted {
        let what = format!("no connection was opened, because collection is {}", overall.as_str());
        return vec![Finding::note("network", what, "run it again while collection is on")];
    }
    let mut findings = Vec::new();
    let mut asked: Vec<(ExporterName, String)> = Vec::new();
    for one in seen {
        for route in one.routes() {
            let of = (route.exporter, route.destination.clone());
            // Several contracts may have one destination.
            if asked.contains(&of) {
                continue;
            }
            if let Some(reached) = one.reach(&route, WITHIN) {
                findings.push(answer(&route, &reached));
                asked.push(of);
            }
        }
    }
    findings
}

fn answer(route: &Route, reached: &Reached) -> Finding {
    let way = way(route);
    match reached {
        Reached::Answered(407) => Finding::problem(
            "network",
            format!("{way}: the proxy wants a user and a password"),
            "write them into the URL of the proxy",
        ),
        // The root and the method need not exist: what matters is that somebody answers.
        Reached::Answered(status @ (..=499 | 501)) => {
            Finding::fine("network", format!("{way}: answers ({status})"))
        }
        Reached::Answered(status) => Finding::problem(
            "network",
            format!("{way}: answers with {status}"),
            "ask its operator, or look at the proxy: messages wait meanwhile",
        ),
        Reached::Failed { stage, what } => {
            Finding::problem("network", format!("{way}: {}: {what}", stage.as_str()), hint(*stage))
        }
        _ => Finding::fine("network", way),
    }
}

const fn hint(stage: Stage) -> &'static str {
    match stage {
        Stage::Name => "look at the name server, or set https_proxy if a proxy resolves names here",
        Stage::Connection => {
            "look at routes and firewalls, or set https_proxy; without a network, use OTEL_USAGE_MODE=local"
        }
        Stage::Proxy => "look at https_proxy and at the rules of the proxy",
        Stage::Tls => {
            "name the certificates of the authority in OTEL_USAGE_CA_FILE, and look at the clock"
        }
        _ => "something on the way closed the connection: look at the proxy or the firewall",
    }
}
