//! A field that does not say whether it may leave.

#[derive(otel_usage::UsageRecord)]
#[usage(record = "my_engine.report")]
struct Settings {
    /// Layers of the model.
    layers: u32,
    #[usage(private)]
    token: String,
    /// The second one, in the same build.
    #[usage()]
    model: String,
}

fn main() {}
