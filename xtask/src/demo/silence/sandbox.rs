//! A sandbox without network, in which every file system is read-only and the user is not root.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The user id of `nobody`.
const NOBODY: u32 = 65_534;

/// Makes every mount read-only, says so, and keeps the namespaces until standard input ends.
const HOLD: &str = "\
mount --make-rprivate / || exit 1
for place in $(cut -d' ' -f5 /proc/self/mountinfo); do mount -o remount,bind,ro \"$place\" 2>/dev/null; done
if touch \"$1/is-read-only\" 2>/dev/null; then exit 1; fi
echo ready; read -r _";

/// The namespaces, or none if the kernel permits none.
pub(super) struct Sandbox {
    holder: Option<Child>,
    root: bool,
}

impl Sandbox {
    /// Makes the namespaces, and checks that `work` is read-only in them.
    pub(super) fn new(work: &Path) -> anyhow::Result<Self> {
        let root = fs::metadata(work)?.uid() == 0;
        let mut command = Command::new("unshare");
        if !root {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--net", "--mount", "sh", "-c", HOLD, "sh"]).arg(work);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = child.spawn().ok();
        let ready = holder.as_mut().and_then(|child| {
            let mut line = String::new();
            BufReader::new(child.stdout.as_mut()?).read_line(&mut line).ok()?;
            (line == "ready\n").then_some(())
        });
        if ready.is_none() {
            end(holder.take());
        }
        Ok(Self { holder, root })
    }

    /// Returns what the runs are shut in by, in words.
    pub(super) fn describe(&self) -> String {
        let user = if self.root { "user nobody" } else { "your user" };
        match self.holder {
            Some(_) => format!(
                "Each run is traced by strace: {user}, no network, and every file system read-only."
            ),
            None => format!(
                "Each run is traced by strace: {user}. This kernel permits no namespaces, so that files could be \
                 written and a network may be there; the trace shows it all the same."
            ),
        }
    }

    pub(super) const fn has_no_network(&self) -> bool {
        self.holder.is_some()
    }

    /// Returns a command that runs `program` in the sandbox, with only the variable `HOME`, and writes its system
    /// calls to the file `trace`. `options` are for strace.
    pub(super) fn command(
        &self,
        trace: &Path,
        options: &[&str],
        home: &Path,
        program: &Path,
    ) -> Command {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-s", "200", "-o"]).arg(trace).args(options);
        if let Some(holder) = &self.holder {
            command.arg("nsenter").arg(format!("--target={}", holder.id()));
            if !self.root {
                command.args(["--user", "--preserve-credentials"]);
            }
            command.args(["--mount", "--net", "--"]);
        }
        if self.root {
            command.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
            command.arg("--no-new-privs");
        }
        command.arg("env").arg("--chdir").arg(home).arg("--unset=PATH").arg(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", home);
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        end(self.holder.take());
    }
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        drop(child.stdin.take());
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Gives everything below a folder, and the folder, to the user of the sandbox.
pub(super) fn give(folder: &Path) -> std::io::Result<()> {
    if fs::symlink_metadata(folder)?.uid() != 0 {
        return Ok(());
    }
    if fs::symlink_metadata(folder)?.is_dir() {
        for entry in fs::read_dir(folder)? {
            give(&entry?.path())?;
        }
    }
    lchown(folder, Some(NOBODY), Some(NOBODY))
}

/// Removes a folder, also one below which permissions are missing.
pub(super) fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::set_permissions(entry.path(), Permissions::from_mode(0o700));
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir_all(folder);
}
