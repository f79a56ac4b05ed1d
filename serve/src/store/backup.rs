//! Copies the file while a server uses it, by SQLite's own means.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::file;

/// Writes a copy of the store at `path` into a new file, as it is now. The copy has no free pages.
///
/// # Errors
///
/// The file cannot be read, or the copy exists or cannot be written.
pub fn backup(path: &Path, to: &Path) -> anyhow::Result<()> {
    if to.exists() {
        bail!("{}: it exists: name a new file", to.display());
    }
    let connection = file::open_to_read(path)?;
    let name = to
        .to_str()
        .with_context(|| format!("{}: the name is no Unicode: name another file", to.display()))?;
    // SQLite takes an empty file for a new one.
    file::private(to)
        .and_then(|copy| copy.sync_all())
        .with_context(|| format!("{}: the copy cannot be written", to.display()))?;
    let copied = connection.execute("VACUUM INTO ?1", [name]);
    if copied.is_err() {
        // The part of a copy must not be taken for a backup.
        let _ = std::fs::remove_file(to);
    }
    copied.with_context(|| format!("{}: the copy cannot be written", to.display()))?;
    Ok(())
}
