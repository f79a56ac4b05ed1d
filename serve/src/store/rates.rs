//! How much one network may send, counted in memory.
//!
//! Each origin has a bucket that fills with the rate and holds a minute of it, because a collector sends its queue at
//! once. A request is taken if anything is in the bucket, and may empty it beyond zero, because a sender cannot send a
//! part of a request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The size of a bucket, in seconds of the rate.
const HOLDS: i64 = 60;

/// Fewest buckets of which the full ones are forgotten. There are at most as many as 20 bits have values.
const MANY: usize = 65_536;

/// Longest pause that is asked for.
const LONGEST: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(crate) struct Rates {
    /// Messages a second; 0 for no limit.
    rate: i64,
    buckets: Mutex<Buckets>,
}

/// The buckets of the origins, and how many there are when the full ones are looked for.
#[derive(Debug)]
struct Buckets {
    by_origin: HashMap<u32, Bucket>,
    tidy_at: usize,
}

/// Thousandths of messages, and when they were counted.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: i64,
    time: i64,
}

impl Rates {
    pub(crate) fn new(rate: u32) -> Self {
        let buckets = Buckets { by_origin: HashMap::new(), tidy_at: MANY };
        Self { rate: i64::from(rate), buckets: Mutex::new(buckets) }
    }

    /// Takes the place of some messages, or says how long to wait.
    pub(crate) fn take(&self, origin: u32, messages: usize, now: i64) -> Result<(), Duration> {
        if self.rate == 0 {
            return Ok(());
        }
        let full = self.rate.saturating_mul(HOLDS).saturating_mul(1_000);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let fill = |bucket: Bucket| {
            let since = now.saturating_sub(bucket.time).max(0);
            bucket.left.saturating_add(since.saturating_mul(self.rate)).min(full)
        };
        if buckets.by_origin.len() >= buckets.tidy_at {
            buckets.by_origin.retain(|_, bucket| fill(*bucket) < full);
            // The next look comes when they are twice as many, so that a flood of origins does not make each request look
            // at all of them.
            buckets.tidy_at = buckets.by_origin.len().saturating_mul(2).max(MANY);
        }
        let bucket = buckets.by_origin.entry(origin).or_insert(Bucket { left: full, time: now });
        let left = fill(*bucket);
        let result = if left > 0 {
            let messages = i64::try_from(messages).unwrap_or(i64::MAX);
            *bucket =
                Bucket { left: left.saturating_sub(messages.saturating_mul(1_000)), time: now };
            Ok(())
        } else {
            *bucket = Bucket { left, time: now };
            let wait =
                left.saturating_neg().checked_div(self.rate).unwrap_or(0).saturating_add(1_000);
            Err(Duration::from_millis(u64::try_from(wait).unwrap_or(0)).min(LONGEST))
        };
        drop(buckets);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_sends_at_its_rate_after_a_minute_at_once() {
        let rates = Rates::new(10);
        assert_eq!(rates.take(1, 600, 0), Ok(()));
        assert_eq!(rates.take(1, 1, 0), Err(Duration::from_secs(1)));
        assert_eq!(rates.take(2, 1, 0), Ok(()));
        assert_eq!(rates.take(1, 1, 100), Ok(()));
        assert!(rates.take(1, 1, 150).is_ok() && rates.take(1, 1, 160).is_err());
        // A large request is taken as a whole, and the next one waits for longer.
        assert_eq!(rates.take(3, 10_000, 0), Ok(()));
        assert_eq!(rates.take(3, 1, 0), Err(LONGEST));
        assert_eq!(rates.take(3, 1, 940_100), Ok(()));
        // A clock that goes back gives nothing and takes nothing.
        assert!(rates.take(1, 1, -1_000_000).is_err());
        assert_eq!(Rates::new(0).take(1, usize::MAX, 0), Ok(()));
    }

    #[test]
    fn a_flood_of_origins_makes_few_looks_at_all_of_them() {
        let rates = Rates::new(10);
        let tidied = |rates: &Rates| rates.buckets.lock().unwrap().tidy_at;
        let mut looks = 0;
        for origin in 0..1 << 19 {
            let before = tidied(&rates);
            rates.take(origin, 1, 0).unwrap();
            looks += usize::from(tidied(&rates) != before);
        }
        assert!(looks <= 4, "{looks}");
        // All are full again later, and are forgotten.
        rates.take(1 << 19, 1, 1_000_000).unwrap();
        assert_eq!(rates.buckets.lock().unwrap().by_origin.len(), 1);
    }
}
