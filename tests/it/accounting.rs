//! Self-accounting against a server that plays anything: what the counters say is what happened.

use std::time::Duration;

use otel_usage::Flush;
use otel_usage::schema::vllm;
use proptest::prelude::*;

use crate::receiver::{Answer, Receiver};
use crate::sample;
use crate::support::Operator;

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

proptest! {
    // Real HTTP: a few dozen histories, each of some twenty requests.
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_counters_tell_what_the_server_saw(
        script in prop::collection::vec(any_answer(), 0..20),
        messages in 1_usize..20,
    ) {
        let server = Receiver::scripted(script.clone(), Answer::Status(200, ""));
        let operator = Operator::new()
            .with("VLLM_USAGE_STATS_SERVER", server.url())
            .with("OTEL_USAGE_EXPORTERS", "server");
        let usage = operator.engine(&vllm::V0_4_0).init().unwrap();
        for number in 0..messages {
            let mut report = sample::vllm_report();
            report.block_size = Some(i64::try_from(number).unwrap());
            usage.start(report);
        }
        // Each flush tries the head of the queue once more without waiting for its turn.
        for _ in 0..60 {
            if usage.flush(Duration::from_millis(50)) == Flush::Durable {
                break;
            }
        }
        let stats = usage.stats();
        let account = &stats.sinks[0];
        let dropped: u64 = account.dropped.values().sum();
        prop_assert_eq!(account.accepted, account.delivered + account.queued + dropped);
        prop_assert_eq!(account.accepted, messages as u64);
        prop_assert_eq!(account.queued, 0);

        // What the server answered with 2xx is what counts as delivered, in the order of recording.
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
