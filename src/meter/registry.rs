//! What waits for the next interval: the values behind an engine's counters, gauges and histograms.
//!
//! In: a contract's interval messages, and the engine's calls for an instrument. Out: at each interval the
//! attributes of a record for every series. Making an instrument takes a lock; using one does not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry::KeyValue;

use super::instrument::{Counter, Gauge, Histogram, Series};
use super::row::Row;
use crate::schema::{Contract, Instrument, MessageSpec, Trigger};

/// Series of one message at most: names are few, and a name made of user input must not fill the memory.
const SERIES: usize = 64;

/// The instruments of one contract.
#[derive(Debug)]
pub(crate) struct Meters {
    messages: Vec<Metered>,
}

/// A message at intervals and its series.
#[derive(Debug)]
struct Metered {
    /// Its place in the contract.
    message: usize,
    /// The attribute that names a series. `None`: there is one series, without a name.
    dimension: Option<String>,
    /// What each series has, by attribute.
    template: Vec<(String, Instrument, Vec<f64>)>,
    series: Mutex<BTreeMap<String, Arc<Row>>>,
}

impl Meters {
    pub(crate) fn new(contract: &Contract) -> Self {
        let messages = contract.messages.iter().enumerate();
        Self {
            messages: messages
                .filter(|(_, spec)| matches!(spec.trigger, Trigger::Interval { .. }))
                .map(|(message, spec)| Metered::new(message, spec, contract))
                .collect(),
        }
    }

    /// The counter of this attribute. `None`: the contract has none outside a series.
    pub(crate) fn counter(&self, attribute: &str) -> Option<Counter> {
        Some(self.alone(attribute, Instrument::Counter)?.counter(attribute))
    }

    /// The gauge of this attribute. `None`: the contract has none outside a series.
    pub(crate) fn gauge(&self, attribute: &str) -> Option<Gauge> {
        Some(self.alone(attribute, Instrument::Gauge)?.gauge(attribute))
    }

    /// The histogram of this attribute. `None`: the contract has none outside a series.
    pub(crate) fn histogram(&self, attribute: &str) -> Option<Histogram> {
        Some(self.alone(attribute, Instrument::Histogram)?.histogram(attribute))
    }

    /// The series `name` of the dimension. `None`: the contract has none, or there are too many.
    pub(crate) fn series(&self, dimension: &str, name: &str) -> Option<Series> {
        let mut messages = self.messages.iter();
        let metered = messages.find(|one| one.dimension.as_deref() == Some(dimension))?;
        Some(Series::new(Some(metered.open(name)?)))
    }

    fn alone(&self, attribute: &str, instrument: Instrument) -> Option<Series> {
        let metered = self.messages.iter().find(|one| {
            one.dimension.is_none()
                && one
                    .template
                    .iter()
                    .any(|(name, kind, _)| name == attribute && *kind == instrument)
        })?;
        Some(Series::new(Some(metered.open("")?)))
    }

    /// The attributes that the message sends for this interval, one list for each series, by name.
    /// Counters and histograms start again at zero.
    pub(crate) fn take(&self, message: usize) -> Vec<Vec<KeyValue>> {
        let Some(metered) = self.messages.iter().find(|one| one.message == message) else {
            return Vec::new();
        };
        metered.take()
    }
}

