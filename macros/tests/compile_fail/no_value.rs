//! A type that cannot become an attribute.

enum Mode {
    Fast,
}

#[derive(otel_usage::UsageRecord)]
#[usage(record = "my_engine.report")]
struct Settings {
    /// The mode.
    #[usage(sent = "my_engine.mode", sanitize(choice("fast")))]
    mode: Mode,
}

fn main() {
    let _ = Mode::Fast;
}
