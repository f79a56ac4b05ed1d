//! Tests on a simulated clock.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "simulated times are small, and nothing waits for the start to count from"
)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A host and the simulated time.
struct Simulation {
    policy: Policy,
    start: Instant,
    now: Instant,
    /// The times of the attempts since the start.
    attempts: Vec<Duration>,
    told: u32,
}

impl Simulation {
    fn new() -> Self {
        let start = Instant::now();
        Self { policy: Policy::default(), start, now: start, attempts: Vec::new(), told: 0 }
    }

    /// Tries at this moment. Returns the time of the next attempt if none is allowed.
    fn attempt(&mut self, urgent: bool, result: Met, random: u64) -> Option<Instant> {
        if let Err(wait) = self.policy.begin(self.now, urgent, random) {
            assert!(wait.until > self.now, "a busy loop: {:?}", wait.until - self.now);
            return Some(wait.until);
        }
        self.attempts.push(self.now - self.start);
        assert!(self.attempts.len() < 10_000, "a flood");
        self.told += u32::from(self.policy.end(self.now, result, random));
        None
    }

    /// Sleeps and tries as the worker does, until `end` after the start.
    fn run(&mut self, end: Duration, random: u64, result: impl Fn(u32) -> Met) {
        while self.now < self.start + end {
            let number = u32::try_from(self.attempts.len()).unwrap();
            if let Some(until) = self.attempt(false, result(number), random) {
                self.now = until;
            }
        }
        self.now = self.start + end;
    }

    /// Returns the attempts of the time from `begin` to `end`.
    fn between(&self, begin: Duration, end: Duration) -> usize {
        self.attempts.iter().filter(|at| (begin..end).contains(*at)).count()
    }
}

/// Returns the most attempts of any hour.
fn most_an_hour(attempts: &[Duration]) -> usize {
    let mut begin = 0;
    let mut most = 0;
    for (place, at) in attempts.iter().enumerate() {
        while attempts[begin] + HOUR <= *at {
            begin += 1;
        }
        most = most.max(place + 1 - begin);
    }
    most
}

#[test]
fn a_fleet_spreads_its_retries() {
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let times: Vec<Vec<Duration>> = (0..200)
        .map(|_| {
            let mut one = Simulation::new();
            while one.attempts.len() < 12 {
                if let Some(until) = one.attempt(false, Met::Failed(None), rng.next_u64()) {
                    one.now = until;
                }
            }
            one.attempts
        })
        .collect();
    for attempt in 1..12 {
        let different: BTreeSet<_> = times.iter().map(|times| times[attempt].as_millis()).collect();
        assert!(different.len() > 100, "attempt {attempt}: {}", different.len());
        // Also each pause by itself, those of the open breaker included.
        let pause = |times: &Vec<Duration>| (times[attempt] - times[attempt - 1]).as_millis();
        let different: BTreeSet<_> = times.iter().map(pause).collect();
        assert!(different.len() > 100, "pause {attempt}: {}", different.len());
    }
    // The first pause is a random part of two seconds, from its beginning on.
    let first = times.iter().filter(|times| times[1] < FIRST_PAUSE / 2).count();
    assert!((60..140).contains(&first), "{first}");
    assert!(times.iter().all(|times| times[1] <= FIRST_PAUSE));
}

#[test]
fn a_server_that_fails_gets_a_few_attempts_and_then_one_a_period() {
    for random in [0, 1, u64::MAX / 2, u64::MAX] {
        let mut one = Simulation::new();
        one.run(DAY, random, |_| Met::Failed(None));
        let (pauses, probes) = one.attempts.split_at(PAUSES + 1);
        assert!(pauses[PAUSES] <= FIRST_PAUSE * (1 << PAUSES), "{pauses:?}");
        assert!(probes.windows(2).all(|two| two[1] - two[0] >= PERIOD), "{probes:?}");
        assert!(probes.windows(2).all(|two| two[1] - two[0] <= 2 * PERIOD), "{probes:?}");
        assert!(most_an_hour(&one.attempts) <= PAUSES + 1 + 12);
    }
}

#[test]
fn one_answer_closes_the_breaker() {
    let mut one = Simulation::new();
    one.run(HOUR, 7, |_| Met::Failed(None));
    let wait = one.policy.begin(one.now, true, 7).unwrap_err();
    assert!(wait.failing);
    one.now = wait.until;
    assert_eq!(one.attempt(false, Met::Answered, 7), None);
    assert_eq!(one.attempt(false, Met::Answered, 7), None);
}

