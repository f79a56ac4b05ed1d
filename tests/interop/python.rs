//! A Python with the packages that the originals use.
//!
//! In: `python3` and the package registry, the first time; the folder `.cache` afterwards. Out: what
//! `originals.py` prints in a given environment, or the reason why it cannot be had.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/originals.py");
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/requirements.txt");

/// Not in the target folder: that is swept away, and the registry asked again.
const CACHE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.cache/interop");

/// What the originals would report in this environment. `None`: they cannot be run here, which is
/// an error under CI.
pub(crate) fn originals(environment: &[(String, String)]) -> Option<Value> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let python = match PYTHON.get_or_init(python) {
        Ok(python) => python,
        Err(because) => {
            let ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
            assert!(!ci, "under CI the originals have to run: {because}");
            println!("not compared with the originals: {because}");
            return None;
        }
    };
    let output = Command::new(python)
        .arg(SCRIPT)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Makes the virtual environment, once for each list of packages.
fn python() -> Result<PathBuf, String> {
    let wanted = std::fs::read_to_string(PACKAGES).map_err(|error| error.to_string())?;
    let folder = Path::new(CACHE);
    let (installed, python) = (folder.join("installed.txt"), folder.join("venv/bin/python"));
    if std::fs::read_to_string(&installed).is_ok_and(|there| there == wanted) && runs(&python) {
        return Ok(python);
    }
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let mut make = Command::new("python3");
    done("python3 -m venv", make.args(["-m", "venv"]).arg(folder.join("venv")).output())?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.args(["--retries", "1", "--timeout", "15", "--requirement", PACKAGES]);
    done("pip install", install.output())?;
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
