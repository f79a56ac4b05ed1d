//! Keeps the folders of the machine that builds a wheel out of it: its texts about panics, and its list of crates.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::tools;

/// The folders of this machine that a build knows, each with the name that it gets instead. A later one counts before an
/// earlier one.
fn folders(root: &Path) -> anyhow::Result<Vec<(PathBuf, &'static str)>> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let of_rust = |variable: &str, name: &str| {
        let given = std::env::var_os(variable).map(PathBuf::from);
        given.or_else(|| Some(home.as_ref()?.join(name)))
    };
    let mut folders = vec![(root.to_owned(), "otel-usage")];
    folders.push((tools::target(root)?, "target"));
    folders.extend(of_rust("CARGO_HOME", ".cargo").map(|folder| (folder, "cargo")));
    folders.extend(of_rust("RUSTUP_HOME", ".rustup").map(|folder| (folder, "rustup")));
    Ok(folders)
}

/// Returns the value of `CARGO_ENCODED_RUSTFLAGS` with which the compiler writes none of these folders. Cargo's own
/// setting for it, `trim-paths`, is not stable.
pub(crate) fn flags(root: &Path) -> anyhow::Result<String> {
    let given = std::env::var("RUSTFLAGS").unwrap_or_default();
    let mut flags: Vec<String> = given.split_whitespace().map(str::to_owned).collect();
    for (folder, name) in folders(root)? {
        flags.push(format!("--remap-path-prefix={}={name}", folder.display()));
    }
    Ok(flags.join("\u{1f}"))
}

/// Takes this machine's folders out of the wheel's list of crates, into which maturin writes where a crate of the project
/// lies, and fails if a file of the wheel still names one. Returns the unpacked wheel.
pub(crate) fn strip(root: &Path, python: &Path, wheel: &Path) -> anyhow::Result<tempfile::TempDir> {
    let unpacked = tempfile::tempdir()?;
    let mut unpack = Command::new(python);
    unpack.args(["-m", "wheel", "unpack", "--dest"]).arg(unpacked.path()).arg(wheel);
    tools::output(&mut unpack)?;
    let mut folders_in = std::fs::read_dir(unpacked.path())?.flatten();
    let content = folders_in.next().context("a wheel has a folder")?.path();
    let folders = folders(root)?;
    for list in files(&content)?.iter().filter(|file| file.extension() == Some("json".as_ref())) {
        let mut text = std::fs::read_to_string(list)?;
        for (folder, name) in folders.iter().rev() {
            let url = format!("file://{}", folder.display());
            text = text.replace(&url, &format!("file:///{name}"));
        }
        std::fs::write(list, text)?;
    }
    look(&content, &folders).with_context(|| wheel.display().to_string())?;
    let mut pack = Command::new(python);
    pack.args(["-m", "wheel", "pack", "--dest-dir"]);
    pack.arg(wheel.parent().context("a wheel lies in a folder")?).arg(&content);
    tools::output(&mut pack)?;
    Ok(unpacked)
}

/// Fails if a file below `content` names one of these folders.
fn look(content: &Path, folders: &[(PathBuf, &str)]) -> anyhow::Result<()> {
    for file in files(content)? {
        let bytes = std::fs::read(&file)?;
        for (folder, _) in folders {
            ensure!(
                !names(&bytes, folder),
                "{} names a folder of this machine: {}",
                file.strip_prefix(content)?.display(),
                folder.display()
            );
        }
    }
    Ok(())
}

/// Returns whether bytes have the path of this folder, or of something in it.
fn names(bytes: &[u8], folder: &Path) -> bool {
    let path = folder.as_os_str().as_encoded_bytes();
    let is_part = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte))
    };
    // A short path may be a part of another one.
    bytes.windows(path.len()).enumerate().any(|(at, part)| {
        part == path
            && !is_part(at.checked_sub(1).and_then(|before| bytes.get(before)))
            && !is_part(bytes.get(at + path.len()))
    })
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_that_names_a_folder_of_its_builder_is_refused() {
        let content = tempfile::tempdir().unwrap();
        let library = content.path().join("package/library.so");
        std::fs::create_dir(library.parent().unwrap()).unwrap();
        let folders =
            [(PathBuf::from("/build/here"), "here"), (PathBuf::from("/b/cargo"), "cargo")];
        std::fs::write(&library, b"\0panicked at cargo/registry/src/a/lib.rs\0").unwrap();
        look(content.path(), &folders).unwrap();
        std::fs::write(&library, b"\0panicked at /b/cargo/registry/src/a/lib.rs\0").unwrap();
        let error = look(content.path(), &folders).unwrap_err().to_string();
        assert_eq!(error, "package/library.so names a folder of this machine: /b/cargo");
    }

    #[test]
    fn a_folder_is_found_between_other_bytes_and_not_as_a_part_of_another_name() {
        let folder = Path::new("/build/here");
        for text in ["\0/build/here/src/lib.rs", "file:///build/here#1", "/build/here"] {
            assert!(names(text.as_bytes(), folder), "{text}");
        }
        for text in ["/build/here2/src", "x/build/here/src", "/build/her", ""] {
            assert!(!names(text.as_bytes(), folder), "{text}");
        }
    }
}
