//! The values of one series, which instruments change by relaxed atomic operations.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use opentelemetry::{KeyValue, Value};

use otel_usage_schema::{Buckets as Form, Field, Instrument};

/// A value with a cache line to itself, so that counters of two threads do not slow each other down.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Cell<T>(T);

impl<T> Cell<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for Cell<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// The buckets of a histogram.
#[derive(Debug)]
pub(super) struct Buckets {
    bounds: Vec<f64>,
    form: Form,
    counts: Vec<AtomicU64>,
}

/// The value of a gauge that is not set.
pub(super) const UNSET: i64 = i64::MIN;

/// The values of one series.
#[derive(Debug)]
pub(super) struct Row {
    values: Vec<(String, Meter)>,
}

/// One instrument.
#[derive(Debug)]
pub(super) enum Meter {
    Counter(Arc<Cell<AtomicU64>>),
    Gauge(Arc<Cell<AtomicI64>>),
    Histogram(Arc<Buckets>),
}

impl Buckets {
    pub(super) fn new(field: &Field) -> Self {
        let counts = field.bucket_keys().map(|_| AtomicU64::new(0)).collect();
        Self { bounds: field.bounds.to_vec(), form: field.buckets, counts }
    }

    /// Returns the count of the bucket of a sample. `None` if there is none, as in LMCache.
    pub(super) fn under(&self, sample: f64) -> Option<&AtomicU64> {
        // Counting without an early exit lets the compiler compare several bounds at once.
        if self.form == Form::UpTo {
            // A sample that is no number is below no bound.
            let within = self.bounds.iter().filter(|bound| sample <= **bound).count();
            return self.counts.get(self.bounds.len().saturating_sub(within));
        }
        let reached = self.bounds.iter().filter(|bound| sample >= **bound).count();
        // A sample equal to the last bound counts there.
        let last = self.bounds.last().is_some_and(|last| sample <= *last);
        let place = if last { reached.min(self.counts.len().saturating_sub(1)) } else { reached };
        if reached == 0 { None } else { self.counts.get(place) }
    }

    /// Returns whether anything was counted since the last take.
    pub(super) fn has_counted(&self) -> bool {
        self.counts.iter().any(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// Takes the counts, which start again at zero.
    pub(super) fn take(&self) -> Vec<u64> {
        self.counts.iter().map(|count| count.swap(0, Ordering::Relaxed)).collect()
    }
}

impl Row {
    pub(super) fn new(template: &[(String, Instrument, Field)]) -> Self {
        let values = template.iter().map(|(attribute, instrument, field)| {
            let meter = match instrument {
                Instrument::Histogram => Meter::Histogram(Arc::new(Buckets::new(field))),
                Instrument::Gauge => Meter::Gauge(Arc::new(Cell::new(AtomicI64::new(UNSET)))),
                _ => Meter::Counter(Arc::new(Cell::new(AtomicU64::new(0)))),
            };
            (attribute.clone(), meter)
        });
        Self { values: values.collect() }
    }

    pub(super) fn meter(&self, attribute: &str) -> Option<&Meter> {
        self.values.iter().find(|(name, _)| name == attribute).map(|(_, meter)| meter)
    }

    pub(super) fn take(&self, with_gauges: bool) -> Vec<KeyValue> {
        let mut attributes = Vec::with_capacity(self.values.len());
        for (attribute, meter) in &self.values {
            let value = match meter {
                Meter::Counter(cell) => Value::I64(whole(cell.swap(0, Ordering::Relaxed))),
                Meter::Gauge(cell) => match cell.load(Ordering::Relaxed) {
                    UNSET => continue,
                    _ if !with_gauges => continue,
                    value => Value::I64(value),
                },
                Meter::Histogram(buckets) => {
                    Value::Array(buckets.take().into_iter().map(whole).collect::<Vec<_>>().into())
                }
            };
            attributes.push(KeyValue::new(attribute.clone(), value));
        }
        attributes
    }

    /// Returns whether anything was counted since the last interval.
    pub(super) fn has_counted(&self) -> bool {
        self.values.iter().any(|(_, meter)| match meter {
            Meter::Counter(cell) => cell.load(Ordering::Relaxed) > 0,
            Meter::Gauge(_) => false,
            Meter::Histogram(buckets) => buckets.has_counted(),
        })
    }

    /// Returns whether the engine still holds an instrument of the series.
    pub(super) fn is_held(&self) -> bool {
        self.values.iter().any(|(_, meter)| match meter {
            Meter::Counter(cell) => Arc::strong_count(cell) > 1,
            Meter::Gauge(cell) => Arc::strong_count(cell) > 1,
            Meter::Histogram(buckets) => Arc::strong_count(buckets) > 1,
        })
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
