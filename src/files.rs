//! Files of the operator: bounded reads, and writes that stay private whatever the process's umask is.
//!
//! Each function takes regular files only and never waits for the other end of a pipe.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

/// Reads a whole file, unless it is longer than `limit` bytes.
///
/// # Errors
///
/// As [`read_start`], and `FileTooLarge`.
#[cfg(any(feature = "config-file", feature = "http"))]
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let bytes = read_start(path, limit)?;
    if bytes.len() as u64 > limit {
        let what = format!("it is longer than {limit} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// Reads the first `limit + 1` bytes of a file, so that a longer file can be told from its start.
///
/// # Errors
///
/// `InvalidInput` for a pipe, a device or anything else that is no regular file, and those of the system.
pub(crate) fn read_start(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = regular(options.open(path)?)?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes a folder and those above it, unless they are there.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens a file for writing, or makes it.
///
/// # Errors
///
/// As [`read_start`]. A symbolic link that another user has put in the file's place is refused too.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW);
        match options.open(path) {
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => check_link(path)?,
            opened => return regular(opened?),
        }
        options.custom_flags(libc::O_NONBLOCK);
    }
    regular(options.open(path)?)
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
}

/// Allows a link of this user or of the administrator.
#[cfg(unix)]
fn check_link(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = fs::symlink_metadata(path)?.uid();
    if owner == 0 || owner == crate::sys::user_id() {
        return Ok(());
    }
    Err(io::Error::other("it is a symbolic link that belongs to another user"))
}

/// Returns whether `path` still names the open file. Systems without such identities say yes.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (here, there) = (file.metadata()?, fs::symlink_metadata(path)?);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Ok((here.dev(), here.ino()) == (there.dev(), there.ino()))
    }
    #[cfg(not(unix))]
    Ok(here.is_file() == there.is_file())
}
