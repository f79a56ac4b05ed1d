//! A folder whose file system never answers, like a network mount whose server is gone.

use std::path::Path;
use std::process::{Command, Output};

/// Mounts a file system whose requests are not read, in a namespace of its own.
const SCRIPT: &str = r#"
exec 3<>/dev/fuse || exit 77
mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 dead "$0" || exit 77
exec timeout --signal KILL 600 "$@"
"#;

/// Runs a program, for which `folder` is dead, in an environment of `variables` only. After ten minutes it
/// is killed.
///
/// Returns `None` where this user may make no such mount.
pub fn run(
    folder: &Path,
    program: &Path,
    args: &[&str],
    variables: &[(&str, &str)],
) -> Option<Output> {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", SCRIPT]).arg(folder).arg(program);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.args(args).env_clear().env("PATH", path).envs(variables.iter().copied());
    let output = command.output().ok()?;
    // `unshare` itself ends with 1.
    let forbidden = output.status.code() == Some(77)
        || String::from_utf8_lossy(&output.stderr).contains("unshare:");
    (!forbidden).then_some(output)
}
