//! The weight of the engines of one network, so that no operator and no flood of made-up engines decides a share.
//!
//! A network counts as twenty engines at most, or as its part of all engines, whichever is more, and its devices as those
//! of so many usual engines. Ten networks can then
//! move a share by less than a point once enough engines are counted; [`ten_networks`] says by how much before that.

use std::collections::BTreeMap;

use super::source::Group;
use super::support::Network;
use super::table::Table;

/// Engines that a network may always have.
pub(crate) const ENGINES: f64 = 20.0;
/// The part of all engines that it may have beside: ten networks together stay below a hundredth.
const PART: f64 = 1_500.0;
/// The part of its bound that a network may add to a closed day: messages may be late for a week, and
/// each day of it has other origins, so one network may come as seven.
const LATE: f64 = 20.0;

/// The weight of an engine of each network: as an engine, then in each amount of its table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weights(Vec<BTreeMap<Network, f64>>);

impl Weights {
    /// Returns what the engines of a day count.
    pub(crate) fn on_time(table: &Table, groups: &[Group]) -> Self {
        let engines = networks(groups, 0);
        let honest: f64 = engines.values().map(|engines| engines.min(ENGINES)).sum();
        let cap = ENGINES.max(honest / PART);
        let of = |at| {
            let amounts = networks(groups, at);
            let one = if at == 0 { 1.0 } else { usual(&engines, &amounts) };
            cut(&amounts, cap * one, one)
        };
        Self((0..=table.amounts.len()).map(of).collect())
    }

    /// Returns what engines count that were first heard of after the close of a day of which so much is published:
    /// engines, then the amounts.
    pub(crate) fn late(groups: &[Group], published: &[f64]) -> Self {
        let engines = published.first().copied().unwrap_or(0.0);
        let cap = ENGINES.max(engines / PART) / LATE;
        let of = |(at, amount): (usize, &f64)| {
            let one = if engines > 0.0 { amount / engines } else { 0.0 };
            cut(&networks(groups, at), cap * one, one)
        };
        Self(published.iter().enumerate().map(of).collect())
    }

    /// Returns what each unit of a measure counts: of engines if `at` is 0, then of the amounts.
    pub(crate) fn of(&self, network: Option<Network>, at: usize) -> f64 {
        let known = network.and_then(|network| self.0.get(at)?.get(&network));
        known.copied().unwrap_or(1.0)
    }

    /// Returns the networks whose engines count less than one.
    pub(crate) fn cut(self) -> impl Iterator<Item = (Network, f64)> {
        let engines = self.0.into_iter().next().unwrap_or_default();
        engines.into_iter().filter(|(_, weight)| *weight < 1.0)
    }
}

/// Returns by how many points at most ten networks of made-up engines can move a share, where so many engines count.
pub(crate) fn ten_networks(engines: f64) -> f64 {
    let on_time = 10.0 * ENGINES.max(engines / PART);
    // Seven days of late messages.
    (100.0 * on_time * (1.0 + 7.0 / LATE) / engines.max(1.0)).min(100.0)
}

/// Returns the amount of a usual engine: the median of networks that have any, which ten networks hardly move.
fn usual(engines: &BTreeMap<Network, f64>, amounts: &BTreeMap<Network, f64>) -> f64 {
    let with_any = amounts.iter().filter(|(_, amount)| **amount > 0.0);
    let mean = |(network, amount): (&Network, &f64)| {
        amount / engines.get(network).copied().unwrap_or(1.0).max(1.0)
    };
    let mut means: Vec<f64> = with_any.map(mean).collect();
    means.sort_by(f64::total_cmp);
    means.get(means.len() / 2).copied().unwrap_or(0.0)
}

fn networks(groups: &[Group], at: usize) -> BTreeMap<Network, f64> {
    let mut networks: BTreeMap<Network, f64> = BTreeMap::new();
    for group in groups {
        let amount = match at.checked_sub(1) {
            None => group.engines,
            Some(at) => group.amounts.get(at).copied().unwrap_or(0.0),
        };
        if let Some(network) = group.network {
            *networks.entry(network).or_default() += amount;
        }
    }
    networks
}

