//! The Python originals, and a Python with the packages they use.
//!
//! The first use takes both from the package registry; later ones find them in two caches.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The scenarios of `tests/interop`, each of which is one engine.
pub const SCENARIOS: [&str; 9] = [
    "vllm-cuda",
    "vllm-rocm",
    "vllm-xpu",
    "vllm-tpu",
    "vllm-cpu",
    "lmcache-single",
    "lmcache-remote",
    "lmcache-mp",
    "lmcache-mp-idle",
];

/// An installed Python, and the folder of the originals' wheels.
#[derive(Debug)]
pub struct Originals {
    python: PathBuf,
    /// The folder of the wheels. It lies outside the checkout, because one wheel has 340 MB and serves every
    /// checkout.
    wheels: PathBuf,
}

impl Originals {
    /// Returns a command that runs a script of `tests/interop`. It needs the packages, not the wheels.
    pub fn script(&self, name: &str) -> Command {
        script(&self.python, name)
    }

    /// Returns a command that plays a scenario with an original and posts to `url` on this machine.
    pub fn play(&self, scenario: &str, url: &str) -> Result<Command, String> {
        self.play_by(&self.python, "original", scenario, url)
    }

    /// Returns a command that plays a scenario with the Python package in the place of the original.
    ///
    /// `python` has the package and what the originals import.
    pub fn play_package(
        &self,
        python: &Path,
        scenario: &str,
        url: &str,
    ) -> Result<Command, String> {
        self.play_by(python, "package", scenario, url)
    }

    fn play_by(
        &self,
        python: &Path,
        who: &str,
        scenario: &str,
        url: &str,
    ) -> Result<Command, String> {
        let engine = if scenario.starts_with("vllm") { "vllm" } else { "lmcache" };
        let mut command = script(python, &format!("wire/{engine}_{who}.py"));
        command.arg(self.wheel(engine)?).arg(self.scenario(scenario)).arg(url);
        Ok(command)
    }

    /// Returns the wheel of `vllm` or `lmcache`.
    pub fn wheel(&self, engine: &str) -> Result<PathBuf, String> {
        wheel(&self.wheels, engine).ok_or_else(|| {
            format!("no wheel of {engine} in {}: remove that folder", self.wheels.display())
        })
    }

    /// Returns the file of a scenario.
    pub fn scenario(&self, name: &str) -> PathBuf {
        crate::root().join(format!("tests/interop/wire/scenarios/{name}.json"))
    }

    /// Installs the packages without the wheels. The error gives the reason if that is not possible here.
    pub fn packages() -> Result<&'static Self, String> {
        static HERE: OnceLock<Result<Originals, String>> = OnceLock::new();
        HERE.get_or_init(|| {
            Ok(Self { python: python(crate::root())?, wheels: cache()?.join("otel-usage/wheels") })
        })
        .as_ref()
        .map_err(Clone::clone)
    }

    /// Installs the packages and downloads the wheels.
    pub fn wheels() -> Result<&'static Self, String> {
        static HERE: OnceLock<Result<(), String>> = OnceLock::new();
        let originals = Self::packages()?;
        HERE.get_or_init(|| originals.download()).clone()?;
        Ok(originals)
    }

    /// Downloads both wheels from the registry by their hashes, unless they are in the folder.
    fn download(&self) -> Result<(), String> {
        let mut version = Command::new(&self.python);
        let check = "import sys; assert sys.version_info >= (3, 11), \
                     'the originals need Python 3.11, this is ' + sys.version.split()[0]";
        done("python3", version.args(["-c", check]).output())?;
        if ["vllm", "lmcache"].iter().all(|package| wheel(&self.wheels, package).is_some()) {
            return Ok(());
        }
        std::fs::create_dir_all(&self.wheels).map_err(|error| error.to_string())?;
        let mut download = Command::new(&self.python);
        download.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]);
        download.args(["--retries", "1", "--timeout", "15", "--no-deps", "--require-hashes"]);
        // Only pure Python is read, so that any machine may take these.
        download.args(["--only-binary", ":all:", "--python-version", "3.11"]);
        download.args(["--implementation", "cp", "--platform", "manylinux_2_28_x86_64"]);
        download.arg("--requirement").arg(crate::root().join("tests/interop/originals.txt"));
        done("pip download", download.arg("--dest").arg(&self.wheels).output())
    }
}

fn script(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    // Keeps compiled files out of the checkout.
    command.arg("-B").arg(crate::root().join("tests/interop").join(name));
    command
}

fn cache() -> Result<PathBuf, String> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("XDG_CACHE_HOME")
        .or_else(|| Some(folder("HOME")?.join(".cache")))
        .ok_or_else(|| "neither XDG_CACHE_HOME nor HOME says where to keep the wheels".to_owned())
}

fn wheel(folder: &Path, package: &str) -> Option<PathBuf> {
    // The versions that `docs/receiver/compatibility.md` names.
    let start = match package {
        "vllm" => "vllm-0.33.0-",
        _ => "lmcache-0.5.6-",
    };
    std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(start) && name.ends_with(".whl")
    })
}

/// Makes the virtual environment, once for each list of packages. It lies outside the target folder,
/// because that is often deleted, and the registry would have to be asked again.
fn python(root: &Path) -> Result<PathBuf, String> {
    let packages = root.join("tests/interop/requirements.txt");
    let wanted = std::fs::read_to_string(&packages).map_err(|error| error.to_string())?;
    let folder = root.join(".cache/interop");
    let (installed, python) = (folder.join("installed.txt"), folder.join("venv/bin/python"));
    if std::fs::read_to_string(&installed).is_ok_and(|there| there == wanted) && runs(&python) {
        return Ok(python);
    }
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let mut make = Command::new("python3");
    done("python3 -m venv", make.args(["-m", "venv"]).arg(folder.join("venv")).output())?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.args(["--retries", "1", "--timeout", "15", "--requirement"]);
    done("pip install", install.arg(packages).output())?;
    std::fs::write(&installed, wanted).map_err(|error| error.to_string())?;
    Ok(python)
}

fn runs(python: &Path) -> bool {
    Command::new(python).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn done(what: &str, output: std::io::Result<Output>) -> Result<(), String> {
    let output = output.map_err(|error| format!("{what}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{what}: {}", text.trim().lines().last().unwrap_or_default()))
}
