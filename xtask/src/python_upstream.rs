//! Runs LMCache's own tests of its usage reporting over the Python package, and compares what both post.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::{python, tools, wheels};

/// The release whose tests run.
const LMCACHE: &str = "lmcache==0.5.6";

/// The test that fails, because `DO_NOT_TRACK` switches reports off here whatever its value is.
const STRICTER: &str = "test_usage_telemetry.py::TestOptOut::test_do_not_track_env_unset_values";

pub(crate) fn run() -> anyhow::Result<()> {
    let root = tools::root()?;
    let Some(with) = python::python(11) else {
        return tools::skip("Python 3.11, for which LMCache is published, is not on this machine");
    };
    let python = python::environment(
        root,
        "python-upstream",
        &with,
        &["bindings/python/requirements-upstream.txt"],
    )?;
    let wheel = wheels::host_wheel(root)?;
    pip(&python, &["install", "--no-deps", LMCACHE])?;
    python::install(&python, &wheel)?;

    let folder = root.join(".cache/python-upstream/tests");
    std::fs::create_dir_all(&folder)?;
    // The tests are in the source package alone.
    let to = folder.to_str().context("a path that is text")?;
    let source = ["download", "--no-deps", "--no-build-isolation", "--no-binary", "lmcache"];
    pip(&python, &[source.as_slice(), &["--dest", to, LMCACHE]].concat())?;
    let archive = folder.join("lmcache-0.5.6.tar.gz");
    let mut unpack = Command::new(&python);
    unpack.args(["-m", "tarfile", "--extract"]).arg(archive).arg(&folder);
    tools::run(&mut unpack, "the source package of LMCache cannot be unpacked")?;
    // Elsewhere, so that neither LMCache's sources nor ours are what is imported.
    let elsewhere = tempfile::tempdir()?;
    let name = "test_usage_telemetry.py";
    let test = folder.join("lmcache-0.5.6/tests").join(name);
    std::fs::copy(test, elsewhere.path().join(name))?;

    let mut tests = Command::new(&python);
    tests.args(["-m", "pytest", "--quiet", "-p", "otel_usage.testing.shim", name]);
    tests.args(["--deselect", STRICTER]).current_dir(elsewhere.path());
    tools::run(&mut tests, "a test of LMCache's fails over this package: see above")?;

    // Then LMCache's posts and ours, one scenario after the other.
    pip(&python, &["download", "--no-deps", "--only-binary", "lmcache", "--dest", to, LMCACHE])?;
    let mut files = std::fs::read_dir(&folder)?.flatten().map(|entry| entry.path());
    let wheel = files.find(|path| path.extension().is_some_and(|end| end == "whl"));
    let mut compared = Command::new(&python);
    compared.args(["-m", "pytest", "--quiet", "-p", "no:cacheprovider", "--import-mode=importlib"]);
    compared.arg(root.join("bindings/python/upstream")).current_dir(elsewhere.path());
    compared.env("LMCACHE_WHEEL", wheel.context("pip has downloaded a wheel")?);
    tools::run(&mut compared, "what is posted differs from LMCache's: see above")
}

fn pip(python: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]).args(arguments);
    tools::watched("fetching LMCache", || tools::run(&mut pip, "PyPI is needed"))
}
