//! A flood of made-up engines against the whole way from a database to the shares of the page.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::source::{Group, Source, Which};
use super::support::Network;
use super::table::{Key, Table};
use super::{Engine, Filter, Rules, cube, day, report};
use crate::store::SCHEMA;

/// Devices of an honest engine.
const DEVICES: f64 = 8.0;

/// A fleet of groups, which says the same about itself on every day.
struct Simulated(Vec<(Vec<&'static str>, Network, f64, f64)>);

impl Source for Simulated {
    fn groups(
        &self,
        table: &Table,
        engine: Engine,
        _: i64,
        _: Which,
    ) -> anyhow::Result<Vec<Group>> {
        let whose = self.0.iter().filter(|_| engine == Engine::Vllm);
        let group = |(says, network, engines, devices): &(Vec<&'static str>, Network, f64, f64)| {
            let key = |key: &Key| match key {
                Key::Facet("version") => says.get(1),
                Key::Facet("accelerator" | "model_architecture") => says.get(2),
                Key::Facet("provider") => says.get(3),
                Key::Lived => says.get(4),
                _ => None,
            };
            let keys = table.keys.iter().map(|one| key(one).map(|text| (*text).to_owned()));
            Group {
                reported: [Some("vllm/current".to_owned())].into_iter().chain(keys).collect(),
                network: Some(*network),
                engines: *engines,
                amounts: table.amounts.iter().map(|_| engines * devices).collect(),
            }
        };
        Ok(whose.map(group).collect())
    }
}

/// Shares in percent, by figure, row and column.
type Shares = BTreeMap<(&'static str, String, usize), f64>;

fn shares(fleet: &Simulated) -> Shares {
    const MONDAY: i64 = 20_003;
    let store = Connection::open_in_memory().unwrap();
    store.execute_batch(SCHEMA).unwrap();
    for day in MONDAY..MONDAY + 7 {
        let counted = day::count(fleet, &store, &Rules::default(), day).unwrap();
        cube::write(&store, counted.rows.iter(), 0).unwrap();
    }
    let now = (MONDAY + 9) * crate::store::time::DAY;
    let filter = Filter { share: true, ..Filter::default() };
    let mut shares = Shares::new();
    for figure in report(&store, &filter, now).unwrap().figures {
        for row in figure.rows {
            for (at, value) in row.values.iter().enumerate() {
                if let Some(value) = value {
                    shares.insert((figure.id, row.label.clone(), at), *value);
                }
            }
        }
    }
    shares
}

#[test]
fn a_hundred_thousand_made_up_engines_of_ten_networks_move_no_share_by_a_point() {
    // Networks with one to sixty engines, of which the large ones prefer one accelerator.
    let honest = (0..4_000_i64).map(|n| {
        let engines = [1, 1, 2, 2, 3, 5, 8, 13, 60].get(n as usize * 7 % 9).copied().unwrap();
        let version =
            ["0.11.0", "0.11.2", "0.12.0", "0.10.1"].get(n as usize % 4).copied().unwrap();
        let device = if engines > 8 { "NVIDIA H100" } else { "NVIDIA A100" };
        let provider = if n % 3 == 0 { "AWS" } else { "UNKNOWN" };
        let lived = if n % 5 == 0 { "a day and more" } else { "less than 10 minutes" };
        (vec!["", version, device, provider, lived], (1, n), f64::from(engines), DEVICES)
    });
    let honest: Vec<_> = honest.collect();
    // They come back under the keys of the next two days, and say that they have many devices.
    let flood = (0..30_i64).map(|n| {
        let says = vec!["", "9.9.9", "Made up", "RUNPOD", "an hour to a day"];
        (says, (1 + n / 10, 10_000 + n), 10_000.0, 1_024.0)
    });
    let flooded = honest.iter().cloned().chain(flood).collect();
    let (calm, flooded) = (shares(&Simulated(honest)), shares(&Simulated(flooded)));
    assert!(calm.len() > 30, "{calm:?}");
    for at in calm.keys().chain(flooded.keys()) {
        let moved = calm.get(at).unwrap_or(&0.0) - flooded.get(at).unwrap_or(&0.0);
        assert!(moved.abs() < 1.0, "{at:?} moved by {moved} points");
    }
}
