//! A folder comes in, the [`Machine`] recorded in it goes out.
//!
//! The folder holds a copied tree of files and [`MACHINE_FILE`] for what is not a file:
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
//! Registers are `eax ebx ecx edx`. All but `format` may be left out, and then does not exist:
//! a C library without a name is musl's, and without leaves `/proc/cpuinfo` is parsed. Anything
//! else is a mistake, so that a fixture cannot say something that nobody reads.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::{ENVIRONMENT, Machine};
use crate::Error;

/// The file of a recorded machine that holds what is not a file.
pub const MACHINE_FILE: &str = "machine.json";

/// Version of that file's format.
pub(super) const FORMAT: u64 = 1;

/// Most bytes of that file; a full one has about one thousand.
const FILE_BYTES: u64 = 64 * 1024;

/// Keys of the file.
pub(super) mod keys {
    pub(in crate::probe) const CPUID: &str = "cpuid";
    pub(in crate::probe) const ENVIRONMENT: &str = "environment";
    pub(in crate::probe) const FORMAT: &str = "format";
    pub(in crate::probe) const LIBC: &str = "libc";
    pub(in crate::probe) const MACHINE: &str = "machine";
    pub(in crate::probe) const NAME: &str = "name";
    pub(in crate::probe) const RELEASE: &str = "release";
    pub(in crate::probe) const SYSNAME: &str = "sysname";
    pub(in crate::probe) const UNAME: &str = "uname";
    pub(in crate::probe) const VERSION: &str = "version";
}

impl Machine {
    /// The machine recorded in a folder: its files, and the rest from [`MACHINE_FILE`]. Nothing
    /// of the machine this runs on leaks in.
    ///
    /// # Errors
    ///
    /// [`MACHINE_FILE`] cannot be read, is of a newer format, or says something that no probe
    /// reads.
    pub fn recorded(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = folder.as_ref();
        let path = folder.join(MACHINE_FILE);
        let mut text = String::new();
        File::open(&path)
            .and_then(|file| file.take(FILE_BYTES).read_to_string(&mut text))
            .map_err(|error| error.to_string())
            .and_then(|_| parse(&text, Self::at(folder)))
            .map_err(|what| Error::machine(&path, what))
    }
}

/// Adds to a machine what the text says.
fn parse(text: &str, mut machine: Machine) -> Result<Machine, String> {
    let all: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let all = all.as_object().ok_or("not an object")?;
    match all.get(keys::FORMAT).and_then(Value::as_u64) {
        Some(FORMAT) => {}
        Some(format) => return Err(format!("format {format}: this version reads {FORMAT}")),
        None => return Err(format!("no `{}`", keys::FORMAT)),
    }
    for (key, value) in all {
        machine = match key.as_str() {
            keys::FORMAT => machine,
            keys::UNAME => {
                let [sysname, release, hardware] =
                    texts(key, value, [keys::SYSNAME, keys::RELEASE, keys::MACHINE])?;
                machine.with_uname(sysname, release, hardware)
            }
            keys::LIBC => {
                let [name, version] = texts(key, value, [keys::NAME, keys::VERSION])?;
                machine.with_libc(name, version)
            }
            keys::CPUID => machine.with_cpuid(leaves(object(key, value)?)?),
            keys::ENVIRONMENT => machine.with_environment(environment(object(key, value)?)?),
            _ => return Err(format!("`{key}` is not known")),
        };
    }
    Ok(machine)
}

fn object<'json>(key: &str, value: &'json Value) -> Result<&'json Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("`{key}` is not an object"))
}

/// An object that has exactly these keys, and texts for values.
fn texts<const N: usize>(
    key: &str,
    value: &Value,
    names: [&str; N],
) -> Result<[String; N], String> {
    let object = object(key, value)?;
    if object.len() != N {
        return Err(format!("`{key}` needs exactly {}", names.join(", ")));
    }
    let mut found = [const { String::new() }; N];
    for (place, name) in found.iter_mut().zip(names) {
        let text = object.get(name).and_then(Value::as_str);
        *place = text.ok_or_else(|| format!("`{key}.{name}` is not a text"))?.to_owned();
    }
    Ok(found)
}

/// The registers of each leaf.
fn leaves(object: &Map<String, Value>) -> Result<Vec<(u32, [u32; 4])>, String> {
    let leaf = |(number, registers): (&String, &Value)| {
        let number = hexadecimal(number)?;
        let mut values = registers.as_str()?.split(' ').map(hexadecimal);
        let registers = [values.next()??, values.next()??, values.next()??, values.next()??];
        values.next().is_none().then_some((number, registers))
    };
    let wrong = |key| format!("`cpuid.{key}` is not four numbers of eight hexadecimal digits");
    object.iter().map(|pair| leaf(pair).ok_or_else(|| wrong(pair.0))).collect()
}

fn hexadecimal(text: &str) -> Option<u32> {
    let is_number = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

fn environment(object: &Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    let variable = |(name, value): (&String, &Value)| match value.as_str() {
        _ if !ENVIRONMENT.contains(&name.as_str()) => Err(format!("no probe reads `{name}`")),
        Some(value) => Ok((name.clone(), value.to_owned())),
        None => Err(format!("`environment.{name}` is not a text")),
    };
    object.iter().map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::super::{Facts, probe};
    use super::{MACHINE_FILE, Machine};

    fn recorded(description: &str) -> Result<Machine, String> {
        let tree = Tree::new().file(&format!("/{MACHINE_FILE}"), description);
        Machine::recorded(tree.machine().root()).map_err(|error| error.to_string())
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
        // "Unknown" is what LMCache calls its absence.
        let expected = Facts { install_source: Some("UNKNOWN".to_owned()), ..Facts::default() };
        assert_eq!(probe(&machine, true, &mut |_| ()), expected);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, named) in [
            ("", "EOF"),
            ("[]", "not an object"),
            ("{}", "no `format`"),
            (r#"{"format": 2}"#, "format 2: this version reads 1"),
            (r#"{"format": 1, "hostname": "x"}"#, "`hostname` is not known"),
            (r#"{"format": 1, "uname": {}}"#, "`uname` needs exactly sysname, release, machine"),
            (r#"{"format": 1, "libc": {"name": 1, "version": ""}}"#, "`libc.name` is not a text"),
            (r#"{"format": 1, "cpuid": {"1": "0"}}"#, "`cpuid.1`"),
            (r#"{"format": 1, "cpuid": {"00000001": "00000000 00000000"}}"#, "`cpuid.00000001`"),
            (r#"{"format": 1, "cpuid": []}"#, "`cpuid` is not an object"),
            (r#"{"format": 1, "environment": {"HOME": "/"}}"#, "no probe reads `HOME`"),
            (r#"{"format": 1, "environment": {"PATH": null}}"#, "`environment.PATH`"),
        ] {
            let error = recorded(text).unwrap_err();
            assert!(error.contains(MACHINE_FILE) && error.contains(named), "{text}: {error}");
        }
        let missing = Machine::recorded("/nowhere").unwrap_err().to_string();
        assert!(missing.starts_with("machine `/nowhere/machine.json`: "), "{missing}");
    }
}
