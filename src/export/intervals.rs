//! When the messages at intervals are due. Pure: it is told the time.
//!
//! In: the contract's triggers, the interval that the operator set, the records that went by. Out: which
//! messages are due, with their sequence number and the time of the interval. After a suspend there is
//! one message, not a burst.

use std::time::{Duration, Instant};

use crate::schema::{Contract, Schedule, Trigger};

/// The shortest interval: more often than every second nobody needs to know.
const SHORTEST: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Intervals {
    /// What the operator's variable says.
    text: Option<String>,
    running: Vec<Running>,
}

/// A message whose intervals have begun.
#[derive(Debug)]
struct Running {
    message: usize,
    interval: Duration,
    last: bool,
    due: Instant,
    since: Instant,
    sequence: i64,
}

/// A message that is due now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// Its place in the contract.
    pub(crate) message: usize,
    /// Which one it is, from 1.
    pub(crate) sequence: i64,
    /// When the one before was, or the first record.
    pub(crate) since: Instant,
    /// When this one is.
    pub(crate) now: Instant,
}

impl Intervals {
    pub(crate) const fn new(text: Option<String>) -> Self {
        Self { text, running: Vec::new() }
    }

    /// A record of `kind` went by: begins the intervals that wait for it.
    pub(crate) fn begin(&mut self, contract: &Contract, kind: &str, now: Instant) {
        for (message, spec) in contract.messages.iter().enumerate() {
            let Trigger::Interval { seconds, schedules } = &spec.trigger else { continue };
            if self.running.iter().any(|running| running.message == message) {
                continue;
            }
            let Some(schedule) = schedules.iter().find(|schedule| schedule.after == kind) else {
                continue;
            };
            let interval = self.interval(schedule, *seconds);
            let first = schedule
                .first_seconds
                .map_or(interval, |first| interval.min(Duration::from_secs(first.into())));
            let Some(due) = now.checked_add(first) else { continue };
            let last = schedule.last;
            self.running.push(Running { message, interval, last, due, since: now, sequence: 0 });
        }
    }

    /// The operator's word, if it is one, else the contract's.
    fn interval(&self, schedule: &Schedule, seconds: u32) -> Duration {
        let text = self.text.as_deref().map(str::trim);
        let said = if schedule.fractions {
            let seconds = text.and_then(|text| text.parse().ok());
            seconds.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds.max(0.0)).ok())
        } else {
            let seconds = text.and_then(|text| text.parse().ok());
            seconds.map(|seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
        };
        said.unwrap_or_else(|| Duration::from_secs(seconds.into())).max(SHORTEST)
    }

    /// When to come back.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.running.iter().map(|running| running.due).min()
    }

    /// What is due at `now`, in the order of the contract.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Due> {
        self.take(now, |running| running.due <= now)
    }

    /// What the end of the run still sends; nothing is due afterwards.
    pub(crate) fn finish(&mut self, now: Instant) -> Vec<Due> {
        let due = self.take(now, |running| running.last);
        self.running.clear();
        due
    }

    fn take(&mut self, now: Instant, is_due: impl Fn(&Running) -> bool) -> Vec<Due> {
        let mut due = Vec::new();
        self.running.retain_mut(|running| {
            if !is_due(running) {
                return true;
            }
            running.sequence = running.sequence.saturating_add(1);
            due.push(Due {
                message: running.message,
                sequence: running.sequence,
                since: running.since,
                now,
            });
            running.since = now;
            // From now on, not from when it should have been.
            now.checked_add(running.interval).map(|next| running.due = next).is_some()
        });
        due.sort_by_key(|due| due.message);
        due
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a start to count from; nothing waits")]
mod tests {
    use super::*;
    use crate::schema::lmcache;

    fn names(due: &[Due]) -> Vec<(&'static str, i64, u64)> {
        due.iter()
            .map(|due| {
                let name = lmcache::V1.messages[due.message].name.as_ref();
                (name, due.sequence, due.now.duration_since(due.since).as_secs())
            })
            .collect()
    }

    #[test]
    fn an_engine_reports_early_and_then_at_every_interval() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut intervals = Intervals::new(None);
        intervals.begin(&lmcache::V1, lmcache::ENVIRONMENT, start);
        assert_eq!(intervals.next(), None);
        intervals.begin(&lmcache::V1, lmcache::ENGINE, start);
        // A second record of the kind changes nothing.
        intervals.begin(&lmcache::V1, lmcache::ENGINE, at(5));
        assert_eq!(intervals.next(), Some(at(10)));
        assert!(intervals.due(at(9)).is_empty());
        let (usage, lifespan) = ("ContinuousContextMessage", "CacheLifespanMessage");
        assert_eq!(names(&intervals.due(at(10))), [(usage, 1, 10), (lifespan, 1, 10)]);
        assert_eq!(intervals.next(), Some(at(610)));
        // The machine slept: one message, and the next a whole interval later.
        assert_eq!(names(&intervals.due(at(5000))), [(usage, 2, 4990), (lifespan, 2, 4990)]);
        assert_eq!(intervals.next(), Some(at(5600)));
        assert!(intervals.finish(at(5001)).is_empty());
        assert_eq!(intervals.next(), None);
    }

    #[test]
    fn a_server_waits_a_whole_interval_and_reports_at_its_end() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut intervals = Intervals::new(None);
        intervals.begin(&lmcache::V1, lmcache::MP_SERVER, start);
        assert_eq!(intervals.next(), Some(at(600)));
        let (usage, one, two) =
            ("ContinuousContextMessage", "L1UsageMessage", "L2ConnectorUsageMessage");
        assert_eq!(names(&intervals.due(at(600))), [(usage, 1, 600), (one, 1, 600), (two, 1, 600)]);
        assert_eq!(names(&intervals.finish(at(601))), [(usage, 2, 1), (one, 2, 1), (two, 2, 1)]);
    }

    #[test]
    fn the_variable_is_read_as_upstream_reads_it() {
        let start = Instant::now();
        for (text, engine, server) in [
            ("60", 10_000, 60_000),
            (" 5 ", 5_000, 5_000),
            ("1.5", 10_000, 1_500),
            ("soon", 10_000, 600_000),
            ("", 10_000, 600_000),
            ("0", 1_000, 1_000),
            ("-3", 1_000, 1_000),
            ("nan", 10_000, 1_000),
            ("1e300", 10_000, 600_000),
        ] {
            for (kind, millis) in [(lmcache::ENGINE, engine), (lmcache::MP_SERVER, server)] {
                let mut intervals = Intervals::new(Some(text.to_owned()));
                intervals.begin(&lmcache::V1, kind, start);
                let due = start + Duration::from_millis(millis);
                assert_eq!(intervals.next(), Some(due), "{text:?} {kind}");
            }
        }
    }
}
