//! A field that is sent needs a meaning. An empty doc comment does not count.

#[derive(otel_usage::UsageRecord)]
#[usage(record = "my_engine.report")]
struct Settings {
    #[usage(sent = "my_engine.layers")]
    layers: u32,
    ///
    #[usage(sent = "my_engine.ranks")]
    ranks: u32,
}

fn main() {}
