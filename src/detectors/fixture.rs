//! A machine as a temporary folder, for tests. Dropping the value removes the folder.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use super::Machine;

/// A temporary folder with the files of a machine.
pub(super) struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    /// Creates a machine without files.
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Adds a file.
    pub(super) fn file(self, path: &str, text: &str) -> Self {
        self.bytes(path, text.as_bytes())
    }

    /// Adds a file of any bytes.
    pub(super) fn bytes(self, path: &str, bytes: &[u8]) -> Self {
        File::create(self.place(path)).unwrap().write_all(bytes).unwrap();
        self
    }

    /// Adds a symbolic link.
    #[cfg(unix)]
    pub(super) fn symlink(self, path: &str, target: &str) -> Self {
        std::os::unix::fs::symlink(target, self.place(path)).unwrap();
        self
    }

    /// Adds an executable file.
    #[cfg(unix)]
    pub(super) fn program(self, path: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let tree = self.file(path, "");
        fs::set_permissions(tree.place(path), fs::Permissions::from_mode(0o755)).unwrap();
        tree
    }

    /// Adds a named pipe without a writer.
    #[cfg(unix)]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test, and the call that makes a pipe is unsafe code"
    )]
    pub(super) fn pipe(self, path: &str) -> Self {
        let made = std::process::Command::new("mkfifo").arg(self.place(path)).status().unwrap();
        assert!(made.success());
        self
    }

    /// Returns the machine of these files.
    pub(super) fn machine(&self) -> Machine {
        Machine::at(self.folder.path())
    }

    /// Returns the machine of these files, with an environment.
    pub(super) fn machine_with(&self, environment: &[(&str, &str)]) -> Machine {
        let pairs = environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        self.machine().with_environment(pairs)
    }

    fn place(&self, path: &str) -> PathBuf {
        let place = self.folder.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        place
    }
}
