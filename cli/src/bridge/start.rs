//! What the bridge says at its start: the contracts that it takes, and where it delivers them.

use otel_usage::Contract;
use otel_usage::schema::Destination;
use otel_usage_bridge::Config;

/// Returns a line for each destination, without credentials. Call it only once the bridge is bound, which checks
/// the configuration.
pub(super) fn lines(config: &Config) -> Vec<String> {
    let built_in = Contract::built_in().into_iter();
    let replaced = |contract: &Contract| config.contracts.iter().any(|own| own.id == contract.id);
    let contracts: Vec<&Contract> =
        built_in.filter(|contract| !replaced(contract)).chain(&config.contracts).collect();
    let ids: Vec<&str> = contracts.iter().map(|contract| contract.id.as_ref()).collect();
    let mut lines = vec![format!("taking the contracts {}", ids.join(", "))];
    if config.exporters.server {
        for contract in contracts {
            if let Some(url) = server(contract, config) {
                let url = url.to_string();
                let url = url.trim_end_matches('/');
                lines.push(format!("delivering {} to {url}", contract.id));
            }
        }
    }
    if let Some(file) = &config.exporters.file {
        lines.push(format!("delivering to the file {}", file.path.display()));
    }
    if config.exporters.console {
        lines.push("delivering to standard output".to_owned());
    }
    lines
}

/// Returns the usage server of a contract, as the bridge chooses it: by `--server`, the operator, or the contract.
fn server(contract: &Contract, config: &Config) -> Option<Destination> {
    let named = |name: &str| {
        let mut servers = config.servers.iter().rev();
        servers.find(|(server, _)| server == name).map(|(_, url)| url.clone())
    };
    let url = named(&contract.id)
        .or_else(|| named(&contract.system))
        .or_else(|| config.operator.server(contract).map(|(_, url)| url))
        .filter(|url| !url.trim().is_empty())
        .or_else(|| contract.server.as_deref().map(str::to_owned))?;
    Destination::parse(url.trim())
}
