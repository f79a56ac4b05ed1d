//! Words that do not go together.

#[derive(otel_usage::UsageRecord)]
#[usage(record = "my_engine.report")]
struct Settings {
    /// Both.
    #[usage(sent = "my_engine.layers", private)]
    layers: u32,
    #[usage(private, unit = "{rank}")]
    ranks: u32,
    /// The model.
    #[usage(sent = "my_engine.model", free_text, sanitize(cap_len(64), path_or_repo_id))]
    model: String,
    /// Chunks.
    #[usage(sent = "my_engine.chunks", absent = 0, left_out)]
    chunks: Option<u32>,
}

fn main() {}
