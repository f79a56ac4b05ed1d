//! A folder of the file system.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::disk::{Disk, Found, LISTED, Listing, Lock, NewFile};
use super::name::Name;
use crate::files;
use crate::sys::{self, Process};
use crate::thread::lock_unless_forked;

/// The locks of this process. The system's lock belongs to the process, so that two threads do not see each
/// other's; and it is lost when any descriptor of the file is closed.
static HELD: Mutex<Vec<(Process, PathBuf)>> = Mutex::new(Vec::new());

/// The folder of the spool.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn open(&self) -> io::Result<File> {
        File::open(&self.0)
    }

    /// Returns the process that holds a lock, 0 if its id is unknown. `None` if there is none.
    pub(super) fn holder(&self, name: &str) -> Option<u32> {
        let path = self.0.join(name);
        // The system frees a lock of this process when the process closes any descriptor of the file. So the file is
        // opened only while nothing here can hold the lock.
        let Some(_claim) = Claim::new(&path) else { return Some(std::process::id()) };
        let mut options = OpenOptions::new();
        let file = files::open(&path, options.read(true)).ok()?;
        sys::holder(&file)
    }

    fn lock_with(&self, name: &str, options: &mut OpenOptions) -> io::Result<Option<Lock>> {
        let path = self.0.join(name);
        let Some(claim) = Claim::new(&path) else { return Ok(None) };
        take(files::open(&path, options.write(true))?, &path, claim)
    }
}

impl Disk for Folder {
    fn folders(&self) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> =
            self.0.ancestors().take_while(|path| may_be_new(path)).map(Path::to_owned).collect();
        folders.reverse();
        folders
    }

    fn make_folder(&self, path: &Path) -> io::Result<bool> {
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn sync_above(&self, path: &Path) -> io::Result<()> {
        path.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
    }

    fn list(&self) -> io::Result<Listing> {
        let mut files = Vec::new();
        let there = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Listing { files, is_cut: false });
            }
            there => there?,
        };
        for file in there {
            let file = file?;
            let Ok(name) = file.file_name().into_string() else { continue };
            if Name::parse(&name).is_none() {
                continue;
            }
            if files.len() >= LISTED {
                return Ok(Listing { files, is_cut: true });
            }
            match file.metadata() {
                Ok(metadata) if metadata.is_file() => {
                    let modified = modified(&metadata);
                    files.push(Found { name, bytes: metadata.len(), modified });
                }
                _ => {}
            }
        }
        Ok(Listing { files, is_cut: false })
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        let path = self.0.join(name);
        let file = files::open(&path, OpenOptions::new().write(true).create_new(true))?;
        Ok(Box::new(Written(file)))
    }

    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        files::read_start(&self.0.join(name), limit)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.open()?.sync_all()
    }

    fn lock(&self, name: &str) -> io::Result<Option<Lock>> {
        self.lock_with(name, OpenOptions::new().create(true).truncate(false))
    }

    fn lock_existing(&self, name: &str) -> io::Result<Option<Lock>> {
        self.lock_with(name, &mut OpenOptions::new())
    }
}

/// Locks the open file of `path`. Returns `None` if another process holds the lock.
fn take(file: File, path: &Path, claim: Claim) -> io::Result<Option<Lock>> {
    if !sys::own(&file)? {
        return Ok(None);
    }
    // The process that held the lock before may have deleted the file.
    match files::is_at(&file, path) {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(Box::new(Locked { _file: file, _claim: claim })))
}

/// Returns whether a folder is missing, or a process of this user may have made it a moment ago.
fn may_be_new(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        #[cfg(unix)]
        Ok(metadata) => std::os::unix::fs::MetadataExt::uid(&metadata) == sys::user_id(),
        #[cfg(not(unix))]
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// Returns the time of the last write. A file without one counts as new.
fn modified(metadata: &fs::Metadata) -> i64 {
    #[cfg(unix)]
    {
        std::os::unix::fs::MetadataExt::mtime(metadata)
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        i64::MAX
    }
}

struct Written(File);

impl NewFile for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// A lock. The file is closed before the claim ends, because closing it later would free the lock of the next.
struct Locked {
    _file: File,
    _claim: Claim,
}

/// The right of one thread of this process to open a lock file.
struct Claim(PathBuf);

impl Claim {
    fn new(path: &Path) -> Option<Self> {
        let mut held = lock_unless_forked(&HELD)?;
        // A child does not hold the locks of its parent.
        held.retain(|(process, _)| !process.is_forked());
        if held.iter().any(|(_, other)| other == path) {
            return None;
        }
        held.push((Process::current(), path.to_owned()));
        Some(Self(path.to_owned()))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(mut held) = lock_unless_forked(&HELD) {
            held.retain(|(_, path)| *path != self.0);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn each_sync_asks_the_system() {
        // The kernel refuses to sync what is on no disk.
        let folder = Folder::new("/proc/self".into());
        assert!(folder.sync_folder().is_err());
        assert!(folder.sync_above(Path::new("/proc/self/x")).is_err());
        assert!(Written(File::open("/proc/self/comm").unwrap()).sync().is_err());
    }

    #[test]
    fn a_lock_whose_file_was_deleted_is_none() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x.lock");
        for made_again in [false, true] {
            let file = File::create(&path).unwrap();
            fs::remove_file(&path).unwrap();
            if made_again {
                fs::write(&path, "").unwrap();
            }
            let claim = Claim::new(&path).unwrap();
            assert!(take(file, &path, claim).unwrap().is_none());
        }
        assert!(Folder::new(home.path().to_owned()).lock("x.lock").unwrap().is_some());
    }
}
