//! When a host may be tried: backoff, a breaker, a rate limit, and patience with a host that cannot be reached.
//!
//! It is pure: the caller tells it the monotonic time, what came of an attempt, and a random number. The wall
//! clock decides nothing, so that a jump of it causes neither a burst nor a stall. There is one policy for
//! each host of the process, because it is the host that has to be spared.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The longest pauses after the first failures: 2, 4, 8, 16, 32 and 64 seconds. Each pause is a random part of
/// it, so that a fleet does not come back at the same moment. Together they take a minute, which is about
/// what the restart of a server takes.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const PAUSES: usize = 6;

/// The shortest pause, because a random part may be nothing.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// After the last pause the breaker opens. From then on there is one attempt a period, and up to a period later,
/// so that a fleet spreads. A server that is away for long gets at most 12 requests an hour of each process.
const PERIOD: Duration = Duration::from_secs(300);

/// Longest `Retry-After` that is obeyed, because a mistake in it must not silence a process for days.
const LONGEST_RETRY_AFTER: Duration = HOUR;

/// Attempts at a time, and the time in which one more is allowed. A full queue, and one that was taken over
/// from a process that ended, are 32 messages. At the shortest interval of a second LMCache makes fewer than ten
/// messages a second. So only a loop of an engine and a long queue on disk have to wait; a full folder of 256
/// messages takes 22 seconds.
const BURST: u32 = 32;
const ONE_MORE: Duration = Duration::from_millis(100);

/// Attempts in the first hour if none leads to a connection. An operator who shut the network off treats an
/// attempt as an incident, and three tell a short disturbance at the start of a machine from that.
const FIRST_ATTEMPTS: u32 = 3;

/// The pauses between those attempts, each up to twice as long, so that all three are within the hour.
const UNREACHED_PAUSES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(20 * 60)];

/// Time after which an attempt without a result is forgotten. It is longer than an attempt takes.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// The result of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// The server answered, be it with a refusal.
    Answered,
    /// The server asks for another attempt, perhaps after this time. So does a connection that was refused
    /// or broke off.
    Failed(Option<Duration>),
    /// There was no connection: the name is unknown, there is no way to the host, or it did not answer.
    Unreached,
}

/// The reason for which no attempt may be made yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    /// The time of the next attempt. It is later than now.
    pub(super) until: Instant,
    /// Whether the host fails. Otherwise it only gets too many requests.
    pub(super) failing: bool,
}

/// The state of one host, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Policy {
    state: State,
    /// The time that the server asked for.
    asked: Option<Instant>,
    /// The time at which a whole burst is allowed again.
    rested: Option<Instant>,
}

#[derive(Debug)]
enum State {
    /// No attempt of this process led to a connection.
    Unreached(Unreached),
    /// Attempts are made at once, or after a pause that an urgent caller may skip.
    Closed { pauses: Option<ExponentialBackoff>, next: Option<Instant> },
    /// The breaker is open: one attempt a period.
    Open { probe: Instant },
}

#[derive(Debug, Default)]
struct Unreached {
    attempts: u32,
    under_way: u32,
    first: Option<Instant>,
    last: Option<Instant>,
    /// The time of the next attempt of the first hour.
    soon: Option<Instant>,
    /// The time of the next attempt after those.
    daily: Option<Instant>,
    told: bool,
}

impl Default for State {
    fn default() -> Self {
        Self::Unreached(Unreached::default())
    }
}

impl Policy {
    /// Begins an attempt. An `urgent` caller skips a pause between attempts and nothing else.
    ///
    /// # Errors
    ///
    /// The attempt must not be made.
    pub(super) fn begin(&mut self, now: Instant, urgent: bool, random: u64) -> Result<(), Wait> {
        let (state, skippable) = match &self.state {
            State::Unreached(unreached) => unreached.next(now),
            State::Closed { next, .. } => (*next, true),
            State::Open { probe } => (Some(*probe), false),
        };
        let state = state.filter(|_| !(urgent && skippable));
        let failing = [state, self.asked].into_iter().flatten().max().filter(|at| *at > now);
        let rate = self.rested.and_then(|rested| {
            let at = rested.checked_sub(ONE_MORE.saturating_mul(BURST.saturating_sub(1)))?;
            (at > now).then_some(at)
        });
        if let Some(until) = failing.max(rate) {
            return Err(Wait { until, failing: failing.is_some() });
        }
        self.rested = self.rested.max(Some(now)).and_then(|rested| rested.checked_add(ONE_MORE));
        match &mut self.state {
            State::Unreached(unreached) => unreached.begin(now),
            State::Closed { .. } => {}
            // Before the result is there, another caller makes no second attempt.
            State::Open { probe } => *probe = after(now, PERIOD, part(PERIOD, random)),
        }
        Ok(())
    }

