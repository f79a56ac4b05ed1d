//! Checks fields that the operator omits: null or a sentinel value in flat JSON, absent in OTLP.

use opentelemetry::Key;
use otel_usage::export::ExportRecord;
use otel_usage::schema::{lmcache, vllm};
use otel_usage_testing::Operator;
use otel_usage_testing::sample;

fn has(record: &ExportRecord, attribute: &str) -> bool {
    record.resource().get(&Key::new(attribute.to_owned())).is_some()
        || record.span().attributes.iter().any(|a| a.key.as_str() == attribute)
}

#[test]
fn an_omitted_field_is_sent_as_its_absent_value_and_its_attributes_are_not_sent() {
    let operator = Operator::new().with(
        "OTEL_USAGE_OMIT",
        "platform, platforms,model_name,gpu_count,dtype,machine_id,cpu_family_model_stepping",
    );
    std::fs::create_dir_all(operator.path(".config/lmcache")).unwrap();
    let id = "0b1d7f3e-52a6-4c1b-9f60-3a9be8d0c417";
    std::fs::write(operator.path(".config/lmcache/machine_id"), id).unwrap();

    let vllm = operator
        .engine(&vllm::CURRENT)
        .with_accelerators(sample::accelerators())
        .inspect()
        .unwrap()
        .preview(sample::vllm_report());
    let message: serde_json::Value =
        serde_json::from_str(&vllm[0].message().unwrap().to_json()).unwrap();
    assert_eq!(message["platform"], "");
    assert_eq!(message["dtype"], "");
    assert_eq!(message["gpu_count"], serde_json::Value::Null);
    assert_eq!(message["cpu_family_model_stepping"], ",,");
    // The other fields are there.
    assert_eq!(message["gpu_type"], "NVIDIA H100 80GB HBM3");
    assert_eq!(message["kv_cache_dtype"], "auto");
    for gone in [
        "otel_usage.platform",
        "vllm.model.dtype",
        "otel_usage.accelerator.count",
        "host.cpu.family",
    ] {
        assert!(!has(&vllm[0], gone), "{gone}");
    }
    assert!(has(&vllm[0], "otel_usage.accelerator.name"));

    let lmcache =
        operator.engine(&lmcache::V1).inspect().unwrap().preview(sample::lmcache_engine());
    let messages: Vec<serde_json::Value> = lmcache
        .iter()
        .map(|record| serde_json::from_str(&record.message().unwrap().to_json()).unwrap())
        .collect();
    assert!(messages.iter().all(|message| message["machine_id"] == ""));
    assert_eq!(messages[0]["platforms"], "");
    assert_eq!(messages[0]["gpu_count"], 0);
    assert_eq!(messages[1]["model_name"], "");
    assert!(!format!("{lmcache:?}").contains(id));
    assert!(!has(&lmcache[1], "lmcache.model.name"));
}

#[test]
fn no_field_is_omitted_by_default_and_omission_counts_no_loss() {
    let operator = Operator::new().with("OTEL_USAGE_OMIT", "dtype");
    let usage = operator.engine(&vllm::CURRENT).with_exporters([]).try_init().unwrap();
    usage.record(sample::vllm_report());
    otel_usage_testing::settled(&usage);
    assert!(usage.stats().lost.is_empty(), "{:?}", usage.stats());
}

#[test]
fn an_unknown_name_to_omit_gives_one_warning() {
    for (names, thing) in
        [("uuid", "`uuid`"), ("message_type", "`message_type`"), ("platfrom", "`platfrom`")]
    {
        let operator = Operator::new().with("OTEL_USAGE_OMIT", names);
        let settings = operator.engine(&lmcache::V1).inspect().unwrap().settings().clone();
        assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
        assert!(settings.warnings[0].contains("OTEL_USAGE_OMIT"));
        assert!(settings.warnings[0].contains(thing), "{:?}", settings.warnings);
    }
    // A field of another engine is not a mistake, because one list may serve both engines.
    let operator = Operator::new().with("OTEL_USAGE_OMIT", "platform,platforms");
    assert!(
        operator.engine(&lmcache::V1).inspect().unwrap().settings().clone().warnings.is_empty()
    );
}

#[test]
fn an_omitted_counter_counts_nothing_and_no_loss() {
    let operator = Operator::new()
        .with("OTEL_USAGE_OMIT", "interval_num_stored_tokens,cache_lifespan_histogram")
        .with("OTEL_USAGE_EXPORTERS", "none");
    let usage = operator.engine(&lmcache::V1).try_init().unwrap();
    usage.counter(lmcache::usage::TOKENS_STORED).add(7);
    usage.counter(lmcache::usage::TOKENS_HIT).add(7);
    assert!(usage.stats().lost.is_empty(), "{:?}", usage.stats());
    let preview =
        operator.engine(&lmcache::V1).inspect().unwrap().preview_run(sample::lmcache_engine());
    assert!(!has(&preview.interval[0], lmcache::usage::TOKENS_STORED));
    assert!(has(&preview.interval[0], lmcache::usage::TOKENS_HIT));
}
