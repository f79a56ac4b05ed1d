//! Words that there are not, and constants that are none.

#[derive(otel_usage::UsageRecord)]
#[usage(record = "my_engine.report")]
struct Settings {
    /// Layers.
    #[usage(sent = "my_engine.layers", units = "{layer}")]
    layers: u32,
    /// Where the weights come from.
    #[usage(sent = "my_engine.weights", sanitize(scheme))]
    weights: String,
    /// Ranks.
    #[usage(sent = "my_engine.ranks", privacy = secret)]
    ranks: u32,
    /// Chunks.
    #[usage(sent = "my_engine.chunks", absent = none)]
    chunks: u32,
    /// The shape.
    #[usage(sent = "my_engine.shape", example = [1, "two"])]
    shape: Vec<i64>,
    /// The cache.
    #[usage(sent = "my_engine.cache", sanitize())]
    cache: String,
    /// The device.
    #[usage(sent = "my_engine.device", sanitize(choice()))]
    device: String,
    /// The name.
    #[usage(sent = "", free_text)]
    name: String,
}

#[derive(otel_usage::UsageRecord)]
#[usage(record = "my_engine.report", endpoint = "v1")]
struct OnTheStruct {}

fn main() {}
