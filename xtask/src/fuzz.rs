//! Runs every target of `fuzz/` for a short time with the stable compiler.
//!
//! cargo-fuzz runs the same targets longer on a nightly compiler, for its sanitizers. The coverage pass that libFuzzer
//! needs is in the stable compiler too, and code with next to no `unsafe` gains little from sanitizers.

use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::tools;

/// The flags of cargo-fuzz, without its sanitizer.
const FLAGS: [&str; 8] = [
    "--cfg=fuzzing",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

pub(crate) fn smoke(seconds: u32) -> anyhow::Result<()> {
    if !cfg!(target_os = "linux") {
        return tools::skip("the fuzz targets imitate Linux machines and run on Linux only");
    }
    if !tools::have("c++") {
        return tools::skip("c++ is missing, which builds libFuzzer: install a C++ compiler");
    }
    let root = tools::root()?;
    let host = host()?;
    let target = root.join(".cache/fuzz");
    let built = tools::cargo(&root.join("fuzz"))
        // With `--target` the flags do not reach build scripts and macros.
        .args(["build", "--release", "--locked", "--bins", "--target", &host, "--target-dir"])
        .arg(&target)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", FLAGS.join(" "))
        .status()?;
    ensure!(built.success(), "the fuzz targets do not build");

    let mut names: Vec<String> = std::fs::read_dir(root.join("fuzz/fuzz_targets"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().trim_end_matches(".rs").to_owned()))
        .collect::<std::io::Result<_>>()?;
    names.sort();
    ensure!(!names.is_empty(), "fuzz/fuzz_targets/ has no targets");
    for name in names {
        let (corpus, artifacts) = (target.join("corpus").join(&name), target.join("artifacts"));
        std::fs::create_dir_all(&corpus)?;
        std::fs::create_dir_all(&artifacts)?;
        let mut fuzz = Command::new(target.join(&host).join("release").join(&name));
        fuzz.arg(format!("-max_total_time={seconds}"))
            .args(["-timeout=5", "-rss_limit_mb=1024", "-max_len=4096", "-verbosity=1"])
            .args(["-print_final_stats=1", &format!("-artifact_prefix={}/", artifacts.display())])
            .arg(format!("-dict={}", root.join("fuzz/words.dict").display()))
            .arg(&corpus);
        let output = tools::watched(&name, || fuzz.output())?;
        let text = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("{name} fails; the input is in {}: {text}", artifacts.display());
        }
        let figure = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.map_or("?", str::trim).to_owned()
        };
        let runs = figure("stat::number_of_executed_units:");
        // Without the coverage pass libFuzzer still runs, but finds almost nothing.
        ensure!(text.contains("cov: "), "{name} reports no coverage: {text}");
        println!("{name:<14} {runs:>9} runs without a finding");
    }
    Ok(())
}

fn host() -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).context("rustc -vV prints no host")
}
