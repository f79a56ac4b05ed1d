//! Builds the wheels of the Python package, and tests the wheel for this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::{rustup, tools};

/// The folder of the package.
const PACKAGE: &str = "bindings/python";

/// The Rust targets of the wheels, each with the oldest C library that its wheel runs with.
const TARGETS: [(&str, &str); 3] = [
    ("x86_64-unknown-linux-gnu", "manylinux2014"),
    ("aarch64-unknown-linux-gnu", "manylinux2014"),
    ("x86_64-unknown-linux-musl", "musllinux_1_2"),
];

/// The minor versions of Python 3 that the package supports and that are tested, if they are on this machine.
const MINORS: std::ops::RangeInclusive<u32> = 10..=13;

/// Builds a wheel for each target, and the source package.
pub(crate) fn wheels(out: Option<PathBuf>) -> anyhow::Result<()> {
    let root = tools::root()?;
    let out = match out {
        Some(out) => out,
        None => tools::target(root)?.join("wheels"),
    };
    let python = builder(root)?;
    for (target, compatibility) in TARGETS {
        rustup::add_target(root, target)?;
        let mut build = maturin(root, &python);
        build.args(["build", "--profile", "wheel", "--locked", "--zig", "--target", target]);
        build.args(["--compatibility", compatibility, "--out"]).arg(&out);
        watched(&format!("building the wheel for {target}"), &mut build)?;
    }
    let mut source = maturin(root, &python);
    source.arg("sdist").arg("--out").arg(&out);
    watched("packing the sources", &mut source)?;
    for entry in std::fs::read_dir(&out)?.flatten() {
        println!("{:>9} bytes  {}", entry.metadata()?.len(), entry.path().display());
    }
    Ok(())
}

/// Builds the wheel for this machine and runs the package's tests on it, in a clean environment of each Python that is
/// here.
pub(crate) fn test(arguments: &[String]) -> anyhow::Result<()> {
    let root = tools::root()?;
    let wheel = host_wheel(root)?;
    let mut tested = 0_u32;
    for minor in MINORS {
        let Some(python) = python(minor) else {
            println!("not tested: Python 3.{minor} is not on this machine");
            continue;
        };
        let clean = environment(
            root,
            &format!("python-3.{minor}"),
            &python,
            "bindings/python/requirements-test.txt",
        )?;
        install(&clean, &wheel)?;
        println!("Python 3.{minor}");
        // Another folder than that of the sources, so that the wheel is what is imported.
        let elsewhere = tempfile::tempdir()?;
        let mut tests = Command::new(&clean);
        tests.args([
            "-m",
            "pytest",
            "--quiet",
            "-p",
            "no:cacheprovider",
            "--import-mode=importlib",
        ]);
        tests.arg(root.join(PACKAGE).join("tests")).args(arguments);
        tests.current_dir(elsewhere.path()).env("PYTHONDONTWRITEBYTECODE", "1");
        tools::run(&mut tests, &format!("the Python package fails with Python 3.{minor}"))?;
        tested += 1;
    }
    if tested == 0 {
        return tools::skip("no Python from 3.10 to 3.13 is on this machine");
    }
    Ok(())
}

/// Installs a wheel over an older one, without its dependencies.
pub(crate) fn install(python: &Path, wheel: &Path) -> anyhow::Result<()> {
    let mut install = Command::new(python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.args(["--no-deps", "--no-index", "--force-reinstall"]).arg(wheel);
    tools::run(&mut install, "the wheel cannot be installed")
}

/// Builds the wheel for this machine only, and returns its path.
pub(crate) fn host_wheel(root: &Path) -> anyhow::Result<PathBuf> {
    let out = tools::target(root)?.join("wheels/host");
    let _ = std::fs::remove_dir_all(&out);
    let python = builder(root)?;
    let mut build = maturin(root, &python);
    build.args(["build", "--profile", "wheel", "--locked", "--compatibility", "linux", "--out"]);
    build.arg(&out);
    watched("building the wheel for this machine", &mut build)?;
    let mut made = std::fs::read_dir(&out)?.flatten().map(|entry| entry.path());
    made.find(|path| path.extension().is_some_and(|end| end == "whl"))
        .context("maturin makes a wheel")
}

/// Returns a Python that has what builds a wheel.
fn builder(root: &Path) -> anyhow::Result<PathBuf> {
    environment(
        root,
        "python-build",
        Path::new("python3"),
        "bindings/python/requirements-build.txt",
    )
}

fn maturin(root: &Path, python: &Path) -> Command {
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
    tools::forget_this_package(&mut command);
    command
}

fn watched(what: &str, command: &mut Command) -> anyhow::Result<()> {
    tools::watched(what, || tools::output(command)).map(drop)
}

/// Returns the Python of the virtual environment `name` that has the packages of a list, which is a file of the checkout,
/// and makes it if it is not there.
pub(crate) fn environment(
    root: &Path,
    name: &str,
    with: &Path,
    list: &str,
) -> anyhow::Result<PathBuf> {
    let list = root.join(list);
    let wanted = std::fs::read_to_string(&list)?;
    let folder = root.join(".cache").join(name);
    let (installed, python) = (folder.join("installed.txt"), folder.join("bin/python"));
    let there = std::fs::read_to_string(&installed).is_ok_and(|there| there == wanted);
    if there && tools::succeeds(Command::new(&python).arg("--version")) {
        return Ok(python);
    }
    tools::run(
        Command::new(with).args(["-m", "venv", "--clear"]).arg(&folder),
        "python -m venv failed: install Python with its module venv",
    )?;
    let mut install = Command::new(&python);
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ]);
    install.arg(&list);
    let shown = list.file_name().unwrap_or_default().display().to_string();
    tools::watched(&format!("installing {shown}"), || {
        tools::run(&mut install, &format!("{shown} cannot be installed: PyPI is needed"))
    })?;
    std::fs::write(&installed, wanted)?;
    Ok(python)
}

/// Returns Python 3 of this minor version: from the path, or from the folder of pyenv.
pub(crate) fn python(minor: u32) -> Option<PathBuf> {
    let name = format!("python3.{minor}");
    let works = |path: &Path| tools::succeeds(Command::new(path).args(["-c", "import venv"]));
    let on_path = PathBuf::from(&name);
    if works(&on_path) {
        return Some(on_path);
    }
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let pyenv = pyenv.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")))?;
    let versions = std::fs::read_dir(pyenv.join("versions")).ok()?.flatten();
    versions.map(|entry| entry.path().join("bin").join(&name)).find(|path| works(path))
}
