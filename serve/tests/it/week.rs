//! A made-up fleet that runs for a week, and what is asked of a report about it.

use otel_usage_serve::questions::{Figure, Filter, Report, Window};
use rusqlite::Connection;

use crate::fleet::{DAY, Engine, empty, write};

/// A Monday.
pub(crate) const MONDAY: i64 = 20_003;

pub(crate) const NOW: i64 = (MONDAY + 9) * DAY;

pub(crate) fn week() -> Filter {
    Filter { window: Window::Week, ..Filter::default() }
}

pub(crate) fn figure<'r>(report: &'r Report, id: &str) -> &'r Figure {
    report.figures.iter().find(|figure| figure.id == id).unwrap()
}

/// Returns the labels and the values of one column.
pub(crate) fn column(figure: &Figure, at: usize) -> Vec<(&str, Option<f64>)> {
    figure.rows.iter().map(|row| (row.label.as_str(), row.values[at])).collect()
}

/// Returns `count` engines of vLLM in five networks, which run for the first week.
pub(crate) fn vllm(count: i64, version: &str, accelerator: &str) -> Vec<Engine> {
    let engine = |n: i64| Engine {
        contract: "vllm/current",
        facets: [
            ("version", version),
            ("accelerator", accelerator),
            ("accelerators", if accelerator.contains("A100") { "8" } else { "4" }),
            ("model_architecture", "LlamaForCausalLM"),
            ("dtype", "torch.bfloat16"),
            ("provider", "AWS"),
            ("tensor_parallel_size", "4"),
            ("pipeline_parallel_size", "2"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .to_vec(),
        days: (MONDAY..MONDAY + 7).map(|day| (day, Some(n % 5))).collect(),
        slots: 12,
    };
    (0..count).map(engine).collect()
}

/// Returns `count` engines of LMCache.
pub(crate) fn lmcache(count: i64) -> Vec<Engine> {
    let facets =
        [("version", "0.5.6"), ("l1_bytes", "64424509440"), ("l2_adapters", "nixl_store,fs")];
    let engine = |n: i64| Engine {
        contract: "lmcache/1",
        facets: facets.map(|(name, value)| (name, value.to_owned())).to_vec(),
        days: (MONDAY..MONDAY + 7).map(|day| (day, Some(n % 5))).collect(),
        slots: 12,
    };
    (0..count).map(engine).collect()
}

pub(crate) fn fleet() -> Connection {
    let store = empty();
    write(&store, &vllm(60, "0.11.0", "NVIDIA H100 80GB HBM3"));
    write(&store, &vllm(30, "0.12.1+cu129", "NVIDIA A100-SXM4-80GB"));
    write(&store, &vllm(7, "0.9.2", "/dev/secret"));
    write(&store, &lmcache(40));
    store
}
