//! Tests the Python package with each Python that is here: the installed wheel, never the sources.

use std::path::{Path, PathBuf};
use std::process::Command;

use otel_usage_testing::python::Originals;

use crate::tools;
use crate::wheels::host_wheel;

/// The folder of the package.
pub(crate) const PACKAGE: &str = "bindings/python";

/// The minor versions of Python 3 that the package supports and that are tested, if they are on this machine.
const MINORS: std::ops::RangeInclusive<u32> = 10..=13;

/// Builds the wheel for this machine (or takes one that is built), checks its types, and runs the package's tests on it,
/// in a clean environment of each Python that is here.
pub(crate) fn test(wheel: Option<PathBuf>, arguments: &[String]) -> anyhow::Result<()> {
    let root = tools::root()?;
    let wheel = match wheel {
        Some(wheel) => std::path::absolute(wheel)?,
        None => host_wheel(root)?,
    };
    let pythons: Vec<(u32, PathBuf)> =
        MINORS.filter_map(|minor| Some((minor, python(minor)?))).collect();
    for minor in MINORS.filter(|minor| !pythons.iter().any(|(there, _)| there == minor)) {
        println!("not tested: Python 3.{minor} is not on this machine");
    }
    let Some((_, newest)) = pythons.last() else {
        return tools::skip("no Python from 3.10 to 3.13 is on this machine");
    };
    types(root, newest)?;
    if let Err(because) = Originals::wheels() {
        tools::skip(&format!("the package beside vLLM's original: {because}"))?;
    }
    let tests = root.join(PACKAGE).join("tests");
    for (minor, python) in &pythons {
        println!("Python 3.{minor}");
        let mut lists = vec!["bindings/python/requirements-test.txt"];
        // The original takes seconds for each report, so that it runs beside the package in one Python only.
        let beside = python == newest;
        if beside {
            // The imports of the original.
            lists.push("tests/interop/requirements.txt");
        }
        let clean = environment(root, &format!("python-3.{minor}"), python, &lists)?;
        install(&clean, &wheel)?;
        // Another folder than that of the sources, so that the wheel is what is imported.
        let elsewhere = tempfile::tempdir()?;
        let mut run = Command::new(&clean);
        run.args([
            "-m",
            "pytest",
            "--quiet",
            "-rs",
            "-p",
            "no:cacheprovider",
            "--import-mode=importlib",
        ]);
        if !beside {
            run.arg("--ignore").arg(tests.join("test_vllm_original.py"));
        }
        run.arg(&tests).args(arguments).current_dir(elsewhere.path());
        run.env("PYTHONDONTWRITEBYTECODE", "1");
        tools::run(&mut run, &format!("the Python package fails with Python 3.{minor}"))?;
    }
    Ok(())
}

/// Checks the types of the package and of the examples.
fn types(root: &Path, with: &Path) -> anyhow::Result<()> {
    let python =
        environment(root, "python-types", with, &["bindings/python/requirements-types.txt"])?;
    for checker in ["mypy", "pyright"] {
        let mut check = Command::new(&python);
        check.args(["-m", checker]).current_dir(root.join(PACKAGE));
        if checker == "mypy" {
            check.arg("--cache-dir").arg(tools::target(root)?.join("mypy"));
        } else {
            check.arg("--pythonpath").arg(&python);
        }
        println!("types, by {checker}");
        tools::run(&mut check, &format!("{checker} finds an error in the Python package"))?;
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

/// Returns the Python of the virtual environment `name` that has the packages of these lists, which are files of the
/// checkout, and makes it if it is not there.
pub(crate) fn environment(
    root: &Path,
    name: &str,
    with: &Path,
    lists: &[&str],
) -> anyhow::Result<PathBuf> {
    let lists: Vec<PathBuf> = lists.iter().map(|list| root.join(list)).collect();
    let wanted = lists.iter().map(std::fs::read_to_string).collect::<Result<String, _>>()?;
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
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    lists.iter().for_each(|list| {
        install.arg("--requirement").arg(list);
    });
    tools::watched(&format!("installing the packages of {name}"), || {
        tools::run(&mut install, &format!("{name} cannot be installed: PyPI is needed"))
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
