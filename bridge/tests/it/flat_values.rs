//! Checks values of flat JSON that arrive in another form than the engine's: what can be read is the same
//! value, and what cannot be read costs its field only.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};
use otel_usage_testing::json::python_form;
use otel_usage_testing::served::{Served, to};
use otel_usage_testing::upstream::Upstream;
use serde_json::{Value as Json, json};

use crate::recognise::{arrives, golden, kvlist, logs, send, text};

/// Changes every number of a body by `change`, as a collector's parser does.
fn numbers(any: Any, change: &impl Fn(f64) -> Any) -> Any {
    let value = |any: AnyValue| AnyValue { value: any.value.map(|any| numbers(any, change)) };
    match any {
        Any::IntValue(number) => change(number as f64),
        Any::DoubleValue(number) => change(number),
        Any::ArrayValue(list) => {
            Any::ArrayValue(ArrayValue { values: list.values.into_iter().map(value).collect() })
        }
        Any::KvlistValue(mut map) => {
            for entry in &mut map.values {
                entry.value = entry.value.take().map(value);
            }
            Any::KvlistValue(map)
        }
        any => any,
    }
}

/// Returns the metric of attributes that were lost for this reason.
async fn lost(served: &Served, reason: &str) -> f64 {
    served.count(&format!("attributes_dropped_total{{reason=\"{reason}\"}}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_arrive_as_doubles_or_text_are_the_same_numbers() {
    for file in [
        "vllm-current.json",
        "vllm-0.11.json",
        "lmcache-v1-engine-no-remote.json",
        "lmcache-v1-cache-lifespan.json",
    ] {
        let mut flat: Json = serde_json::from_str(&golden(file)).unwrap();
        if !flat["log_time"].is_null() {
            // A double holds no more of it.
            flat["log_time"] = json!(1_787_206_513_123_456_000_i64);
        }
        let expected = python_form(&flat.to_string());
        for change in [&Any::DoubleValue as &dyn Fn(f64) -> Any, &|number| text(number.to_string())]
        {
            let body = numbers(kvlist(&flat), &|number| change(number));
            let arrived = arrives(body).await;
            let arrived: Json = serde_json::from_str(&arrived[0].1).unwrap();
            assert_eq!(arrived, serde_json::from_str::<Json>(&expected).unwrap(), "{file}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_cannot_be_used_follow_the_null_rule_and_are_counted() {
    let odd: [(Json, &str); 7] = [
        (json!(1.5), "wrong_type"),
        (json!("many"), "wrong_type"),
        (json!(true), "wrong_type"),
        (json!([1]), "wrong_type"),
        (json!({ "a": 1 }), "wrong_type"),
        (json!(1e19), "wrong_type"),
        (json!("1e400"), "wrong_type"),
    ];
    for (value, reason) in odd {
        let upstream = Upstream::new().await;
        let served = Served::start(&to(&upstream)).await;
        let mut flat: Json = serde_json::from_str(&golden("vllm-current.json")).unwrap();
        flat["num_cpu"] = value.clone();
        flat["log_time"] = value.clone();
        flat["cpu_family_model_stepping"] = json!("6,85");
        let flat = flat.to_string();
        assert_eq!(send(&served, &logs([text(flat)])).await, 200);
        let arrived: Json = serde_json::from_str(&upstream.bodies()[0]).unwrap();
        assert_eq!(arrived["num_cpu"], Json::Null, "{value}");
        // The time of receipt.
        assert_eq!(arrived["log_time"], 1_787_206_513_000_000_000_i64, "{value}");
        assert_eq!(arrived["cpu_family_model_stepping"], ",,", "{value}");
        assert_eq!(lost(&served, reason).await, 3.0, "{value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_python_writes_beside_the_standard_costs_its_field() {
    let upstream = Upstream::new().await;
    let served = Served::start(&to(&upstream)).await;
    let flat = golden("vllm-current.json")
        .replace("\"gpu_memory_utilization\": 0.9", "\"gpu_memory_utilization\": NaN")
        .replace("\"production-docker-image\"", "\"\\udcff-image\"")
        .replace("\"num_experts\": 0", "\"num_experts\": -Infinity");
    assert_eq!(send(&served, &logs([text(flat)])).await, 200);
    let arrived: Json = serde_json::from_str(&upstream.bodies()[0]).unwrap();
    assert_eq!(arrived["gpu_memory_utilization"], Json::Null);
    assert_eq!(arrived["source"], "production");
    assert_eq!(arrived["num_experts"], 0);
    assert_eq!(arrived["model_architecture"], "LlamaForCausalLM");
    assert_eq!(lost(&served, "not_finite").await, 2.0);
    assert_eq!(lost(&served, "wrong_type").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_histogram_arrives_as_it_was_or_not_at_all() {
    let flat: Json = serde_json::from_str(&golden("lmcache-v1-cache-lifespan.json")).unwrap();
    let counts = flat["cache_lifespan_histogram"].as_object().unwrap().clone();
    assert!(counts.values().any(|count| count != 0));
    let arrived = arrives(kvlist(&flat)).await;
    assert_eq!(serde_json::from_str::<Json>(&arrived[0].1).unwrap(), flat);
    let without = |key: &str| {
        let mut counts = counts.clone();
        counts.remove(key);
        Json::Object(counts)
    };
    let with = |key: &str, count: Json| {
        let mut counts = counts.clone();
        counts.insert(key.to_owned(), count);
        Json::Object(counts)
    };
    for odd in [
        Json::Null,
        json!([1, 2, 3]),
        json!("0"),
        json!({}),
        without("5"),
        with("7", json!(1)),
        with("5.0", json!(1)),
        with("5", json!(-1)),
        with("5", json!("many")),
        with("5", json!({ "nested": 1 })),
    ] {
        let upstream = Upstream::new().await;
        let served = Served::start(&to(&upstream)).await;
        let mut changed = flat.clone();
        changed["cache_lifespan_histogram"] = odd.clone();
        assert_eq!(send(&served, &logs([kvlist_or_null(&changed)])).await, 200);
        assert_eq!(upstream.bodies(), Vec::<String>::new(), "{odd}");
        assert_eq!(served.count(r#"records_dropped_total{reason="no_histogram"}"#).await, 1.0);
    }
}

/// Returns a body as text, because OTLP's own map has no `null`.
fn kvlist_or_null(flat: &Json) -> Any {
    text(flat.to_string())
}
