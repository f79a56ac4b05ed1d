//! Without the macro: a struct that is taken apart whole does not compile with a member that was added.

use otel_usage::schema::{Attributes, KeyValue, UsageRecord};

struct Settings {
    layers: u32,
    added_later: String,
}

impl UsageRecord for Settings {
    fn kind(&self) -> &str {
        "my_engine.report"
    }

    fn attributes(self) -> Vec<KeyValue> {
        let Self { layers } = self;
        Attributes::new("my_engine.report").with("my_engine.layers", layers).attributes()
    }
}

fn main() {}
