//! Lays the command, its manual pages and its completions out as a package installs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::tools;

/// Each shell, and where its completions go below `share/`.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "bash-completion/completions/otel-usage"),
    ("fish", "fish/vendor_completions.d/otel-usage.fish"),
    ("zsh", "zsh/site-functions/_otel-usage"),
];

pub(crate) fn run(out: Option<PathBuf>, debug: bool) -> anyhow::Result<()> {
    let root = tools::root()?;
    let out = match out {
        Some(out) => out,
        None => tools::target(root)?.join("dist"),
    };
    let command = tools::otel_usage(root, !debug)?;
    copy(&command, &out.join("bin/otel-usage"))?;
    copy(&root.join("LICENSE"), &out.join("share/doc/otel-usage/LICENSE"))?;
    let pages = out.join("share/man/man1");
    tools::output(Command::new(&command).args(["man", "--out"]).arg(&pages))?;
    for (shell, path) in SHELLS {
        let script = tools::output(Command::new(&command).args(["completions", shell]))?;
        write(&out.join("share").join(path), script.as_bytes())?;
    }
    println!("{}", out.display());
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    folder(to)?;
    std::fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    Ok(())
}

fn write(to: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    folder(to)?;
    std::fs::write(to, bytes).with_context(|| to.display().to_string())
}

fn folder(of: &Path) -> anyhow::Result<()> {
    let folder = of.parent().context("a file has a folder")?;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())
}
