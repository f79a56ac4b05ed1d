//! Writes the command's own files, so that a reader at the same moment finds the old text or the new one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

/// Replaces a file by a rename. Makes its folder, which only its owner can change, if it is missing.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    let mut folder = fs::DirBuilder::new();
    folder.recursive(true);
    // With another mode others might remove or change the file.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(directory)?;
    // The temporary file is removed if a step below fails.
    // Its name would mislead in the error.
    let mut file =
        NamedTempFile::new_in(directory).map_err(|error| io::Error::from(error.kind()))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // Some file systems cannot sync a directory. The text is already in place.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mode");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, "off\n").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
