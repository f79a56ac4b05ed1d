//! Reads system type, hardware name, and the strings of Python's `platform` module.
//!
//! Receivers group by these strings, so they are rebuilt byte for byte. Python runs the programs
//! `uname -p` and `file` for them; this file runs none. On machines for engines the first prints
//! nothing, `unknown` or the hardware name, which Python removes again. Of the second, only its
//! presence matters.

use super::files::filled;
use super::trace::{Answer, Asked};
use super::{Machine, Reader};
use crate::sys::SystemName;

/// Folders in which Python looks for programs if `PATH` is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Most folders of `PATH` that are searched; a long `PATH` has a few dozen.
const PATH_FOLDERS: usize = 128;

/// The file in which macOS keeps its version; Python reads it, too.
const MACOS_VERSION: &str = "/System/Library/CoreServices/SystemVersion.plist";

/// Word size of this process, and of every machine that runs engines.
const BITS: &str = if cfg!(target_pointer_width = "32") { "32bit" } else { "64bit" };

/// Finds hardware name, system type and platform string.
pub(super) const NAMES: Reader = Reader {
    name: "system",
    read: |machine, facts| {
        if let Some(name) = name(machine) {
            facts.machine = filled(&name.machine);
            facts.os_type = Some(os_type(&name.sysname));
            facts.platform = platform(machine);
        }
    },
};

/// Finds word size and executable format.
pub(super) const ARCHITECTURE: Reader = Reader {
    name: "architecture",
    read: |machine, facts| {
        if let Some(name) = name(machine) {
            // Python up to 3.12 does not know the format of macOS.
            let is_elf = name.sysname != "Darwin" && has_program_file(machine);
            facts.architecture = Some([BITS, if is_elf { "ELF" } else { "" }]);
        }
    },
};

/// Returns what `uname` says, if it names the system.
fn name(machine: &Machine) -> Option<&SystemName> {
    machine.system_name().filter(|name| !name.sysname.is_empty())
}

/// Returns OpenTelemetry's word for a hardware name of `uname`.
pub(super) fn arch(machine: &str) -> &str {
    match machine {
        "x86_64" | "AMD64" => "amd64",
        "aarch64" | "aarch64_be" | "arm64" | "ARM64" => "arm64",
        "i386" | "i486" | "i586" | "i686" => "x86",
        "ppc64le" => "ppc64",
        "ppc" | "ppcle" => "ppc32",
        other if other.starts_with("arm") => "arm32",
        other => other,
    }
}

/// Returns OpenTelemetry's word for a system name of `uname`.
fn os_type(sysname: &str) -> String {
    match sysname {
        "Linux" => "linux".to_owned(),
        "DragonFly" => "dragonflybsd".to_owned(),
        "SunOS" => "solaris".to_owned(),
        other => other.to_lowercase(),
    }
}

fn platform(machine: &Machine) -> Option<String> {
    let name = name(machine)?;
    let (release, hardware) = (name.release.as_str(), name.machine.as_str());
    match name.sysname.as_str() {
        "Linux" => {
            // Python finds no name for musl and then prints only "with".
            let libc = machine.libc().map(|(name, version)| [name, version].concat());
            joined(&["Linux", release, hardware, "with", &libc.unwrap_or_default()])
        }
        "Darwin" => {
            // On macOS, `uname -p` differs from the hardware name.
            let processor = if hardware == "arm64" { "arm" } else { "i386" };
            match macos_version(machine) {
                Some(version) => joined(&["macOS", &version, hardware, processor, BITS]),
                None => joined(&["Darwin", release, hardware, processor, BITS]),
            }
        }
        other => {
            let format = if has_program_file(machine) { "ELF" } else { "" };
            joined(&[other, release, hardware, BITS, format])
        }
    }
}

/// Returns the version of macOS: the string after the key `ProductVersion`.
fn macos_version(machine: &Machine) -> Option<String> {
    let list = machine.attribute(MACOS_VERSION)?;
    let (_, rest) = list.split_once("<key>ProductVersion</key>")?;
    let (_, rest) = rest.split_once("<string>")?;
    let (version, _) = rest.split_once("</string>")?;
    filled(version)
}

/// Joins the parts that are not empty by `-`, and cleans the result as Python does, in the same
/// order. Returns `None` if nothing is left, which Python does not survive.
pub(super) fn joined(parts: &[&str]) -> Option<String> {
    let mut text = String::with_capacity(128);
    for part in parts.iter().filter(|part| !part.is_empty()) {
        text.push_str(if text.is_empty() { "" } else { "-" });
        text.push_str(part.trim());
    }
    // Most strings need no cleaning, and one pass costs less than five.
    let mut before = b'-';
    let odd = text.bytes().any(|byte| {
        let pair = (std::mem::replace(&mut before, byte), byte);
        // The second pair is part of "unknown".
        b" /\\:;\"()".contains(&byte) || matches!(pair, (b'-', b'-') | (b'k', b'n'))
    });
    if odd || before == b'-' {
        let clean = text.replace(' ', "_").replace(['/', '\\', ':', ';', '"', '(', ')'], "-");
        text = clean.replace("unknown", "");
        let mut before = ' ';
        text.retain(|c| (c, std::mem::replace(&mut before, c)) != ('-', '-'));
        text.truncate(text.trim_end_matches('-').len());
    }
    (!text.is_empty()).then_some(text)
}

