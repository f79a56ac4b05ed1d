//! Folders and files that only their owner may use, whatever the process's umask is.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes a folder and those above it, unless they are there.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens a file, or makes it. A symbolic link that another user has put in its place is refused.
///
/// Opening a named pipe without a reader does not block.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW);
        match options.open(path) {
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => check_link(path)?,
            opened => return opened,
        }
        options.custom_flags(libc::O_NONBLOCK);
    }
    options.open(path)
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
