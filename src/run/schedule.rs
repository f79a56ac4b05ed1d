//! The schedule of heartbeats and of messages at intervals. It is pure: the caller tells it the time.
//!
//! 1. A message begins with the first record that its trigger names; a heartbeat begins with any record.
//! 2. It is due after its first pause, and then after each interval.
//! 3. An interval counts from the moment at which the message before was made. After a suspend there is
//!    therefore one message and not a burst.
//! 4. The end of the run makes the messages whose schedule asks for it; a heartbeat never does.

use std::time::{Duration, Instant};

use otel_usage_schema::{Contract, Trigger};

/// The shortest interval, because no receiver needs messages more often.
const SHORTEST: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// The value of the operator's interval variable.
    interval: Option<String>,
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

/// A message that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// The place of the message in the contract.
    pub(crate) message: usize,
    /// The number of the interval, from 1.
    pub(crate) sequence: i64,
    /// The begin of the interval.
    pub(crate) since: Instant,
    /// The end of the interval.
    pub(crate) now: Instant,
}

impl Schedule {
    pub(crate) const fn new(interval: Option<String>) -> Self {
        Self { interval, running: Vec::new() }
    }

    /// Begins the messages that wait for a record of `kind`.
    pub(crate) fn begin(&mut self, contract: &Contract, kind: &str, now: Instant) {
        for (message, spec) in contract.messages.iter().enumerate() {
            if self.running.iter().any(|running| running.message == message) {
                continue;
            }
            let (interval, first, last) = match &spec.trigger {
                Trigger::Heartbeat { seconds } => {
                    let interval = Duration::from_secs((*seconds).into());
                    (interval, interval, false)
                }
                Trigger::Interval { seconds, schedules } => {
                    let Some(schedule) = schedules.iter().find(|one| one.after == kind) else {
                        continue;
                    };
                    let interval = self.interval(schedule.fractions, *seconds);
                    let first = schedule
                        .first_seconds
                        .map_or(interval, |first| interval.min(Duration::from_secs(first.into())));
                    (interval, first, schedule.last)
                }
                _ => continue,
            };
            if let Some(due) = now.checked_add(first) {
                let running = Running { message, interval, last, due, since: now, sequence: 0 };
                self.running.push(running);
            }
        }
    }

    /// Returns the operator's interval if it parses, else the contract's.
    fn interval(&self, fractions: bool, seconds: u32) -> Duration {
        let text = self.interval.as_deref().map(str::trim);
        let given = if fractions {
            let seconds = text.and_then(|text| text.parse().ok());
            seconds.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds.max(0.0)).ok())
        } else {
            let seconds = text.and_then(|text| text.parse().ok());
            seconds.map(|seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
        };
        given.unwrap_or_else(|| Duration::from_secs(seconds.into())).max(SHORTEST)
    }

    /// Begins all intervals at `now`, and returns the messages whose intervals ended without one.
    pub(crate) fn begin_again(&mut self, now: Instant) -> Vec<usize> {
        for running in &mut self.running {
            running.since = now;
            running.sequence = 0;
            running.due = now.checked_add(running.interval).unwrap_or(running.due);
        }
        self.running.iter().map(|running| running.message).collect()
    }

    /// Returns the time at which the next message is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.running.iter().map(|running| running.due).min()
    }

    /// Returns the next interval of each message, whenever it is due.
    pub(crate) fn upcoming(&self) -> Vec<Due> {
        self.running.iter().map(|running| running.at(running.due)).collect()
    }

    /// Takes the messages that are due at `now`, in the order of the contract.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Due> {
        self.take(now, |running| running.due <= now)
    }

    /// Takes the messages of the end of the run. Nothing is due afterwards.
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
            let one = running.at(now);
            due.push(one);
            running.sequence = one.sequence;
            running.since = now;
            now.checked_add(running.interval).map(|next| running.due = next).is_some()
        });
        due.sort_by_key(|due| due.message);
        due
    }
}

impl Running {
    /// Returns the next interval, ended at `now`.
    const fn at(&self, now: Instant) -> Due {
        let sequence = self.sequence.saturating_add(1);
        Due { message: self.message, sequence, since: self.since, now }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a start to count from; nothing waits")]
mod tests {
    use super::*;
    use otel_usage_schema::{lmcache, vllm};

    fn names(due: &[Due]) -> Vec<(&'static str, i64, u64)> {
        due.iter()
            .map(|due| {
                let name = lmcache::V1.messages[due.message].name.as_ref();
                (name, due.sequence, due.now.duration_since(due.since).as_secs())
            })
            .collect()
    }

    #[test]
    fn engines_report_early_and_then_at_every_interval() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut schedule = Schedule::new(None);
        schedule.begin(&lmcache::V1, lmcache::ENVIRONMENT, start);
        assert_eq!(schedule.next(), None);
        schedule.begin(&lmcache::V1, lmcache::ENGINE, start);
        // A second record of the kind changes nothing.
        schedule.begin(&lmcache::V1, lmcache::ENGINE, at(5));
        assert_eq!(schedule.next(), Some(at(10)));
        assert!(schedule.due(at(9)).is_empty());
        let (usage, lifespan) = ("ContinuousContextMessage", "CacheLifespanMessage");
        assert_eq!(names(&schedule.due(at(10))), [(usage, 1, 10), (lifespan, 1, 10)]);
        assert_eq!(schedule.next(), Some(at(610)));
        // The machine slept: one message, and the next a whole interval later.
        assert_eq!(names(&schedule.due(at(5000))), [(usage, 2, 4990), (lifespan, 2, 4990)]);
        assert_eq!(schedule.next(), Some(at(5600)));
        assert!(schedule.finish(at(5001)).is_empty());
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn servers_wait_a_whole_interval_and_report_at_the_end() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut schedule = Schedule::new(None);
        schedule.begin(&lmcache::V1, lmcache::MP_SERVER, start);
        assert_eq!(schedule.next(), Some(at(600)));
        let (usage, one, two) =
            ("ContinuousContextMessage", "L1UsageMessage", "L2ConnectorUsageMessage");
        assert_eq!(names(&schedule.due(at(600))), [(usage, 1, 600), (one, 1, 600), (two, 1, 600)]);
        assert_eq!(names(&schedule.finish(at(601))), [(usage, 2, 1), (one, 2, 1), (two, 2, 1)]);
    }

    #[test]
    fn heartbeats_begin_with_the_first_record_and_do_not_burst() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut schedule = Schedule::new(None);
        schedule.begin(&vllm::CURRENT, vllm::REPORT, start);
        assert_eq!(schedule.next(), Some(at(600)));
        // The machine slept through three of them.
        assert_eq!(schedule.due(at(2000)).len(), 1);
        assert_eq!(schedule.next(), Some(at(2600)));
        assert!(schedule.finish(at(2601)).is_empty());
    }

    #[test]
    fn interval_variable_is_parsed_as_the_original_does() {
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
                let mut schedule = Schedule::new(Some(text.to_owned()));
                schedule.begin(&lmcache::V1, kind, start);
                let due = start + Duration::from_millis(millis);
                assert_eq!(schedule.next(), Some(due), "{text:?} {kind}");
            }
        }
    }
}
