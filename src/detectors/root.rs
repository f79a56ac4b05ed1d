//! Turns absolute paths of a [`Machine`] into paths of this process.
//!
//! A described machine is a folder. Neither `..` nor a link leads out of it, or facts of this machine
//! would get into its own. On a live machine the kernel follows links, and nothing is looked up here.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::Machine;

/// Most links on one path, as in the kernel.
const LINKS: u32 = 40;

impl Machine {
    /// Returns an absolute path of the machine as a path of this process. Returns `None` for a
    /// relative path, which has no meaning on a described machine, and for links in a circle.
    pub(super) fn path<'path>(&self, path: &'path str) -> Option<Cow<'path, Path>> {
        let path = Path::new(path);
        if !path.has_root() {
            return None;
        }
        match self.root() {
            None => Some(Cow::Borrowed(path)),
            Some(root) => Some(Cow::Owned(root.join(confined(root, path)?))),
        }
    }
}

/// Follows every link of a path as seen from `root`; the result is below `root`.
fn confined(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    let mut links = 0_u32;
    // The next part is the last; `None` leads up.
    let mut ahead: Vec<Option<OsString>> = Vec::new();
    push(&mut ahead, path);
    while let Some(part) = ahead.pop() {
        let Some(name) = part else {
            inside.pop();
            continue;
        };
        inside.push(name);
        let Ok(target) = fs::read_link(root.join(&inside)) else {
            continue;
        };
        links = links.checked_add(1).filter(|&links| links <= LINKS)?;
        if target.has_root() {
            inside = PathBuf::new();
        } else {
            inside.pop();
        }
        push(&mut ahead, &target);
    }
    Some(inside)
}

fn push(ahead: &mut Vec<Option<OsString>>, path: &Path) {
    ahead.extend(path.components().rev().filter_map(|component| match component {
        Component::Normal(part) => Some(Some(part.to_owned())),
        Component::ParentDir => Some(None),
        Component::CurDir | Component::Prefix(_) | Component::RootDir => None,
    }));
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;

    #[test]
    fn a_path_never_leaves_the_root() {
        let tree = Tree::new().file("/inside", "yes").file("/a/b/inside", "yes");
        let machine = tree.machine();
        assert_eq!(machine.attribute("/../../inside").as_deref(), Some("yes"));
        assert_eq!(machine.attribute("/a/c/../b/inside").as_deref(), Some("yes"));
        assert_eq!(machine.attribute("inside"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_never_leaves_the_root() {
        let outside = Tree::new().file("/secret", "outside");
        let secret = outside.machine().root().unwrap().join("secret");
        let tree = Tree::new()
            .file("/etc/inside", "yes")
            .symlink("/absolute", "/etc/inside")
            .symlink("/proc/relative", "../../../../etc/inside")
            .symlink("/folder", "/etc")
            .symlink("/twice", "/folder/../etc/./inside")
            .symlink("/circle", "/circle")
            .symlink("/out", secret.to_str().unwrap())
            .symlink("/hosts", "/etc/hosts");
        let machine = tree.machine();
        for path in ["/absolute", "/proc/relative", "/folder/inside", "/twice"] {
            assert_eq!(machine.attribute(path).as_deref(), Some("yes"), "{path}");
            assert!(machine.exists(path), "{path}");
        }
        assert_eq!(machine.names("/folder").collect::<Vec<_>>(), ["inside"]);
        for path in ["/circle", "/out", "/hosts"] {
            assert_eq!(machine.attribute(path), None, "{path}");
            assert!(!machine.exists(path), "{path}");
        }
    }
}
