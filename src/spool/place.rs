//! Decides whether a folder can hold messages that must survive.
//!
//! The check reads the folder and makes nothing.

use std::path::Path;

use crate::files;
use crate::sys;

/// The reason why messages wait in memory only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) why: String,
    /// Whether the operator can and should mend it, which is worth a warning.
    pub(crate) is_mistake: bool,
}

impl Refused {
    fn quiet(why: String) -> Self {
        Self { why, is_mistake: false }
    }
}

/// Checks a folder within a second, because it may be below a network mount whose server is gone.
///
/// # Errors
///
/// Messages must wait in memory.
pub(crate) fn check(folder: &Path) -> Result<(), Refused> {
    let path = folder.to_owned();
    let user = sys::user_id();
    files::in_time(move || Ok(check_here(&path, user, sys::file_system))).unwrap_or_else(|error| {
        Err(Refused::quiet(format!("{} cannot be checked: {error}", folder.display())))
    })
}

/// Checks a folder on this thread, for as long as it takes.
pub(crate) fn check_now(folder: &Path) -> Result<(), Refused> {
    check_here(folder, sys::user_id(), sys::file_system)
}

fn check_here(
    folder: &Path,
    user: u32,
    file_system: impl Fn(&Path) -> Option<u32>,
) -> Result<(), Refused> {
    let there = folder.ancestors().find(|path| path.symlink_metadata().is_ok());
    if let Some(kind) = there.and_then(file_system).and_then(network) {
        // Their locks and syncs keep no promise when a machine or the network fails.
        let why = format!("{} is on a network file system ({kind})", folder.display());
        return Err(Refused::quiet(why));
    }
    let Some(there) = there else { return Ok(()) };
    let found = there.display();
    let metadata = match there.metadata() {
        Err(error) => return Err(Refused::quiet(format!("{found} cannot be read: {error}"))),
        Ok(metadata) => metadata,
    };
    let is_mistake = there == folder;
    let refuse = |what: &str| Err(Refused { why: format!("{found} {what}"), is_mistake });
    if !metadata.is_dir() {
        return refuse("is not a folder; name another in OTEL_USAGE_SPOOL_DIR");
    }
    #[cfg(unix)]
    if there == folder {
        use std::os::unix::fs::MetadataExt as _;
        if metadata.uid() != user {
            return refuse(
                "belongs to another user; name a folder of this user in OTEL_USAGE_SPOOL_DIR, or one below it, \
                 which is then made",
            );
        }
        if metadata.mode() & 0o022 != 0 {
            return refuse(
                "can be written by others; run chmod go-w, or name a folder below it in \
                 OTEL_USAGE_SPOOL_DIR, which is then made",
            );
        }
    }
    if let Err(error) = sys::may_fill(there) {
        let why = format!(
            "{found} cannot be written: {error}; make it writable, or name another in OTEL_USAGE_SPOOL_DIR"
        );
        return Err(Refused::quiet(why));
    }
    let _ = user;
    Ok(())
}

/// Returns the name of the network file system on which `path` is or would be.
pub(crate) fn network_of(path: &Path) -> Option<&'static str> {
    let there = path.ancestors().find(|path| path.symlink_metadata().is_ok())?;
    network(sys::file_system(there)?)
}

/// Returns the name of a network file system, by the number that Linux gives it.
///
/// FUSE is among them: whether a lock or a sync of one means anything depends on the program behind it.
const fn network(number: u32) -> Option<&'static str> {
    Some(match number {
        0x6969 => "NFS",
        0x517b | 0xfe53_4d42 | 0xff53_4d42 => "SMB",
        0x564c => "NCP",
        0x7375_7245 => "Coda",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x0102_1997 => "9P",
        0x00c3_6400 => "Ceph",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x1983_0326 => "BeeGFS",
        0xaad7_aaea => "PanFS",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        0x786f_4256 => "VirtualBox",
        0xbacb_acbc => "VMware",
        0x6573_5546 => "FUSE",
        _ => return None,
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_of_others_or_that_others_can_write_is_refused_with_the_remedy() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("spool");
        let user = sys::user_id();
        assert_eq!(check(&folder), Ok(()), "it is made when it is needed");
        fs::create_dir(&folder).unwrap();
        let mode = |mode| {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
            check_here(&folder, user, sys::file_system)
        };
        for private in [0o700, 0o755, 0o750] {
            assert_eq!(mode(private), Ok(()), "{private:o}");
        }
        for open in [0o777, 0o770, 0o702, 0o1777] {
            let refused = mode(open).unwrap_err();
            assert!(refused.is_mistake && refused.why.contains("chmod go-w"), "{refused:?}");
        }
        mode(0o700).unwrap();
        let refused = check_here(&folder, user.wrapping_add(1), sys::file_system).unwrap_err();
        assert!(refused.is_mistake && refused.why.contains("another user"), "{refused:?}");
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(check(&file).unwrap_err().why.contains("is not a folder"));
        let below = check(&file.join("below")).unwrap_err();
        assert!(!below.is_mistake && below.why.contains("is not a folder"), "{below:?}");
    }

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        for (number, name) in [(0x6969, "NFS"), (0x6573_5546, "FUSE"), (0xff53_4d42, "SMB")] {
            assert_eq!(network(number), Some(name));
        }
        // ext4, xfs, btrfs, tmpfs, overlayfs, ZFS.
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1] {
            assert_eq!(network(local), None, "{local:x}");
        }
    }

    #[test]
    fn a_folder_on_a_network_file_system_is_refused_also_before_it_is_made() {
        let home = tempfile::tempdir().unwrap();
        let user = sys::user_id();
        let folder = home.path().join("a/b");
        let check = |number| check_here(&folder, user, |_| number);
        for () in [(); 2] {
            let refused = check(Some(0x6969)).unwrap_err();
            assert!(!refused.is_mistake && refused.why.contains("(NFS)"), "{refused:?}");
            assert_eq!((check(Some(0xef53)), check(None)), (Ok(()), Ok(())));
            fs::create_dir_all(&folder).unwrap();
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_says_which_file_system_it_is() {
        assert_eq!(sys::file_system(Path::new("/proc")), Some(0x9fa0));
        assert_eq!(sys::file_system(Path::new("/no/such/place")), None);
    }
}
