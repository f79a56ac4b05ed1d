//! An option, an attribute or a key twice.

#[derive(otel_usage::UsageRecord)]
#[usage(record = "my_engine.report")]
struct Settings {
    /// Layers.
    #[usage(sent = "my_engine.layers", unit = "{layer}")]
    #[usage(unit = "{block}")]
    layers: u32,
    /// Ranks.
    #[usage(sent = "my_engine.ranks")]
    ranks: u32,
    /// Ranks once more.
    #[usage(sent = "my_engine.ranks", wire = "ranks")]
    world_size: u32,
}

fn main() {}
