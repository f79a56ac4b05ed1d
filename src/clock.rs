//! Time and random identifiers.
//!
//! Only this file asks the system for them. Everything else takes a [`Clock`], so that a test or a
//! preview can fix both and get the same bytes twice. Wall time stamps records; monotonic time drives
//! every deadline, so that a clock that jumps causes neither a burst nor a stall.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};
use uuid::Uuid;

/// Wall time, monotonic time and random identifiers.
#[derive(Debug, Clone, Default)]
pub struct Clock(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    Fixed {
        unix_nanos: Arc<AtomicI64>,
        next_id: Arc<AtomicU64>,
        /// How many times the process was restored.
        restored: Arc<AtomicU64>,
    },
    #[cfg(test)]
    Simulated(Arc<Simulated>),
}

/// Times that a test moves.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Simulated {
    start: Instant,
    /// Monotonic time since the start. Unit: milliseconds.
    pub(crate) passed: AtomicU64,
    /// Wall time. Unit: nanoseconds since the Unix epoch.
    pub(crate) unix_nanos: AtomicI64,
}

impl Clock {
    /// Returns the clock and the random source of the machine.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// Returns a wall clock that stands still, with identifiers that count up from 1.
    ///
    /// Tests and previews use it to get the same bytes twice. Deadlines still pass, because monotonic
    /// time goes on.
    #[must_use]
    pub fn fixed(unix_nanos: i64) -> Self {
        Self(Source::Fixed {
            unix_nanos: Arc::new(AtomicI64::new(unix_nanos)),
            next_id: Arc::new(AtomicU64::new(1)),
            restored: Arc::default(),
        })
    }

    /// Returns a clock that only moves when a test moves it, and its times.
    #[cfg(test)]
    pub(crate) fn simulated() -> (Self, Arc<Simulated>) {
        let start = Self::system().monotonic();
        let (passed, unix_nanos) = (AtomicU64::new(0), AtomicI64::new(0));
        let times = Arc::new(Simulated { start, passed, unix_nanos });
        (Self(Source::Simulated(Arc::clone(&times))), times)
    }

    /// Returns the wall time. Unit: nanoseconds since the Unix epoch, not rounded.
    #[must_use]
    pub fn unix_nanos(&self) -> i64 {
        match &self.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that reads the wall clock"
            )]
            Source::System => unix_nanos(SystemTime::now()),
            Source::Fixed { unix_nanos, .. } => unix_nanos.load(Ordering::Relaxed),
            #[cfg(test)]
            Source::Simulated(times) => times.unix_nanos.load(Ordering::Relaxed),
        }
    }

    /// Returns a text that changes when the process is restored from a checkpoint: the boot of the machine, and
    /// the time at which the kernel made the process. A checkpoint keeps neither. `None` if the system does not
    /// say.
    pub(crate) fn birth(&self) -> Option<String> {
        match &self.0 {
            Source::System => {
                let read = |path: &str| std::fs::read_to_string(path).ok();
                let stat = read("/proc/self/stat")?;
                // The name of the program, which is in parentheses, may hold anything.
                let (_, fields) = stat.rsplit_once(')')?;
                let time = fields.split_whitespace().nth(19)?;
                Some(read("/proc/sys/kernel/random/boot_id")? + time)
            }
            Source::Fixed { restored, .. } => Some(restored.load(Ordering::Relaxed).to_string()),
            #[cfg(test)]
            Source::Simulated(_) => None,
        }
    }

    /// Restores the process an hour later, as far as a fixed clock can tell.
    #[cfg(test)]
    pub(crate) fn restore(&self) {
        if let Source::Fixed { unix_nanos, restored, .. } = &self.0 {
            unix_nanos.fetch_add(3_600_000_000_000, Ordering::Relaxed);
            restored.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns monotonic time, which stands still while the machine is suspended.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn monotonic(&self) -> Instant {
        #[cfg(test)]
        if let Source::Simulated(times) = &self.0 {
            let passed = Duration::from_millis(times.passed.load(Ordering::Relaxed));
            return times.start.checked_add(passed).unwrap_or(times.start);
        }
        Instant::now()
    }

    /// Returns the time from `start` to `end`. On a fixed clock it is zero, so that the duration of a
    /// run is fixed too.
    pub(crate) fn between(&self, start: Instant, end: Instant) -> Duration {
        match &self.0 {
            Source::System => end.saturating_duration_since(start),
            #[cfg(test)]
            Source::Simulated(_) => end.saturating_duration_since(start),
            Source::Fixed { .. } => Duration::ZERO,
        }
    }

    /// Returns a random identifier: a UUID v4 in lower case with hyphens.
    #[must_use]
    pub fn uuid(&self) -> String {
        let id = match &self.0 {
            Source::System => Uuid::new_v4(),
            #[cfg(test)]
            Source::Simulated(_) => Uuid::new_v4(),
            Source::Fixed { next_id, .. } => {
                let counter = u128::from(next_id.fetch_add(1, Ordering::Relaxed));
                uuid::Builder::from_u128(counter)
                    .with_version(uuid::Version::Random)
                    .with_variant(uuid::Variant::RFC4122)
                    .into_uuid()
            }
        };
        id.hyphenated().to_string()
    }

    /// Returns random trace and span identifiers for a record that did not come from a tracer.
    pub(crate) fn span_ids(&self) -> (TraceId, SpanId) {
        match &self.0 {
            Source::System => {
                let generator = RandomIdGenerator::default();
                (generator.new_trace_id(), generator.new_span_id())
            }
            #[cfg(test)]
            Source::Simulated(_) => Self::system().span_ids(),
            Source::Fixed { next_id, .. } => {
                let counter = next_id.fetch_add(1, Ordering::Relaxed);
                (
                    TraceId::from_bytes(u128::from(counter).to_be_bytes()),
                    SpanId::from_bytes(counter.to_be_bytes()),
                )
            }
        }
    }
}

/// Returns the nanoseconds from the Unix epoch to `time`, saturating at both ends of `i64`.
pub(crate) fn unix_nanos(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX).saturating_neg()
        }
    }
}

/// Returns the wall time of `unix_nanos`: the inverse of [`unix_nanos`] from 1970 on.
pub(crate) fn system_time(unix_nanos: i64) -> SystemTime {
    let since = Duration::from_nanos(u64::try_from(unix_nanos).unwrap_or(0));
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_clocks_repeat_themselves() {
        let (a, b) = (Clock::fixed(7), Clock::fixed(7));
        assert_eq!(a.unix_nanos(), 7);
        assert_eq!(a.uuid(), b.uuid());
        assert_eq!(a.span_ids(), b.span_ids());
        assert_ne!(a.uuid(), Clock::fixed(7).uuid());
    }

    #[test]
    fn wall_time_round_trips() {
        for nanos in [0, 1, 1_787_206_513_123_456_000] {
            assert_eq!(unix_nanos(system_time(nanos)), nanos);
        }
    }
}
