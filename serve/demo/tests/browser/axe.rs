//! axe-core, which finds what keeps people from reading a page. It is fetched for the tests only and never shipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha512};

const VERSION: &str = "4.14.1";
/// SHA-512 of the package as npm's registry lists it.
const HASH: &str = "1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b73\
                    4f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5";

/// Returns the script, or why it is not to be had.
pub(crate) fn script() -> Result<String, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let archive = folder.join(format!("axe-core-{VERSION}.tgz"));
    if !is_right(&archive) {
        fetch(&folder)?;
    }
    if !is_right(&archive) {
        return Err(format!("npm's axe-core {VERSION} is not the one whose hash is known"));
    }
    let mut tar = Command::new("tar");
    let output = tar.arg("-xzOf").arg(&archive).arg("package/axe.min.js").output();
    let output = output.map_err(|error| format!("tar does not start: {error}"))?;
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

fn fetch(folder: &PathBuf) -> Result<(), String> {
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", &format!("axe-core@{VERSION}"), "--pack-destination"])
        .arg(folder);
    match npm.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            Err(format!("npm pack axe-core: {}", String::from_utf8_lossy(&output.stderr)))
        }
        Err(error) => Err(format!("npm does not start: {error}; install it for axe-core")),
    }
}

fn is_right(archive: &Path) -> bool {
    let Ok(bytes) = std::fs::read(archive) else { return false };
    let hash: String = Sha512::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    hash == HASH
}
