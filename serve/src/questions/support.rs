//! The support of a number: engines, amounts, and the networks that they come from.

use std::collections::BTreeMap;

/// A network under a key: the number of the key, and 20 bits of a hash.
pub(crate) type Network = (i64, i64);

/// The support of a cell.
///
/// Networks are told apart under one key only. Of two keys, or of a day whose networks are erased, only bounds are
/// known: as many networks as the larger, and a largest network with what both largest have.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Support {
    /// Engines that are surely distinct.
    pub(crate) engines: f64,
    /// The amounts that are shown: engines first, then others of the same engines.
    pub(crate) amounts: Vec<f64>,
    networks: BTreeMap<Network, Vec<f64>>,
    /// Bounds for what has no networks any more.
    known_origins: usize,
    known_largest: Vec<f64>,
}

impl Support {
    /// Adds engines of one network. Engines of an unknown network might all be of the largest.
    pub(crate) fn add(&mut self, network: Option<Network>, engines: f64, amounts: &[f64]) {
        self.engines += engines;
        sum(&mut self.amounts, amounts);
        match network {
            Some(network) => sum(self.networks.entry(network).or_default(), amounts),
            None => sum(&mut self.known_largest, amounts),
        }
    }

    /// Returns a support of which only the bounds are known.
    pub(crate) const fn bounds(
        engines: f64,
        amounts: Vec<f64>,
        origins: usize,
        largest: Vec<f64>,
    ) -> Self {
        let networks = BTreeMap::new();
        Self { engines, amounts, networks, known_origins: origins, known_largest: largest }
    }

    /// Joins the support of other engines.
    pub(crate) fn join(&mut self, other: &Self) {
        self.engines += other.engines;
        sum(&mut self.amounts, &other.amounts);
        for (network, amounts) in &other.networks {
            sum(self.networks.entry(*network).or_default(), amounts);
        }
        self.known_origins = self.known_origins.max(other.known_origins);
        sum(&mut self.known_largest, &other.known_largest);
    }

    /// Returns the mean of a week's days whose supports were joined, with the engines of its best day.
    pub(crate) fn mean_of_week(self, engines: f64) -> Self {
        Self { engines, ..self.divided(7.0) }
    }

    /// Returns this with each amount divided.
    pub(crate) fn divided(mut self, by: f64) -> Self {
        let amounts =
            self.networks.values_mut().chain([&mut self.amounts, &mut self.known_largest]);
        amounts.flatten().for_each(|amount| *amount /= by);
        self
    }

    /// Returns how many networks there are at least.
    pub(crate) fn origins(&self) -> usize {
        let mut by_key: BTreeMap<i64, usize> = BTreeMap::new();
        for (key, _) in self.networks.keys() {
            let count = by_key.entry(*key).or_default();
            *count = count.saturating_add(1);
        }
        by_key.into_values().max().unwrap_or(0).max(self.known_origins)
    }

    /// Returns how much of an amount one network has at most.
    pub(crate) fn largest(&self, at: usize) -> f64 {
        let mut by_key: BTreeMap<i64, f64> = BTreeMap::new();
        for ((key, _), amounts) in &self.networks {
            let largest = by_key.entry(*key).or_default();
            *largest = largest.max(amounts.get(at).copied().unwrap_or(0.0));
        }
        by_key.into_values().sum::<f64>() + self.known_largest.get(at).copied().unwrap_or(0.0)
    }

    /// Returns an amount.
    pub(crate) fn amount(&self, at: usize) -> f64 {
        self.amounts.get(at).copied().unwrap_or(0.0)
    }
}

fn sum(into: &mut Vec<f64>, more: &[f64]) {
    if into.len() < more.len() {
        into.resize(more.len(), 0.0);
    }
    for (into, more) in into.iter_mut().zip(more) {
        *into += more;
    }
}
