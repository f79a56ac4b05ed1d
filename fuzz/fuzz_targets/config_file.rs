//! Resolves decision and settings from any bytes as a configuration file. No file widens an opt-out, no
//! secret is shown, and a second inspection gives the same result.

#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use otel_usage::export::ExporterName;
use otel_usage::schema::vllm;
use otel_usage::settings::Env;
use otel_usage::{Consent, Usage};
use tempfile::TempDir;

static HOME: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// Value of the variable that a file may name as `${S}`.
const SECRET: &str = "s3cret-of-a-variable";

fuzz_target!(|input: (bool, &[u8])| {
    let (local, bytes) = input;
    let (path, home) = (HOME.path().join("f.yaml"), HOME.path().to_str().unwrap());
    // A certificate's path is shown and read, and this target does not cover other files.
    if bytes.windows(7).any(|window| window == b"ca_file") {
        return;
    }
    fs::write(&path, bytes).unwrap();
    let mode = if local { "local" } else { "on" };
    let env = Env::given([
        ("HOME", home),
        ("OTEL_USAGE_MODE", mode),
        ("OTEL_USAGE_CONFIG", path.to_str().unwrap()),
        ("S", SECRET),
    ]);
    let builder = || Usage::builder(&vllm::CURRENT).with_environment(env.clone());
    let (decision, settings) = (
        builder().inspect().unwrap().decision().clone(),
        builder().inspect().unwrap().settings().clone(),
    );
    assert_eq!(&decision, builder().inspect().unwrap().decision(), "a second look finds the same");
    assert!(decision.consent >= if local { Consent::Local } else { Consent::Granted });
    let said = [&settings.warnings[..], &settings.notes[..]].concat();
    assert!(said.iter().all(|line| !line.contains('\n')), "{said:?}");
    let omitted = bytes.windows(4).any(|window| window == b"omit");
    assert!(omitted || said.iter().all(|line| !line.contains(SECRET)), "{said:?}");
    assert_eq!(settings.otlp.is_some(), settings.exporters.contains(&ExporterName::Otlp));
    if decision.consent == Consent::Off {
        assert!(decision.because.contains("f.yaml"), "{}", decision.because);
    }
});
