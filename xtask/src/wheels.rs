//! Builds the wheels of the Python package.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::python::{PACKAGE, environment};
use crate::{rustup, tools, wheel_paths};

/// The Rust targets of the wheels, each with the oldest C library that its wheel runs with.
const TARGETS: [(&str, &str); 3] = [
    ("x86_64-unknown-linux-gnu", "manylinux2014"),
    ("aarch64-unknown-linux-gnu", "manylinux2014"),
    ("x86_64-unknown-linux-musl", "musllinux_1_2"),
];

/// Most bytes of a wheel.
const LARGEST: u64 = 2_000_000;

/// The files that a wheel must have in it: the end of the name of each file.
const PARTS: [&str; 5] =
    ["/_native.abi3.so", "/py.typed", "/_native.pyi", "/licenses/LICENSE", ".cyclonedx.json"];

/// The library by which the C library of Linux unwinds a thread that ends.
const SYSTEM_UNWINDER: &str = "libgcc_s.so.1";

/// The functions that the wheel uses of it: the rest of each name after `_Unwind_`.
const UNWINDER: [&str; 13] = [
    "Backtrace",
    "DeleteException",
    "GetCFA",
    "GetDataRelBase",
    "GetIP",
    "GetIPInfo",
    "GetLanguageSpecificData",
    "GetRegionStart",
    "GetTextRelBase",
    "RaiseException",
    "Resume",
    "SetGR",
    "SetIP",
];

/// Builds a wheel for each target (or only for those that are named), and the source package, and looks into each wheel.
pub(crate) fn run(out: Option<PathBuf>, only: &[String]) -> anyhow::Result<()> {
    let root = tools::root()?;
    let out = match out {
        Some(out) => std::path::absolute(out)?,
        None => tools::target(root)?.join("wheels"),
    };
    let python = builder(root)?;
    let known = TARGETS.map(|(target, _)| target);
    for name in only {
        ensure!(
            known.contains(&name.as_str()),
            "{name}: there are wheels for {}",
            known.join(", ")
        );
    }
    let wanted = |target: &str| only.is_empty() || only.iter().any(|name| name == target);
    for (target, compatibility) in TARGETS.into_iter().filter(|(target, _)| wanted(target)) {
        rustup::add_target(root, target)?;
        let made = tempfile::tempdir_in(tools::target(root)?)?;
        let mut build = maturin(root, &python)?;
        build.args(["build", "--profile", "wheel", "--locked", "--zig", "--target", target]);
        build.args(["--compatibility", compatibility, "--out"]).arg(made.path());
        if target.ends_with("-gnu") {
            let folder = unwinder(root, &python, target)?;
            build.args(["--", "-L"]).arg(folder).args(["-l", "dylib=unwinder"]);
        }
        watched(&format!("building the wheel for {target}"), &mut build)?;
        let wheel = only_file(made.path())?;
        let unpacked = wheel_paths::strip(root, &python, &wheel)?;
        inspect(&python, &wheel, unpacked.path(), target)?;
        keep(&wheel, &out)?;
    }
    if only.is_empty() {
        let made = tempfile::tempdir_in(tools::target(root)?)?;
        let mut source = maturin(root, &python)?;
        source.arg("sdist").arg("--out").arg(made.path());
        watched("packing the sources", &mut source)?;
        keep(&only_file(made.path())?, &out)?;
    }
    Ok(())
}

/// Makes a library to link against in the place of `libgcc_s.so.1`, and returns its folder.
///
/// Python ends a thread that comes back to it at the end of the interpreter, and the C library does so by unwinding the
/// thread's stack with `libgcc_s.so.1`. Frames of Rust have to be unwound by the same library. Zig links an unwinder of
/// its own into the wheel, unless another library has its names; with it, such a thread ends the process with SIGSEGV.
fn unwinder(root: &Path, python: &Path, target: &str) -> anyhow::Result<PathBuf> {
    let folder = tools::target(root)?.join("unwinder").join(target);
    std::fs::create_dir_all(&folder)?;
    let source = folder.join("unwinder.c");
    let functions: String =
        UNWINDER.map(|name| format!("void _Unwind_{name}(void) {{}}\n")).concat();
    std::fs::write(&source, functions)?;
    let mut link = Command::new(python);
    link.args(["-m", "ziglang", "cc", "-target", &target.replace("unknown-", "")]);
    link.args(["-shared", "-nostdlib", &format!("-Wl,-soname,{SYSTEM_UNWINDER}"), "-o"]);
    link.arg(folder.join("libunwinder.so")).arg(&source);
    tools::output(&mut link)?;
    Ok(folder)
}

