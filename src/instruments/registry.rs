//! The instruments of one contract, with the values that wait for the next interval.
//!
//! Making an instrument takes a lock; using one does not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry::KeyValue;

use super::instrument::{Counter, Gauge, Histogram, Series};
use super::row::Row;
use crate::run::shorten_text;
use otel_usage_schema::{Contract, Field, Instrument, MessageSpec, Trigger};

/// Most series of one message. Names are few, and names made of user input must not fill the memory.
const SERIES: usize = 64;

/// The instruments of one contract.
#[derive(Debug)]
pub(crate) struct Instruments {
    messages: Vec<Message>,
}

/// A message at intervals and its series.
#[derive(Debug)]
struct Message {
    /// The place of the message in the contract.
    message: usize,
    /// The attribute that names a series. `None` if there is one series without a name.
    dimension: Option<String>,
    /// The instruments of each series, by attribute.
    template: Vec<(String, Instrument, Field)>,
    series: Mutex<BTreeMap<String, Arc<Row>>>,
}

impl Instruments {
    pub(crate) fn new(contract: &Contract) -> Self {
        let messages = contract.messages.iter().enumerate();
        Self {
            messages: messages
                .filter(|(_, spec)| matches!(spec.trigger, Trigger::Interval { .. }))
                .map(|(message, spec)| Message::new(message, spec, contract))
                .collect(),
        }
    }

    /// Returns the counter of this attribute, unless the contract has none outside a series.
    pub(crate) fn counter(&self, attribute: &str) -> Option<Counter> {
        Some(self.alone(attribute, Instrument::Counter)?.counter(attribute))
    }

    /// Returns the gauge of this attribute, unless the contract has none outside a series.
    pub(crate) fn gauge(&self, attribute: &str) -> Option<Gauge> {
        Some(self.alone(attribute, Instrument::Gauge)?.gauge(attribute))
    }

    /// Returns the histogram of this attribute, unless the contract has none outside a series.
    pub(crate) fn histogram(&self, attribute: &str) -> Option<Histogram> {
        Some(self.alone(attribute, Instrument::Histogram)?.histogram(attribute))
    }

    /// Returns the series `name` of the dimension, unless the contract has none or there are too many.
    pub(crate) fn series(&self, dimension: &str, name: &str) -> Option<Series> {
        let mut messages = self.messages.iter();
        let message = messages.find(|one| one.dimension.as_deref() == Some(dimension))?;
        Some(Series::new(Some(message.open(name)?)))
    }

    fn alone(&self, attribute: &str, instrument: Instrument) -> Option<Series> {
        let found = self.messages.iter().find(|one| {
            one.dimension.is_none()
                && one
                    .template
                    .iter()
                    .any(|(name, kind, _)| name == attribute && *kind == instrument)
        })?;
        Some(Series::new(Some(found.open("")?)))
    }

    /// Takes the values of a message, one list for each series, by name. Counters and histograms start
    /// again at zero. Returns `None` for a message without instruments.
    pub(crate) fn take(&self, message: usize) -> Option<Vec<Vec<KeyValue>>> {
        self.messages.iter().find(|one| one.message == message).map(Message::take)
    }
}

impl Message {
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
                template.push((attribute.to_owned(), instrument, field.clone()));
            }
        }
        Self { message, dimension, template, series: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Row>>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, name: &str) -> Option<Arc<Row>> {
        let name = shorten_text(name);
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
            // An idle interval is sent too, as a sign of life.
            return vec![self.open("").map(|alone| alone.take(true)).unwrap_or_default()];
        };
        let mut taken = Vec::new();
        self.lock().retain(|name, series| {
            // The engine has dropped the series if only this map holds it.
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
    use otel_usage_schema::lmcache::{self, usage};

    fn place(name: &str) -> usize {
        lmcache::V1.messages.iter().position(|spec| spec.name == name).unwrap()
    }

    fn ints(taken: &[KeyValue]) -> BTreeMap<&str, String> {
        taken.iter().map(|a| (a.key.as_str(), a.value.as_str().into_owned())).collect()
    }

    #[test]
    fn counters_start_again_at_zero_and_idle_intervals_are_sent() {
        let instruments = Instruments::new(&lmcache::V1);
        let message = place("ContinuousContextMessage");
        instruments.counter(usage::TOKENS_HIT).unwrap().add(5);
        instruments.counter(usage::TOKENS_HIT).unwrap().add(2);
        assert_eq!(ints(&instruments.take(message).unwrap()[0])[usage::TOKENS_HIT], "7");
        assert_eq!(ints(&instruments.take(message).unwrap()[0])[usage::TOKENS_HIT], "0");
        assert!(instruments.counter("no.such.thing").is_none());
        assert!(instruments.gauge(usage::TOKENS_HIT).is_none());
        // The counter of a series cannot be had without the series.
        assert!(instruments.counter(usage::L2_BYTES_STORED).is_none());
    }

    #[test]
    fn series_report_while_held_and_once_more_if_they_counted() {
        let instruments = Instruments::new(&lmcache::V1);
        let message = place("L2ConnectorUsageMessage");
        assert!(instruments.take(message).unwrap().is_empty());
        let nixl = instruments.series(usage::L2_ADAPTER, "nixl_store").unwrap();
        let fs = instruments.series(usage::L2_ADAPTER, "fs").unwrap();
        nixl.gauge(usage::L2_BYTES_USED).set(1);
        nixl.counter(usage::L2_BYTES_STORED).add(3);
        let names = |taken: &[Vec<KeyValue>]| -> Vec<String> {
            taken.iter().map(|one| ints(one)[usage::L2_ADAPTER].clone()).collect()
        };
        let taken = instruments.take(message).unwrap();
        assert_eq!(names(&taken), ["fs", "nixl_store"]);
        assert_eq!(ints(&taken[1])[usage::L2_BYTES_USED], "1");

        nixl.counter(usage::L2_BYTES_STORED).add(4);
        drop(nixl);
        let taken = instruments.take(message).unwrap();
        assert_eq!(names(&taken), ["fs", "nixl_store"]);
        assert_eq!(ints(&taken[1])[usage::L2_BYTES_STORED], "4");
        assert!(!ints(&taken[1]).contains_key(usage::L2_BYTES_USED), "removed: unknown");
        assert_eq!(names(&instruments.take(message).unwrap()), ["fs"]);
        drop(fs);
        assert!(instruments.take(message).unwrap().is_empty());
    }

    #[test]
    fn series_are_limited() {
        let instruments = Instruments::new(&lmcache::V1);
        let opened: Vec<_> = (0..1000)
            .filter_map(|i| instruments.series(usage::L2_ADAPTER, &format!("adapter-{i}")))
            .collect();
        assert_eq!(opened.len(), SERIES);
    }
}
