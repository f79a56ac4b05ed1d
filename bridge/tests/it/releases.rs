//! Checks reports of releases between and after the contracts that the bridge knows.

use otel_usage_testing::served::{Served, to};
use otel_usage_testing::upstream::Upstream;
use serde_json::{Value as Json, json};

use crate::recognise::{golden, logs, send, text};

/// Returns what arrives of a report, and the number of keys that were left out.
async fn reported(report: &Json) -> (Json, f64) {
    let upstream = Upstream::new().await;
    let served = Served::start(&to(&upstream)).await;
    assert_eq!(send(&served, &logs([text(report.to_string())])).await, 200);
    let bodies = upstream.bodies();
    assert_eq!(bodies.len(), 1, "{report}");
    let left_out = served.count(r#"attributes_dropped_total{reason="undeclared_attribute"}"#).await;
    (serde_json::from_str(&bodies[0]).unwrap(), left_out)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_any_release_keeps_its_known_keys_and_gets_no_others() {
    for file in ["vllm-v0.4.0.json", "vllm-0.7.json", "vllm-0.11.json", "vllm-current.json"] {
        let whole: Json = serde_json::from_str(&golden(file)).unwrap();
        assert_eq!(reported(&whole).await, (whole.clone(), 0.0), "{file}");
        // A release that dropped one key and added two.
        for dropped in ["quantization", "enable_lora", "num_cpu", "dtype", "log_time"] {
            let mut report = whole.clone();
            let keys = report.as_object_mut().unwrap();
            keys.remove(dropped);
            let expected = Json::Object(keys.clone());
            keys.insert("a_new_setting".to_owned(), json!("secret"));
            keys.insert("another".to_owned(), json!({ "a": [1, 2] }));
            assert_eq!(reported(&report).await, (expected, 2.0), "{file} without {dropped}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_between_two_contracts_is_read_by_the_one_that_knows_more_of_it() {
    // Eight keys of today and the others of October 2025.
    let current: Json = serde_json::from_str(&golden("vllm-current.json")).unwrap();
    let october: Json = serde_json::from_str(&golden("vllm-0.11.json")).unwrap();
    let mut report = october.clone();
    for key in ["max_model_len", "max_num_seqs", "compilation_mode", "enable_eplb"] {
        report[key] = current[key].clone();
    }
    assert_eq!(reported(&report).await, (report.clone(), 0.0));
}