    /// Notes what came of an attempt. Returns whether to tell the operator now that the host cannot be reached.
    pub(super) fn end(&mut self, now: Instant, met: Met, random: u64) -> bool {
        match met {
            Met::Answered => {
                self.state = State::Closed { pauses: None, next: None };
                self.asked = None;
            }
            Met::Failed(asked) => {
                let pause = self.fail(now, random);
                // Added, because a server asks the whole fleet for the same time.
                self.asked = asked
                    .filter(|asked| !asked.is_zero())
                    .map(|asked| after(now, asked.min(LONGEST_RETRY_AFTER), pause));
            }
            Met::Unreached => {
                if let State::Unreached(unreached) = &mut self.state {
                    return unreached.fail(now, random);
                }
                self.fail(now, random);
            }
        }
        false
    }

    /// Returns the pause after a failure.
    fn fail(&mut self, now: Instant, random: u64) -> Duration {
        if let State::Unreached(_) = self.state {
            self.state = State::Closed { pauses: None, next: None };
        }
        if let State::Closed { pauses, next } = &mut self.state
            && let Some(longest) = pauses.get_or_insert_with(backoff).next()
        {
            let pause = part(longest, random).max(SHORTEST_PAUSE);
            *next = Some(after(now, pause, Duration::ZERO));
            return pause;
        }
        let more = part(PERIOD, random);
        self.state = State::Open { probe: after(now, PERIOD, more) };
        more
    }
}

impl Unreached {
    /// Returns the time of the next attempt, and whether an urgent caller may skip the pause before it.
    fn next(&self, now: Instant) -> (Option<Instant>, bool) {
        let (Some(first), Some(last)) = (self.first, self.last) else { return (None, true) };
        if now.saturating_duration_since(first) < HOUR && self.attempts < FIRST_ATTEMPTS {
            return (self.soon, false);
        }
        // The result of the attempt may be that the host can be reached.
        if self.under_way > 0 && now.saturating_duration_since(last) < FORGOTTEN {
            return (Some(after(now, Duration::from_secs(1), Duration::ZERO)), false);
        }
        (self.daily.or_else(|| last.checked_add(DAY)), false)
    }

    fn begin(&mut self, now: Instant) {
        self.attempts = self.attempts.saturating_add(1);
        self.under_way = self.under_way.saturating_add(1);
        self.first.get_or_insert(now);
        self.last = Some(now);
        self.soon = None;
        self.daily = None;
    }

    fn fail(&mut self, now: Instant, random: u64) -> bool {
        self.under_way = self.under_way.saturating_sub(1);
        let place = usize::try_from(self.attempts).unwrap_or(usize::MAX).saturating_sub(1);
        self.soon =
            UNREACHED_PAUSES.get(place).map(|pause| after(now, *pause, part(*pause, random)));
        self.daily = Some(after(now, DAY, part(HOUR, random)));
        let daily = self.soon.is_none()
            || self.first.is_some_and(|first| now.saturating_duration_since(first) >= HOUR);
        let tell = daily && !self.told;
        self.told |= daily;
        tell
    }
}

/// Returns the time `pause` and `more` after `now`.
fn after(now: Instant, pause: Duration, more: Duration) -> Instant {
    // No pause is longer than a day, so that the sum always fits.
    now.checked_add(pause.saturating_add(more)).unwrap_or(now)
}

/// Returns a random part of `whole`.
fn part(whole: Duration, random: u64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a fraction needs no more digits")]
    let fraction = random as f64 / u64::MAX as f64;
    whole.mul_f64(fraction.clamp(0.0, 1.0))
}

/// Returns the longest pauses, one after the other.
fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(PERIOD)
        .with_max_times(PAUSES)
        .build()
}

#[cfg(test)]
mod tests;
