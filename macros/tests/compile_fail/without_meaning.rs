//! A field that is sent and has no meaning; an empty doc comment is none.

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
