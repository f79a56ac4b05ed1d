//! A short run of every fuzz target, on the stable compiler.
//!
//! In: `fuzz/`, laid out for cargo-fuzz, which runs the same targets for longer on a nightly. Out:
//! nothing, or the input that broke a target. libFuzzer needs the compiler's coverage pass and no
//! sanitizer: that pass is there on stable, and the code has next to no `unsafe`.

use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::tools;

/// What cargo-fuzz passes, too, without a sanitizer.
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
        return tools::skip("the fuzz targets play Linux machines");
    }
    if !tools::have("c++") {
        return tools::skip("libFuzzer is built by a C++ compiler, and there is none");
    }
    let root = tools::root()?;
    let host = host()?;
    let target = root.join(".cache/fuzz");
    let built = tools::cargo(&root.join("fuzz"))
        // With a target named, build scripts and macros get none of the flags.
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
    ensure!(!names.is_empty(), "no fuzz targets");
    for name in names {
        let (corpus, artifacts) = (target.join("corpus").join(&name), target.join("artifacts"));
        std::fs::create_dir_all(&corpus)?;
        std::fs::create_dir_all(&artifacts)?;
        let output = Command::new(target.join(&host).join("release").join(&name))
            .arg(format!("-max_total_time={seconds}"))
            .args(["-timeout=5", "-rss_limit_mb=1024", "-max_len=4096", "-verbosity=1"])
            .args(["-print_final_stats=1", &format!("-artifact_prefix={}/", artifacts.display())])
            .arg(format!("-dict={}", root.join("fuzz/words.dict").display()))
            .arg(&corpus)
            .output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("{name}: {text}");
        }
        let figure = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.map_or("?", str::trim).to_owned()
        };
        let runs = figure("stat::number_of_executed_units:");
        // Without the coverage pass libFuzzer runs on, blindly.
        ensure!(text.contains("cov: "), "{name} reports no coverage: {text}");
        println!("{name:<14} {runs:>9} runs, no finding");
    }
    Ok(())
}

fn host() -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).context("rustc names no host")
}