#[test]
fn an_urgent_caller_skips_a_pause_but_not_the_breaker_nor_what_the_server_asked_for() {
    let mut one = Simulation::new();
    let mut tries = 0;
    while one.attempt(true, Met::Failed(None), 1).is_none() {
        tries += 1;
    }
    assert_eq!(tries, PAUSES + 1);
    let mut one = Simulation::new();
    assert_eq!(one.attempt(true, Met::Failed(Some(MINUTE)), 1), None);
    assert!(one.attempt(true, Met::Answered, 1) >= Some(one.now + MINUTE));
    let mut one = Simulation::new();
    assert_eq!(one.attempt(true, Met::Failed(Some(Duration::ZERO)), 1), None);
    assert_eq!(one.attempt(true, Met::Answered, 1), None);
}

#[test]
fn what_a_server_asks_for_is_obeyed_and_capped() {
    for (asked, least) in [(MINUTE, MINUTE), (HOUR, HOUR), (400 * DAY, HOUR), (Duration::MAX, HOUR)]
    {
        let mut one = Simulation::new();
        one.attempt(false, Met::Failed(Some(asked)), u64::MAX);
        let until = one.attempt(false, Met::Answered, u64::MAX).unwrap();
        let pause = until - one.now;
        assert!((least..=least + FIRST_PAUSE).contains(&pause), "{asked:?}: {pause:?}");
    }
}

#[test]
fn a_host_that_nobody_reaches_gets_three_attempts_in_the_first_hour_and_then_one_a_day() {
    for random in [0, 1, u64::MAX / 2, u64::MAX] {
        let mut one = Simulation::new();
        one.run(30 * DAY, random, |_| Met::Unreached);
        assert_eq!(one.between(Duration::ZERO, HOUR), 3, "{:?}", one.attempts);
        assert!(
            one.attempts[2..].windows(2).all(|two| two[1] - two[0] >= DAY),
            "{:?}",
            one.attempts
        );
        assert!((28..=30).contains(&one.between(HOUR, 30 * DAY)), "{:?}", one.attempts);
        assert_eq!(one.told, 1);
    }
}

#[test]
fn urgent_callers_and_other_exporters_make_no_further_attempt_at_a_host_that_nobody_reaches() {
    let mut one = Simulation::new();
    // A flush every minute, of any exporter of the process.
    for _ in 0..3 * 24 * 60 {
        one.attempt(true, Met::Unreached, 5);
        one.now += MINUTE;
    }
    assert_eq!(one.between(Duration::ZERO, HOUR), 3);
    for day in 0..3 {
        assert!(one.between(HOUR + day * DAY, HOUR + (day + 1) * DAY) <= 1, "{:?}", one.attempts);
    }
    // Attempts that are left of the first three are not kept for later.
    let mut one = Simulation::new();
    one.attempt(true, Met::Unreached, 5);
    one.now += 2 * HOUR;
    assert_eq!(one.attempt(true, Met::Unreached, 5), Some(one.start + DAY + part(HOUR, 5)));
}

#[test]
fn a_flush_does_not_use_up_the_attempts_at_a_host_that_nobody_reaches() {
    let mut one = Simulation::new();
    assert_eq!(one.attempt(true, Met::Unreached, 5), None);
    let second = one.attempt(true, Met::Unreached, 5).unwrap();
    assert!(second >= one.start + MINUTE, "{:?}", second - one.start);
    // All of them are still made, urgent or not.
    one.run(HOUR, 5, |_| Met::Unreached);
    assert_eq!(one.attempts.len(), 3);
    assert!(one.attempts[2] >= 20 * MINUTE, "{:?}", one.attempts);
}

#[test]
fn an_answer_or_an_error_of_the_other_class_ends_the_patience() {
    for result in [Met::Answered, Met::Failed(None)] {
        let mut one = Simulation::new();
        one.run(2 * HOUR, 3, |_| Met::Unreached);
        one.run(3 * DAY, 3, |number| if number < 4 { result } else { Met::Unreached });
        // The host was reached once, so that the breaker decides.
        assert!(one.between(2 * DAY, 3 * DAY) > 100, "{:?}", one.attempts.len());
        assert_eq!(one.told, 1);
    }
}

