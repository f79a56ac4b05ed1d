//! The file [`MACHINE_FILE`] of a recorded machine, which holds everything that is not a file.
//!
//! ```json
//! {
//!   "format": 1,
//!   "uname": { "sysname": "Linux", "release": "6.8.0-1031-aws", "machine": "x86_64" },
//!   "libc": { "name": "glibc", "version": "2.35" },
//!   "cpuid": { "00000001": "00830f10 00000000 00000000 00000000" },
//!   "environment": { "RUNPOD_DC_ID": "x" }
//! }
//! ```
//!
//! Registers are `eax ebx ecx edx`. Every part but `format` is optional. Without a C library the
//! machine has musl; without leaves `/proc/cpuinfo` is read. Unknown keys are mistakes, so that a
//! fixture cannot hold something that no reader uses.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::{Machine, VARIABLES, cpu};
use super::redact;
use crate::sys::SystemName;

/// Name of the file of a recorded machine that holds everything that is not a file.
pub const MACHINE_FILE: &str = "machine.json";

/// Version of the format.
const FORMAT: u64 = 1;

/// Most bytes of the file; a full one has about one thousand.
const FILE_BYTES: u64 = 64 * 1024;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    uname: Option<SystemName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    libc: Option<Libc>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    cpuid: BTreeMap<String, String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Libc {
    name: String,
    version: String,
}

impl Machine {
    /// Reads the machine recorded in a folder: its files, and everything else from [`MACHINE_FILE`].
    ///
    /// # Errors
    ///
    /// [`MACHINE_FILE`] cannot be read, is of a newer format, or holds something that no reader uses.
    pub fn recorded(folder: impl AsRef<Path>) -> io::Result<Self> {
        let folder = folder.as_ref();
        let path = folder.join(MACHINE_FILE);
        let mut text = String::new();
        File::open(&path)
            .and_then(|file| file.take(FILE_BYTES).read_to_string(&mut text))
            .map_err(|error| error.to_string())
            .and_then(|_| parse(&text, Self::at(folder)))
            .map_err(|what| io::Error::other(format!("machine `{}`: {what}", path.display())))
    }
}

fn parse(text: &str, mut machine: Machine) -> Result<Machine, String> {
    let all: Description = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if all.format != FORMAT {
        return Err(format!("format {}: this version reads {FORMAT}", all.format));
    }
    if let Some(SystemName { sysname, release, machine: hardware }) = all.uname {
        machine = machine.with_uname(sysname, release, hardware);
    }
    if let Some(Libc { name, version }) = all.libc {
        machine = machine.with_libc(name, version);
    }
    if let Some(name) = all.environment.keys().find(|name| !VARIABLES.contains(&name.as_str())) {
        return Err(format!("no reader uses `{name}`"));
    }
    let mut leaves = BTreeMap::new();
    for (number, registers) in &all.cpuid {
        let (number, registers) = hexadecimal(number).zip(leaf(registers)).ok_or_else(|| {
            format!("`cpuid.{number}` is not four numbers of eight hexadecimal digits")
        })?;
        leaves.insert(number, registers);
    }
    Ok(machine.with_cpuid(leaves).with_environment(all.environment))
}

fn leaf(registers: &str) -> Option<[u32; 4]> {
    let all: Option<Vec<u32>> = registers.split(' ').map(hexadecimal).collect();
    all?.try_into().ok()
}

fn hexadecimal(text: &str) -> Option<u32> {
    let is_number = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// Returns the text of [`MACHINE_FILE`] for a machine, without names and ids.
pub(super) fn describe(machine: &Machine) -> String {
    let leaf = |&leaf: &u32| {
        let [eax, mut ebx, ecx, edx] = machine.cpuid(leaf)?;
        if leaf == cpu::SIGNATURE {
            // It names the CPU that answered, which differs each time and is never used.
            ebx = 0;
        }
        Some((format!("{leaf:08x}"), format!("{eax:08x} {ebx:08x} {ecx:08x} {edx:08x}")))
    };
    let variable =
        |&name: &&str| Some((name.to_owned(), redact::variable(name, machine.variable(name)?)));
    let description = Description {
        format: FORMAT,
        uname: machine.system_name().cloned(),
        libc: machine
            .libc()
            .map(|(name, version)| Libc { name: name.to_owned(), version: version.to_owned() }),
        cpuid: cpu::LEAVES.iter().filter_map(leaf).collect(),
        environment: VARIABLES.iter().filter_map(variable).collect(),
    };
    serde_json::to_string_pretty(&description).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::Tree;
    use super::super::super::{Facts, probe};
    use super::{MACHINE_FILE, Machine};

    fn recorded(description: &str) -> Result<Machine, String> {
        let tree = Tree::new().file(&format!("/{MACHINE_FILE}"), description);
        Machine::recorded(tree.machine().root().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn all_parts_are_read() {
        let machine = recorded(
            r#"{"format": 1, "uname": {"sysname": "Linux", "release": "6", "machine": "x86_64"},
                "libc": {"name": "glibc", "version": "2.35"},
                "cpuid": {"80000002": "0000000a 00000000 00000000 ffffffff"},
                "environment": {"RUNPOD_DC_ID": "x"}}"#,
        )
        .unwrap();
        assert_eq!(machine.system_name().unwrap().release, "6");
        assert_eq!(machine.libc(), Some(("glibc", "2.35")));
        assert_eq!(machine.cpuid(0x8000_0002), Some([10, 0, 0, u32::MAX]));
        assert_eq!(machine.cpuid(0), None);
        assert_eq!(machine.variable("RUNPOD_DC_ID"), Some("x"));
    }

    #[test]
    fn an_empty_folder_gives_no_facts() {
        let machine = recorded(r#"{"format": 1}"#).unwrap();
        // LMCache has a word for it.
        let expected = Facts { install_source: Some("UNKNOWN"), ..Facts::default() };
        assert_eq!(probe(&machine, true, &mut |_| ()), expected);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, named) in [
            ("", "EOF"),
            ("[]", "expected struct"),
            ("{}", "`format`"),
            (r#"{"format": 2}"#, "format 2: this version reads 1"),
            (r#"{"format": 1, "hostname": "x"}"#, "unknown field `hostname`"),
            (r#"{"format": 1, "uname": {}}"#, "missing field `sysname`"),
            (r#"{"format": 1, "libc": {"name": 1, "version": ""}}"#, "expected a string"),
            (r#"{"format": 1, "cpuid": {"1": "0"}}"#, "`cpuid.1`"),
            (r#"{"format": 1, "cpuid": {"00000001": "00000000 00000000"}}"#, "`cpuid.00000001`"),
            (r#"{"format": 1, "cpuid": []}"#, "expected a map"),
            (r#"{"format": 1, "environment": {"HOME": "/"}}"#, "no reader uses `HOME`"),
            (r#"{"format": 1, "environment": {"PATH": null}}"#, "expected a string"),
        ] {
            let error = recorded(text).unwrap_err();
            assert!(error.contains(MACHINE_FILE) && error.contains(named), "{text}: {error}");
        }
        let missing = Machine::recorded("/nowhere").unwrap_err().to_string();
        assert!(missing.starts_with("machine `/nowhere/machine.json`: "), "{missing}");
    }
}
