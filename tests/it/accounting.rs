//! Checks the library's counters against a server that gives random answers.

use std::time::{Duration, Instant};

use otel_usage::Flush;
use otel_usage::export::{ExportRecord, Exporter, ExporterStats, Outcome, Turn};
use otel_usage::schema::{Loss, vllm};
use otel_usage_testing::Operator;
use otel_usage_testing::{sample, until};
use proptest::prelude::*;

use crate::receiver::{Answer, Receiver};

fn any_answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        3 => Just(Answer::Status(200, "")),
        1 => Just(Answer::Status(204, "")),
        1 => Just(Answer::Status(301, "Location: /elsewhere\r\n")),
        1 => Just(Answer::Status(400, "")),
        1 => Just(Answer::Status(413, "")),
        1 => Just(Answer::Status(408, "")),
        1 => Just(Answer::Status(429, "Retry-After: 0\r\n")),
        1 => Just(Answer::Status(500, "")),
        1 => Just(Answer::Status(503, "Retry-After: nonsense\r\n")),
        1 => Just(Answer::BreakOff),
    ]
}

/// Replaces each answer that would open the breaker, after which there is one attempt in minutes.
fn below_the_breaker(script: &mut [Answer]) {
    let mut failures = 0;
    for answer in script {
        failures = match answer {
            Answer::Status(408 | 429 | 500.., _) | Answer::BreakOff => failures + 1,
            _ => 0,
        };
        if failures > 5 {
            *answer = Answer::Status(200, "");
            failures = 0;
        }
    }
}

proptest! {
    // A few dozen histories of some twenty requests each, because the HTTP is real.
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn stats_equal_what_the_server_received(
        mut script in prop::collection::vec(any_answer(), 0..20),
        messages in 1_usize..17,
    ) {
        below_the_breaker(&mut script);
        let server = Receiver::scripted(script.clone(), Answer::Status(200, ""));
        let operator = Operator::new()
            .with("VLLM_USAGE_STATS_SERVER", server.url())
            .with("OTEL_USAGE_EXPORTERS", "server");
        let usage = operator.engine(&vllm::V0_4_0).try_init().unwrap();
        for number in 0..messages {
            let mut report = sample::vllm_report();
            report.block_size = Some(i64::try_from(number).unwrap());
            usage.record(report);
        }
        // Each flush tries the head of the queue once more at once, unless there were too many requests.
        for _ in 0..1000 {
            if usage.flush(Duration::from_millis(50)) == Flush::Settled {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let stats = usage.stats();
        let account = &stats.exporters[0];
        let dropped: u64 = account.dropped.values().sum();
        prop_assert_eq!(account.accepted, account.delivered + dropped);
        prop_assert_eq!(account.accepted, messages as u64);
        prop_assert_eq!((account.queued, account.in_flight, account.spooled), (0, 0, 0));

        // Exactly the messages that the server answered with 2xx count as delivered, in the order of recording.
        let answers = script.iter().cloned().chain(std::iter::repeat(Answer::Status(200, "")));
        let taken: Vec<i64> = server
            .requests
            .try_iter()
            .zip(answers)
            .filter(|(_, answer)| matches!(answer, Answer::Status(200..=299, _)))
            .map(|(request, _)| {
                let json: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                json["block_size"].as_i64().unwrap()
            })
            .collect();
        prop_assert_eq!(account.delivered, taken.len() as u64);
        prop_assert!(taken.is_sorted() && taken.windows(2).all(|pair| pair[0] != pair[1]));
    }
}

/// An exporter of an engine's own that queues every message and sends some of them later.
#[derive(Debug)]
struct Queues {
    waiting: usize,
    sends: usize,
}

impl Exporter for Queues {
    fn name(&self) -> &str {
        "queues"
    }

    fn is_network(&self) -> bool {
        false
    }

    fn export(&mut self, record: &ExportRecord) -> Outcome {
        if record.message().is_none() {
            return Outcome::Ignored;
        }
        self.waiting += 1;
        Outcome::Queued
    }

    fn send_queued(&mut self, turn: &mut Turn<'_>) -> Option<Instant> {
        for _ in 0..self.sends.min(self.waiting) {
            turn.delivered();
            self.waiting -= 1;
        }
        None
    }

    fn discard_queued(&mut self) {
        self.waiting = 0;
    }
}

/// Records three messages with such an exporter, finishes, and returns its account.
fn account_of(sends: usize) -> ExporterStats {
    let operator = Operator::new();
    let builder = operator.engine(&vllm::CURRENT).with_exporters([]);
    let usage = builder.with_exporter(Queues { waiting: 0, sends }).init();
    for _ in 0..3 {
        usage.record(sample::vllm_report());
    }
    let wanted = if sends == 0 { Flush::Memory(3) } else { Flush::Settled };
    until(|| usage.flush(Duration::from_millis(200)) == wanted);
    usage.finish();
    let stats = usage.stats();
    let all = stats.exporters.into_iter().find(|one| one.name == "queues").unwrap();
    assert_eq!(all.accepted, all.delivered + all.queued + all.dropped.values().sum::<u64>());
    all
}

#[test]
fn queued_messages_of_an_own_exporter_are_delivered_when_it_says_so() {
    let account = account_of(9);
    assert_eq!((account.accepted, account.delivered, account.queued), (3, 3, 0));
}

#[test]
fn messages_that_an_own_exporter_never_settles_are_abandoned_at_the_end() {
    let account = account_of(0);
    assert_eq!((account.accepted, account.delivered, account.queued), (3, 0, 0));
    assert_eq!(account.dropped[&Loss::Abandoned], 3);
}