/// Returns whether a program `file` is on `PATH`. Relative folders are skipped because they depend
/// on the working directory.
fn has_program_file(machine: &Machine) -> bool {
    let path = machine.variable("PATH").unwrap_or(DEFAULT_PATH);
    let mut folders = path.split(':').take(PATH_FOLDERS).filter(|folder| folder.starts_with('/'));
    let mut program = String::with_capacity(128);
    let there = folders.any(|folder| {
        program.replace_range(.., folder);
        program.push_str("/file");
        machine.is_program(&program)
    });
    machine.note(Asked::Program, "file", || Answer::there(there));
    there
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::super::{Facts, Machine};
    use super::joined;

    fn facts(machine: &Machine) -> Facts {
        let mut facts = Facts::default();
        (super::NAMES.read)(machine, &mut facts);
        (super::ARCHITECTURE.read)(machine, &mut facts);
        facts
    }

    fn platform(machine: &Machine) -> String {
        facts(machine).platform.unwrap()
    }

    #[test]
    fn host_arch_has_the_words_of_the_convention() {
        for (machine, word) in [
            ("x86_64", "amd64"),
            ("aarch64", "arm64"),
            ("armv6l", "arm32"),
            ("armv7l", "arm32"),
            ("i386", "x86"),
            ("i686", "x86"),
            ("ppc64", "ppc64"),
            ("ppc64le", "ppc64"),
            ("s390x", "s390x"),
            ("riscv64", "riscv64"),
        ] {
            assert_eq!(super::arch(machine), word, "{machine}");
        }
    }

    #[test]
    fn glibc_is_named_with_its_version() {
        let tree = Tree::new();
        let machine = tree.machine().with_uname("Linux", "6.8.0-1031-aws", "x86_64");
        let facts = facts(&machine.with_libc("glibc", "2.35"));
        let expected = "Linux-6.8.0-1031-aws-x86_64-with-glibc2.35";
        assert_eq!(facts.platform.as_deref(), Some(expected));
        assert_eq!(facts.machine.as_deref(), Some("x86_64"));
        assert_eq!(facts.os_type.as_deref(), Some("linux"));
    }

    #[test]
    fn musl_is_not_named() {
        let tree = Tree::new();
        let machine = tree.machine().with_uname("Linux", "5.10.25-linuxkit", "x86_64");
        assert_eq!(platform(&machine), "Linux-5.10.25-linuxkit-x86_64-with");
    }

    #[test]
    fn macos_shows_its_own_version() {
        let plist = "<?xml version=\"1.0\"?>\n<dict>\n\t<key>ProductName</key>\n\
            \t<string>macOS</string>\n\t<key>ProductVersion</key>\n\t<string>14.5</string>\n</dict>";
        let tree = Tree::new().file(super::MACOS_VERSION, plist);
        let machine = tree.machine().with_uname("Darwin", "23.5.0", "arm64");
        assert_eq!(platform(&machine), "macOS-14.5-arm64-arm-64bit");
        assert_eq!(facts(&machine).os_type.as_deref(), Some("darwin"));
        assert_eq!(facts(&machine).architecture.unwrap(), ["64bit", ""]);
        let machine = tree.machine().with_uname("Darwin", "19.0.0", "x86_64");
        assert_eq!(platform(&machine), "macOS-14.5-x86_64-i386-64bit");
        let bare = Tree::new();
        let machine = bare.machine().with_uname("Darwin", "23.5.0", "arm64");
        assert_eq!(platform(&machine), "Darwin-23.5.0-arm64-arm-64bit");
    }

    #[test]
    fn a_platform_string_is_cleaned_as_python_cleans_it() {
        let cases: [(&[&str], Option<&str>); 7] = [
            (&["Linux", "5 x/y\\z:a;b\"c(d)e"], Some("Linux-5_x-y-z-a-b-c-d-e")),
            (&["Linux", "", "unknown", "with", ""], Some("Linux-with")),
            (&["Linux", "4.4--foo---", "x"], Some("Linux-4.4-foo-x")),
            (&["Linux", " 1 ", "--"], Some("Linux-1")),
            (&["a", "unknownunknown-b"], Some("a-b")),
            (&["unknown", "("], None),
            (&[], None),
        ];
        for (parts, expected) in cases {
            assert_eq!(joined(parts).as_deref(), expected, "{parts:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_program_file_decides_the_format() {
        let linux = |machine: Machine| facts(&machine.with_uname("Linux", "6", "x86_64"));
        let tree = Tree::new().program("/opt/tools/file").file("/usr/local/bin/file", "no program");
        let found = linux(tree.machine_with(&[("PATH", "/usr/local/bin:/opt/tools")]));
        assert_eq!(found.architecture.unwrap(), ["64bit", "ELF"]);
        for path in ["/usr/local/bin", "", "opt/tools", "/missing"] {
            let none = linux(tree.machine_with(&[("PATH", path)]));
            assert_eq!(none.architecture.unwrap(), ["64bit", ""], "{path}");
        }
        let usual = Tree::new().program("/usr/bin/file");
        assert_eq!(linux(usual.machine()).architecture.unwrap(), ["64bit", "ELF"]);
    }

    #[test]
    fn a_machine_without_a_name_is_unknown() {
        assert_eq!(facts(&Tree::new().machine()), Facts::default());
        let blank = Tree::new();
        let facts = facts(&blank.machine().with_uname("", "", ""));
        assert_eq!((facts.machine, facts.os_type, facts.platform), (None, None, None));
    }
}
