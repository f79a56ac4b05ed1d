//! The instruments that an engine holds.
//!
//! Each call is one relaxed atomic operation, without a lock, an allocation or a system call. It does
//! nothing if collection is off.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::row::{Buckets, Cell, Meter, Row, UNSET};

/// A sum that starts again at zero with every interval.
///
/// Made by [`crate::Usage::counter`] or [`Series::counter`]; clones add to the same sum.
#[derive(Debug, Clone, Default)]
pub struct Counter(Option<Arc<Cell<AtomicU64>>>);

/// The last value that was set.
///
/// Made by [`crate::Usage::gauge`] or [`Series::gauge`]. The field of a gauge that is not set takes the
/// contract's null rule.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Option<Arc<Cell<AtomicI64>>>);

/// Counts of samples by size, which start again at zero with every interval.
///
/// Made by [`crate::Usage::histogram`] or [`Series::histogram`].
#[derive(Debug, Clone, Default)]
pub struct Histogram(Option<Arc<Buckets>>);

/// A name with instruments of its own, for example one adapter type of several.
///
/// Its message is sent at every interval while a clone of it lives, and once more if something was
/// counted before the last clone was dropped.
#[derive(Debug, Clone, Default)]
pub struct Series(Option<Arc<Row>>);

impl Counter {
    /// Adds `amount`.
    #[inline]
    pub fn add(&self, amount: u64) {
        if let Some(cell) = &self.0 {
            cell.fetch_add(amount, Ordering::Relaxed);
        }
    }
}

impl Gauge {
    /// Sets the value.
    #[inline]
    pub fn set(&self, value: i64) {
        if let Some(cell) = &self.0 {
            // `i64::MIN` means "not set", so it is replaced by the number above it.
            cell.store(value.max(UNSET.saturating_add(1)), Ordering::Relaxed);
        }
    }

    /// Makes the value unknown.
    #[inline]
    pub fn unset(&self) {
        if let Some(cell) = &self.0 {
            cell.store(UNSET, Ordering::Relaxed);
        }
    }
}

impl Histogram {
    /// Counts one sample in the bucket that the contract has for it.
    #[inline]
    pub fn record(&self, sample: f64) {
        if let Some(buckets) = &self.0
            && let Some(count) = buckets.under(sample)
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Series {
    pub(super) const fn new(row: Option<Arc<Row>>) -> Self {
        Self(row)
    }

    fn meter(&self, attribute: &str) -> Option<&Meter> {
        self.0.as_ref()?.meter(attribute)
    }

    /// Returns the counter of this attribute in the series, or one that does nothing if there is none.
    #[must_use]
    pub fn counter(&self, attribute: &str) -> Counter {
        match self.meter(attribute) {
            Some(Meter::Counter(cell)) => Counter(Some(Arc::clone(cell))),
            _ => Counter::default(),
        }
    }

    /// Returns the gauge of this attribute in the series, or one that does nothing if there is none.
    #[must_use]
    pub fn gauge(&self, attribute: &str) -> Gauge {
        match self.meter(attribute) {
            Some(Meter::Gauge(cell)) => Gauge(Some(Arc::clone(cell))),
            _ => Gauge::default(),
        }
    }

    /// Returns the histogram of this attribute in the series, or one that does nothing if there is none.
    #[must_use]
    pub fn histogram(&self, attribute: &str) -> Histogram {
        match self.meter(attribute) {
            Some(Meter::Histogram(buckets)) => Histogram(Some(Arc::clone(buckets))),
            _ => Histogram::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use otel_usage_schema::{Buckets as Form, Field, Type};

    use super::*;

    fn counts(form: Form, samples: &[f64]) -> Vec<u64> {
        let field = Field::record("a", Type::Histogram, "a.b", "")
            .distributed(&[0.0, 1.0, 5.0])
            .with_buckets(form);
        let buckets = Arc::new(Buckets::new(&field));
        let histogram = Histogram(Some(Arc::clone(&buckets)));
        for sample in samples {
            histogram.record(*sample);
        }
        buckets.take()
    }

    #[test]
    fn every_sample_is_counted_once() {
        assert_eq!(counts(Form::UpTo, &[0.0, 0.5, 1.0, 1.1, 5.0]), [1, 2, 2, 0]);
        let odd = [5.1, -0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        assert_eq!(counts(Form::UpTo, &odd), [2, 0, 0, 3]);
    }

    #[test]
    fn lmcache_counts_samples_under_the_bound_above_them() {
        assert_eq!(counts(Form::Below, &[0.0, 0.5, 1.0, 4.9]), [0, 2, 2]);
        // A sample equal to the last bound counts there. The others count nowhere.
        let odd = [5.0, 5.1, -0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        assert_eq!(counts(Form::Below, &odd), [0, 0, 1]);
    }

    #[test]
    fn gauges_can_be_unset() {
        let cell = Arc::new(Cell::new(AtomicI64::new(UNSET)));
        let gauge = Gauge(Some(Arc::clone(&cell)));
        gauge.set(7);
        assert_eq!(cell.load(Ordering::Relaxed), 7);
        gauge.unset();
        assert_eq!(cell.load(Ordering::Relaxed), UNSET);
        gauge.set(i64::MIN);
        assert_ne!(cell.load(Ordering::Relaxed), UNSET);
    }
}
