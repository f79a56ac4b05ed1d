//! A record must be a struct with named fields and must have a kind.

use otel_usage::UsageRecord;

#[derive(UsageRecord)]
#[usage(record = "my_engine.report")]
enum Mode {
    Fast,
}

#[derive(UsageRecord)]
#[usage(record = "my_engine.report")]
struct Layers(u32);

#[derive(UsageRecord)]
#[usage(record = "my_engine.report")]
struct Borrowed<'a> {
    #[usage(private)]
    name: &'a str,
}

#[derive(UsageRecord)]
struct WithoutKind {
    #[usage(private)]
    layers: u32,
}

fn main() {}
