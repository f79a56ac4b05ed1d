//! Makes the table of Arm's processors from the list of numbers and names in `xtask/data`.
//!
//! To take over a newer util-linux, add its numbers and names to the list and change its `version`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

/// The list, and the table that is made from it.
const LIST: &str = "xtask/data/arm-parts.txt";
pub(crate) const TABLE: &str = "src/detectors/cpu/arm_table.rs";

/// Returns the text of [`TABLE`].
pub(crate) fn table(root: &Path) -> anyhow::Result<String> {
    let list = std::fs::read_to_string(root.join(LIST)).context(LIST)?;
    make(&list).context(LIST)
}

fn make(list: &str) -> anyhow::Result<String> {
    let mut version = None;
    let (mut vendors, mut parts) = (String::new(), String::new());
    let mut vendor = None;
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        if let Some(named) = line.strip_prefix("version ") {
            version = Some(named);
            continue;
        }
        let (number, name) = line.trim().split_once(' ').with_context(|| line.to_owned())?;
        if line.starts_with(' ') {
            let vendor = vendor.with_context(|| format!("{line}: no implementer before it"))?;
            writeln!(parts, "    ({vendor}, {number}, {name:?}),")?;
        } else {
            vendor = Some(number);
            writeln!(vendors, "    ({number}, {name:?}),")?;
        }
    }
    let version = version.context("it names no version")?;
    Ok(format!(
        "//! Names of Arm's implementers and parts, as lscpu of {version} prints them.\n//!\n\
         //! `cargo xtask generate` makes this file from `{LIST}`.\n\n\
         /// Implementers and their names, sorted.\npub(super) const VENDORS: &[(u32, &str)] = &[\n{vendors}];\n\n\
         /// Implementer, part and name, sorted.\npub(super) const PARTS: &[(u32, u32, &str)] = &[\n{parts}];\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::make;

    #[test]
    fn a_list_without_version_or_implementer_is_refused() {
        for list in ["0x41 ARM\n", "version x\n  0xd0c Neoverse-N1\n", "version x\n0x41\n"] {
            assert!(make(list).is_err(), "{list}");
        }
        let table = make("# x\nversion util-linux 9\n0x41 ARM\n  0xd0c Neoverse-N1\n").unwrap();
        assert!(table.contains("(0x41, \"ARM\")") && table.contains("lscpu of util-linux 9"));
        assert!(table.contains("(0x41, 0xd0c, \"Neoverse-N1\")"));
    }
}
