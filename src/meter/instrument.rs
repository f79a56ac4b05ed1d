//! What an engine's hot path touches: counters, gauges and histograms that wait for the next interval.
//!
//! In: one relaxed atomic operation for each call; no lock, no allocation, no system call, and nothing at
//! all when collection is off. Out: values that the worker takes at every interval
//! ([`super::Meters`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::row::{Buckets, Cell, Meter, Row, UNSET};

/// A sum that starts again at zero with every interval.
///
/// Made by [`crate::Usage::counter`] or [`Series::counter`]; clones add to the same sum.
#[derive(Debug, Clone, Default)]
pub struct Counter(Option<Arc<Cell<AtomicU64>>>);

/// The last value said; it stays until it is said again.
///
/// Made by [`crate::Usage::gauge`] or [`Series::gauge`]. One that was never set, or was unset, is absent, and
/// the contract's null rule speaks.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Option<Arc<Cell<AtomicI64>>>);

/// Counts of samples by size, which start again at zero with every interval.
///
/// Made by [`crate::Usage::histogram`] or [`Series::histogram`].
#[derive(Debug, Clone, Default)]
pub struct Histogram(Option<Arc<Buckets>>);

/// One of several things of the same kind that report apart, for example an adapter type.
///
/// While it is alive its message is sent at every interval. After the last clone is dropped it is sent once
/// more if something was counted meanwhile, with its gauges absent.
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
    /// Says the value as it is now.
    #[inline]
    pub fn set(&self, value: i64) {
        if let Some(cell) = &self.0 {
            // The one number that means something else is one off; no size or count is that small.
            cell.store(value.max(UNSET.saturating_add(1)), Ordering::Relaxed);
        }
    }

    /// Says that the value is not known.
    #[inline]
    pub fn unset(&self) {
        if let Some(cell) = &self.0 {
            cell.store(UNSET, Ordering::Relaxed);
        }
    }
}

impl Histogram {
    /// Counts one sample. What is below the first bound, above the last, or no number is not counted.
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

    /// The counter of this attribute in the series. One that the contract does not have does nothing.
    #[must_use]
    pub fn counter(&self, attribute: &str) -> Counter {
        match self.meter(attribute) {
            Some(Meter::Counter(cell)) => Counter(Some(Arc::clone(cell))),
            _ => Counter::default(),
        }
    }

    /// The gauge of this attribute in the series. One that the contract does not have does nothing.
    #[must_use]
    pub fn gauge(&self, attribute: &str) -> Gauge {
        match self.meter(attribute) {
            Some(Meter::Gauge(cell)) => Gauge(Some(Arc::clone(cell))),
            _ => Gauge::default(),
        }
    }

    /// The histogram of this attribute in the series. One that the contract does not have does nothing.
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
    use super::*;

    fn counts(bounds: &[f64], samples: &[f64]) -> Vec<u64> {
        let buckets = Arc::new(Buckets::new(bounds));
        let histogram = Histogram(Some(Arc::clone(&buckets)));
        for sample in samples {
            histogram.record(*sample);
        }
        buckets.take()
    }

    #[test]
    fn a_count_is_under_the_bound_above_it() {
        let bounds = [0.0, 1.0, 5.0];
        assert_eq!(counts(&bounds, &[0.0, 0.5, 1.0, 4.9]), [0, 2, 2]);
        // The last bound is its own; below the first, above the last and no number count nowhere.
        let odd = [5.0, 5.1, -0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        assert_eq!(counts(&bounds, &odd), [0, 0, 1]);
    }

    #[test]
    fn a_gauge_can_be_unset_again() {
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
