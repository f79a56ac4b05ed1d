//! A sanitizer that cannot change a value of the field's type.

type Count = Option<u32>;

#[derive(otel_usage::UsageRecord)]
#[usage(record = "my_engine.report")]
struct Settings {
    /// Layers of the model.
    #[usage(sent = "my_engine.layers", sanitize(scheme_only))]
    layers: Count,
    /// The model.
    #[usage(sent = "my_engine.model", sanitize(path_or_repo_id, round_significant(2)))]
    model: String,
    /// Whether it is fast.
    #[usage(sent = "my_engine.fast", free_text)]
    fast: bool,
}

fn main() {}
