//! Files that the operator names: bounded reads, and writes that stay private whatever the umask is.
//!
//! The rules are those of the library's own helper: regular files only, no wait for the other end of a pipe,
//! no link of another user. The code is not shared. The bridge must not depend on the library, which holds
//! the detectors; the schema knows no file; and a crate that both use would have to be published.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

/// Reads a whole file, unless it is longer than `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    flags(&mut options, rustix::fs::OFlags::NONBLOCK);
    let mut bytes = Vec::new();
    regular(options.open(path)?)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let what = format!("it is longer than {limit} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// Opens a file for reading and appending, or makes it.
///
/// # Errors
///
/// `InvalidInput` for a pipe, a device or anything else that is no regular file. A symbolic link that another
/// user has put in the file's place is refused too.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        flags(&mut options, OFlags::NONBLOCK | OFlags::NOFOLLOW);
        let link = Some(rustix::io::Errno::LOOP.raw_os_error());
        match options.open(path) {
            Err(error) if error.raw_os_error() == link => check_link(path)?,
            opened => return regular(opened?),
        }
        flags(&mut options, OFlags::NONBLOCK);
    }
    regular(options.open(path)?)
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

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
}

#[cfg(unix)]
fn flags(options: &mut OpenOptions, flags: rustix::fs::OFlags) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.custom_flags(flags.bits().cast_signed());
}

/// Allows a link of this user or of the administrator.
#[cfg(unix)]
fn check_link(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = fs::symlink_metadata(path)?.uid();
    if owner == 0 || owner == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::other("it is a symbolic link that belongs to another user"))
}