/// Cuts each network to the cap. A network has another origin under each key of the day, so the keys share the cap by the
/// number of their networks; one engine of each always counts.
fn cut(networks: &BTreeMap<Network, f64>, cap: f64, one: f64) -> BTreeMap<Network, f64> {
    let mut keys: BTreeMap<i64, f64> = BTreeMap::new();
    for (key, _) in networks.keys() {
        *keys.entry(*key).or_default() += 1.0;
    }
    let all: f64 = keys.values().sum();
    let cut = |(network, amount): (&Network, &f64)| {
        let of_key = keys.get(&network.0).copied().unwrap_or(all) / all;
        (*network, ((cap * of_key).max(one) / amount).min(1.0))
    };
    networks.iter().filter(|(_, amount)| **amount > 0.0).map(cut).collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::table::table;
    use super::*;

    /// Engines of vLLM with eight devices each, around the clock.
    fn group(network: Network, engines: f64, devices: f64) -> Group {
        Group {
            reported: vec![Some("vllm/current".to_owned()), Some("a".to_owned())],
            network: Some(network),
            engines,
            amounts: vec![engines * devices, engines * devices * 24.0],
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Ten networks with as many engines and devices as they like, which come back under the keys of the next two
        /// days, and then late on seven more, are less than a hundredth of 30,000 engines.
        #[test]
        fn ten_networks_weigh_less_than_a_hundredth(
            honest in vec(1..60_u32, 2_000..3_000),
            flood in vec((1..1_000_000_u32, 1..1_024_u32), 10),
        ) {
            let accelerators = table("accelerators").unwrap();
            let mut groups: Vec<Group> = (0..)
                .zip(&honest)
                .map(|(n, engines)| group((0, n), f64::from(*engines), 8.0))
                .collect();
            let made_up = |key| {
                (10_000..).zip(&flood).map(move |(n, (engines, devices))| {
                    group((key, n), f64::from(*engines), f64::from(*devices))
                })
            };
            groups.extend((0..3).flat_map(made_up));
            let weigh = |groups: &[Group], weights: &Weights, at: usize, made_up: bool| -> f64 {
                let whose = groups.iter().filter(|one| (one.network.unwrap().1 >= 10_000) == made_up);
                whose
                    .map(|one| {
                        let all = [one.engines, one.amounts[0], one.amounts[1]];
                        all[at] * weights.of(one.network, at)
                    })
                    .sum()
            };
            let on_time = Weights::on_time(accelerators, &groups);
            let total = weigh(&groups, &on_time, 0, false) + weigh(&groups, &on_time, 0, true);
            prop_assume!(total > 30_000.0);
            let published: Vec<f64> = (0..3)
                .map(|at| weigh(&groups, &on_time, at, false) + weigh(&groups, &on_time, at, true))
                .collect();
            for at in 0..3 {
                let mut fake = weigh(&groups, &on_time, at, true);
                for key in 3..10 {
                    let late: Vec<Group> = made_up(key).collect();
                    let weights = Weights::late(&late, &published);
                    fake += weigh(&late, &weights, at, true);
                }
                let honest = weigh(&groups, &on_time, at, false);
                let share = 100.0 * fake / (honest + fake);
                prop_assert!(share < 1.0, "{share} % of measure {at}");
            }
            prop_assert!(ten_networks(total) < 1.0);
        }
    }

    #[test]
    fn how_much_ten_networks_can_move_is_told_for_small_fleets_too() {
        assert!(ten_networks(30_000.0) < 1.0);
        assert_eq!(ten_networks(2_700.0), 10.0);
        assert_eq!(ten_networks(100.0), 100.0);
        // A server that was started again at noon knows each network twice.
        let groups = [group((1, 5), 30.0, 1.0), group((2, 5), 30.0, 1.0)];
        let weights = Weights::on_time(table("versions").unwrap(), &groups);
        let all: f64 = groups.iter().map(|one| one.engines * weights.of(one.network, 0)).sum();
        assert_eq!(all, ENGINES);
    }
}
