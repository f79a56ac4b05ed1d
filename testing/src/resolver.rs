//! A resolver whose name server never answers, for a process of a test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The built library, and the file in which it notes each look-up.
#[derive(Debug)]
pub struct NeverResolves {
    library: PathBuf,
    noted: PathBuf,
}

impl NeverResolves {
    /// Builds the library into `folder`. Returns `None` without a C compiler.
    pub fn build(folder: &Path) -> Option<Self> {
        let library = folder.join("never_resolves.so");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/never_resolves.c"))
            .status()
            .ok()?;
        assert!(status.success(), "the resolver does not compile");
        Some(Self { library, noted: folder.join("looked-up") })
    }

    /// Returns the environment of a process that looks names up by it.
    pub fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("NEVER_RESOLVES", &self.noted)]
    }

    /// Waits until a process looks a name up. Returns `false` if none does within `patience`.
    pub fn is_asked(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if std::fs::read(&self.noted).is_ok_and(|text| text.ends_with(b"\n")) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}