#[test]
fn attempts_at_the_same_time_wait_for_the_first_results() {
    let mut policy = Policy::default();
    let now = Instant::now();
    for _ in 0..FIRST_ATTEMPTS {
        assert_eq!(policy.begin(now, false, 0), Ok(()));
    }
    let wait = policy.begin(now, false, 0).unwrap_err();
    assert!(wait.until - now <= Duration::from_secs(1));
    policy.end(now, Met::Answered, 0);
    assert_eq!(policy.begin(now, false, 0), Ok(()));
    // Of an open breaker the second gets no attempt either.
    let mut one = Simulation::new();
    one.run(HOUR, 7, |_| Met::Failed(None));
    let due = one.policy.begin(one.now, false, 7).unwrap_err().until;
    assert_eq!(one.policy.begin(due, false, 7), Ok(()));
    assert!(one.policy.begin(due, false, 7).unwrap_err().until >= due + PERIOD);
}

#[test]
fn a_loop_of_an_engine_and_a_long_queue_do_not_flood_a_server() {
    let mut one = Simulation::new();
    one.run(MINUTE, 0, |_| Met::Answered);
    let burst = usize::try_from(BURST).unwrap();
    assert_eq!(one.between(Duration::ZERO, Duration::from_nanos(1)), burst);
    assert!(one.attempts.len() <= burst + 60 * 10, "{}", one.attempts.len());
    // After a rest there is a burst again, and no larger one.
    one.now += HOUR;
    let begin = one.attempts.len();
    while one.attempt(true, Met::Answered, 0).is_none() {}
    assert_eq!(one.attempts.len() - begin, burst);
}

fn any_result() -> impl Strategy<Value = Met> {
    prop_oneof![
        2 => Just(Met::Answered),
        2 => Just(Met::Failed(None)),
        1 => (0_u64..10_000).prop_map(|seconds| Met::Failed(Some(Duration::from_secs(seconds)))),
        1 => Just(Met::Failed(Some(Duration::MAX))),
        3 => Just(Met::Unreached),
    ]
}

/// A caller that sleeps as long as it was told, or comes early, or after a suspend.
fn any_sleep() -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![
        4 => Just(None),
        4 => (0_u64..5_000).prop_map(|millis| Some(Duration::from_millis(millis))),
        1 => (0_u64..100_000).prop_map(|seconds| Some(Duration::from_secs(seconds))),
        // Ten years.
        1 => Just(Some(3650 * DAY)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn attempts_are_bounded_whatever_happens(
        steps in prop::collection::vec(
            (any_result(), any_sleep(), any::<bool>(), any::<u64>()), 1..400),
        kind in 0..3,
    ) {
        let mut one = Simulation::new();
        for (result, sleep, urgent, random) in steps {
            let result = match (kind, result) {
                (1, Met::Answered) => Met::Failed(None),
                (2, _) => Met::Unreached,
                (_, result) => result,
            };
            let until = one.attempt(urgent, result, random);
            one.now += sleep
                .or_else(|| until.map(|until| until - one.now))
                .unwrap_or_default();
        }
        let most = most_an_hour(&one.attempts);
        match kind {
            // No host answers. Urgent callers skip pauses, and what began as a silent host counts for itself.
            1 => prop_assert!(most <= PAUSES + 1 + 12 + 3, "{most}"),
            2 => {
                prop_assert!(most <= 3);
                prop_assert!(one.told <= 1);
                let first = one.attempts[0];
                let later: Vec<_> =
                    one.attempts.iter().filter(|at| **at >= first + HOUR).collect();
                prop_assert!(later.windows(2).all(|two| *two[1] - *two[0] >= DAY));
            }
            _ => prop_assert!(most <= 32 + 10 * 3600),
        }
    }

    #[test]
    fn an_open_breaker_is_probed_once_a_period(
        steps in prop::collection::vec((0_u64..400, any::<bool>(), any::<u64>()), 1..200),
    ) {
        let mut one = Simulation::new();
        while one.attempt(true, Met::Failed(None), 0).is_none() {}
        let begin = one.attempts.len();
        for (seconds, urgent, random) in steps {
            one.now += Duration::from_secs(seconds);
            one.attempt(urgent, Met::Failed(None), random);
        }
        let probes = &one.attempts[begin - 1..];
        prop_assert!(probes.windows(2).all(|two| two[1] - two[0] >= PERIOD), "{probes:?}");
    }
}