/// Fails if a wheel is too large, lacks a part, or has something that no user of it needs.
fn inspect(python: &Path, wheel: &Path, unpacked: &Path, target: &str) -> anyhow::Result<()> {
    let bytes = std::fs::metadata(wheel)?.len();
    ensure!(bytes <= LARGEST, "{} has {bytes} bytes, more than {LARGEST}", wheel.display());
    let library = std::fs::read(only_file(unpacked)?.join("otel_usage/_native.abi3.so"))?;
    let needs = |name: &str| library.windows(name.len()).any(|part| part == name.as_bytes());
    ensure!(
        !target.ends_with("-gnu") || needs(SYSTEM_UNWINDER),
        "{} brings an unwinder of its own in the place of {SYSTEM_UNWINDER}",
        wheel.display()
    );
    let list = "import sys, zipfile; print(*zipfile.ZipFile(sys.argv[1]).namelist(), sep='\\n')";
    let names = tools::output(Command::new(python).args(["-c", list]).arg(wheel))?;
    for part in PARTS {
        let there = names.lines().any(|name| name.ends_with(part));
        ensure!(there, "{} has no file {part}", wheel.display());
    }
    let needless = |name: &&str| {
        let known = [".py", ".pyi", ".typed", ".abi3.so"].iter().any(|end| name.ends_with(end));
        !known && !name.contains(".dist-info/")
    };
    let needless: Vec<&str> = names.lines().filter(needless).collect();
    ensure!(needless.is_empty(), "{} has {}", wheel.display(), needless.join(", "));
    Ok(())
}

fn only_file(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut files = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    files.next().context("maturin makes a file")
}

fn keep(file: &Path, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let kept = folder.join(file.file_name().context("a file has a name")?);
    std::fs::copy(file, &kept)?;
    println!("{:>9} bytes  {}", std::fs::metadata(&kept)?.len(), kept.display());
    Ok(())
}

/// Builds the wheel for this machine only, and returns its path.
pub(crate) fn host_wheel(root: &Path) -> anyhow::Result<PathBuf> {
    let out = tools::target(root)?.join("wheels/host");
    let _ = std::fs::remove_dir_all(&out);
    let python = builder(root)?;
    let mut build = maturin(root, &python)?;
    build.args(["build", "--profile", "wheel", "--locked", "--compatibility", "linux", "--out"]);
    build.arg(&out);
    watched("building the wheel for this machine", &mut build)?;
    let wheel = only_file(&out)?;
    wheel_paths::strip(root, &python, &wheel)?;
    Ok(wheel)
}

/// Returns a Python that has what builds a wheel.
fn builder(root: &Path) -> anyhow::Result<PathBuf> {
    environment(
        root,
        "python-build",
        Path::new("python3"),
        &["bindings/python/requirements-build.txt"],
    )
}

fn maturin(root: &Path, python: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(python);
    command.args(["-m", "maturin"]).current_dir(root.join(PACKAGE));
    // The programs of the environment, such as zig, are found by this.
    if let Some(folder) = python.parent() {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&paths));
        if let Ok(paths) = std::env::join_paths(paths) {
            command.env("PATH", paths);
        }
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", wheel_paths::flags(root)?);
    tools::forget_this_package(&mut command);
    Ok(command)
}

fn watched(what: &str, command: &mut Command) -> anyhow::Result<()> {
    tools::watched(what, || tools::output(command)).map(drop)
}
