//! Text that leaves as it is, also behind an alias, in a list, and where it is only capped.

type Name = Option<String>;

#[derive(otel_usage::UsageRecord)]
#[usage(record = "my_engine.report")]
struct Settings {
    /// Data type.
    #[usage(sent = "my_engine.dtype")]
    dtype: String,
    /// The model.
    #[usage(sent = "my_engine.model")]
    model: Name,
    /// Adapters.
    #[usage(sent = "my_engine.adapters", sanitize(cap_len(16)))]
    adapters: Vec<String>,
}

fn main() {}
