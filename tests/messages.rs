//! Checks the library's own log messages.
//!
//! It is a test program of its own because the worker thread reaches only the subscriber of the whole
//! process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use otel_usage::schema::vllm;
use otel_usage::settings::Env;
use otel_usage::{Attributes, Flush, Usage};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// Remembers events as `LEVEL target: fields`.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Fields(String);
        impl tracing::field::Visit for Fields {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                let _ = write!(self.0, " {field}={value:?}");
            }
        }
        let mut text =
            Fields(format!("{} {}:", event.metadata().level(), event.metadata().target()));
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
}

#[test]
fn the_notice_precedes_the_first_byte_and_each_loss_is_logged_once() {
    let ear = Ear::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(ear.clone()))
        .unwrap();
    let home = tempfile::tempdir().unwrap();
    let url = "http://127.0.0.1:9".to_owned();
    let usage = Usage::builder(&vllm::CURRENT)
        .with_sample_data()
        .with_environment(Env::given([
            ("HOME", home.path().display().to_string()),
            ("OTEL_USAGE_MODE", "on".to_owned()),
            ("OTEL_USAGE_EXPORTERS", "server".to_owned()),
            ("VLLM_USAGE_STATS_SERVER", url),
        ]))
        .try_init()
        .unwrap();
    let heard = |what: &str| {
        ear.0.lock().unwrap().iter().filter(|line| line.contains(what)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(heard("otel_usage"), Vec::<String>::new());
    for _ in 0..3 {
        usage.record(Attributes::new("vllm.report").with("made.up", 1));
        assert_ne!(usage.flush(Duration::from_millis(200)), Flush::Settled);
    }
    // The first attempt is over.
    otel_usage_testing::until(|| !heard("otel_usage::http").is_empty());
    let notices = heard("otel_usage::notice");
    assert_eq!(notices.len(), 1, "{notices:?}");
    let notice = &notices[0];
    assert!(notice.starts_with("INFO") && notice.lines().count() <= 4, "{notice}");
    for part in ["http://127.0.0.1:9", "DO_NOT_TRACK=1", "otel-usage preview"] {
        assert!(notice.contains(part), "{notice}");
    }
    // The notice came before the first attempt.
    let all = ear.0.lock().unwrap().clone();
    let place = |what: &str| all.iter().position(|line| line.contains(what));
    assert!(place("otel_usage::notice") < place("otel_usage::http"), "{all:?}");

    // The log names the place and not the key, because a key may hold any text.
    let losses = heard("undeclared_attribute");
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert!(losses[0].contains("name=\"vllm.report\""), "{losses:?}");
    assert_eq!(heard("made.up"), Vec::<String>::new());
    assert!(losses[0].starts_with("DEBUG otel_usage::loss:"), "{losses:?}");
    // No other event is above debug.
    let loud: Vec<_> =
        heard("otel_usage").into_iter().filter(|line| !line.starts_with("DEBUG")).collect();
    assert_eq!(loud, notices);
}
