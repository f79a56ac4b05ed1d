//! Says at the start of a server where everything is, for somebody who has never seen one.

use std::net::SocketAddr;

use otel_usage_serve::Settings;
use otel_usage_serve::page::reached_at;

use crate::output::{HEADING, styled};

/// Returns the lines, with the addresses below each other.
pub(super) fn lines(
    settings: &Settings,
    public: &[SocketAddr],
    maintainers: &[SocketAddr],
) -> Vec<String> {
    let clickhouse = settings.clickhouse.as_ref();
    let url = |address: &SocketAddr| styled(HEADING, format!("http://{address}"));
    let mut rows = Vec::new();
    for address in public {
        let reach = match address.ip() {
            ip if ip.is_loopback() => "  (from this machine only)",
            ip if ip.is_unspecified() => "  (at every address of this machine)",
            _ => "",
        };
        rows.push(("engines report to", format!("{}{reach}", url(address))));
    }
    if !clickhouse.is_some_and(|keeper| keeper.receive_only) {
        let page = |address| format!("{}  (a day appears two days after its end)", url(address));
        rows.extend(public.iter().map(|address| ("public page", page(address))));
    }
    for address in maintainers {
        // Its numbers are under no rule of publication.
        let care = if address.ip().is_loopback() {
            "open it in a browser: it shows each message at once"
        } else {
            "it has no password: let nobody else reach it"
        };
        rows.push(("maintainers' page", format!("{}  ({care})", url(address))));
    }
    let file = settings.data.display();
    if clickhouse.is_some() {
        rows.push(("kept in", "ClickHouse".to_owned()));
        rows.push(("waits for it in", file.to_string()));
    } else {
        rows.push(("kept in", file.to_string()));
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut lines: Vec<String> =
        rows.into_iter().map(|(name, what)| format!("{name:<width$}  {what}")).collect();
    if let Some(address) = public.first() {
        let at = reached_at(*address);
        lines.push(format!(
            "try it: start an engine with VLLM_USAGE_STATS_SERVER=http://{at} or LMCACHE_USAGE_TRACK_URL=http://{at}"
        ));
    }
    lines.push("ready; Ctrl-C stops it".to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_stands_for_all_is_explained_and_an_open_listener_of_maintainers_is_warned_of()
     {
        let [all, own, local] =
            ["0.0.0.0:8080", "10.0.0.1:8081", "127.0.0.1:8081"].map(|text| text.parse().unwrap());
        let shown = |maintainers| {
            let lines = lines(&Settings::new("usage.db"), &[all], &[maintainers]).join("\n");
            anstream::adapter::strip_str(&lines).to_string()
        };
        let text = shown(own);
        for part in [
            "http://0.0.0.0:8080  (at every address",
            "SERVER=http://127.0.0.1:8080 ",
            "(it has no password",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!shown(local).contains("it has no password"), "{text}");
    }
}