impl Metered {
    fn new(message: usize, spec: &MessageSpec, contract: &Contract) -> Self {
        let mut dimension = None;
        let mut template = Vec::new();
        for field in spec.fields.iter() {
            let Some((attribute, instrument)) = field.source.record().zip(field.instrument) else {
                continue;
            };
            if instrument == Instrument::Dimension {
                dimension = Some(attribute.to_owned());
            } else if !contract.omitted.iter().any(|omitted| omitted == attribute) {
                template.push((attribute.to_owned(), instrument, field.bounds.to_vec()));
            }
        }
        Self { message, dimension, template, series: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Row>>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, name: &str) -> Option<Arc<Row>> {
        let mut series = self.lock();
        if let Some(known) = series.get(name) {
            return Some(Arc::clone(known));
        }
        if series.len() >= SERIES {
            return None;
        }
        let new = Arc::new(Row::new(&self.template));
        series.insert(name.to_owned(), Arc::clone(&new));
        Some(new)
    }

    fn take(&self) -> Vec<Vec<KeyValue>> {
        let Some(dimension) = &self.dimension else {
            // Also when nobody has asked for an instrument: the message is a sign of life.
            return vec![self.open("").map(|alone| alone.take(true)).unwrap_or_default()];
        };
        let mut taken = Vec::new();
        self.lock().retain(|name, series| {
            // Ours is the last hold on it: the engine has dropped the series.
            let present = Arc::strong_count(series) > 1;
            let traffic = series.has_counted();
            if present || traffic {
                let mut attributes = series.take(present);
                attributes.push(KeyValue::new(dimension.clone(), name.clone()));
                taken.push(attributes);
            }
            present || series.is_held()
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::lmcache::{self, usage};

    fn place(name: &str) -> usize {
        lmcache::V1.messages.iter().position(|spec| spec.name == name).unwrap()
    }

    fn ints(taken: &[KeyValue]) -> BTreeMap<&str, String> {
        taken.iter().map(|a| (a.key.as_str(), a.value.as_str().into_owned())).collect()
    }

    #[test]
    fn a_counter_is_taken_once_and_an_idle_interval_is_zero() {
        let meters = Meters::new(&lmcache::V1);
        let message = place("ContinuousContextMessage");
        meters.counter(usage::TOKENS_HIT).unwrap().add(5);
        meters.counter(usage::TOKENS_HIT).unwrap().add(2);
        assert_eq!(ints(&meters.take(message)[0])[usage::TOKENS_HIT], "7");
        assert_eq!(ints(&meters.take(message)[0])[usage::TOKENS_HIT], "0");
        assert!(meters.counter("no.such.thing").is_none());
        assert!(meters.gauge(usage::TOKENS_HIT).is_none());
        // A counter of a series is none by itself.
        assert!(meters.counter(usage::L2_BYTES_STORED).is_none());
    }

    #[test]
    fn a_series_reports_while_it_lives_and_once_more_if_it_counted() {
        let meters = Meters::new(&lmcache::V1);
        let message = place("L2ConnectorUsageMessage");
        assert!(meters.take(message).is_empty());
        let nixl = meters.series(usage::L2_ADAPTER, "nixl_store").unwrap();
        let fs = meters.series(usage::L2_ADAPTER, "fs").unwrap();
        nixl.gauge(usage::L2_BYTES_USED).set(1);
        nixl.counter(usage::L2_BYTES_STORED).add(3);
        let names = |taken: &[Vec<KeyValue>]| -> Vec<String> {
            taken.iter().map(|one| ints(one)[usage::L2_ADAPTER].clone()).collect()
        };
        let taken = meters.take(message);
        assert_eq!(names(&taken), ["fs", "nixl_store"]);
        assert_eq!(ints(&taken[1])[usage::L2_BYTES_USED], "1");

        nixl.counter(usage::L2_BYTES_STORED).add(4);
        drop(nixl);
        let taken = meters.take(message);
        assert_eq!(names(&taken), ["fs", "nixl_store"]);
        assert_eq!(ints(&taken[1])[usage::L2_BYTES_STORED], "4");
        assert!(!ints(&taken[1]).contains_key(usage::L2_BYTES_USED), "removed: unknown");
        assert_eq!(names(&meters.take(message)), ["fs"]);
        drop(fs);
        assert!(meters.take(message).is_empty());
    }

    #[test]
    fn names_without_end_do_not_fill_the_memory() {
        let meters = Meters::new(&lmcache::V1);
        let opened: Vec<_> = (0..1000)
            .filter_map(|i| meters.series(usage::L2_ADAPTER, &format!("adapter-{i}")))
            .collect();
        assert_eq!(opened.len(), SERIES);
    }
}
