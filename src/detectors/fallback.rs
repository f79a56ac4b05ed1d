//! Asks the sysinfo crate for facts that our own readers did not find.
//!
//! It serves macOS, Windows and the BSDs, whose numbers are behind system calls; on Linux it is
//! normally not asked. Only the one list that is needed is refreshed, because a full refresh reads
//! every process. A described machine is not asked, because sysinfo reads this one.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use super::files::filled;
use super::trace::{Answer, Asked};
use super::{Facts, Reader, os};

pub(super) const READER: Reader = Reader {
    name: "fallback",
    read: |machine, facts| {
        if machine.is_live() {
            fill(facts);
            machine.note(Asked::Call, "sysinfo", || Answer::Found);
        }
    },
};

fn fill(facts: &mut Facts) {
    fill_cpu(facts);
    if facts.cpu_physical_count.is_none() {
        facts.cpu_physical_count = System::physical_core_count().and_then(positive);
    }
    if facts.memory_bytes.is_none() {
        let ram = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        facts.memory_bytes = positive(System::new_with_specifics(ram).total_memory());
    }
    if cfg!(windows) {
        fill_windows(facts);
    }
}

/// Fills in the number of CPUs, and brand and vendor of the first.
fn fill_cpu(facts: &mut Facts) {
    // An Arm core without a name has a vendor, and sysinfo would find no more on Linux.
    let named = facts.cpu_brand.is_some() || facts.cpu_vendor.is_some();
    if named && facts.cpu_count.is_some() {
        return;
    }
    let list = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
    let system = System::new_with_specifics(list);
    let cpus = system.cpus();
    if facts.cpu_count.is_none() {
        facts.cpu_count = positive(cpus.len());
    }
    if let (false, Some(first)) = (named, cpus.first()) {
        facts.cpu_brand = filled(first.brand());
        facts.cpu_vendor = filled(first.vendor_id());
    }
}

fn positive(number: impl TryInto<i64>) -> Option<i64> {
    number.try_into().ok().filter(|&number| number > 0)
}

/// Fills in the names as Python has them on Windows, which has no `uname`.
fn fill_windows(facts: &mut Facts) {
    let hardware = match std::env::consts::ARCH {
        "x86_64" => "AMD64",
        "aarch64" => "ARM64",
        other => other,
    };
    facts.machine = Some(hardware.to_owned());
    facts.os_type = Some("windows".to_owned());
    facts.architecture = Some(["64bit", "WindowsPE"]);
    facts.platform = System::kernel_version()
        .zip(System::long_os_version())
        .and_then(|(build, name)| windows_platform(build.trim(), &name));
}

/// Makes `Windows-11-10.0.22631-SP0` of a build number and a name such as `Windows 11 Pro`.
///
/// Python's release is `10` or `11`, or the year of a server followed by `Server`.
fn windows_platform(build: &str, name: &str) -> Option<String> {
    let number: u32 = build.parse().ok()?;
    let release = match name.split_once("Server ") {
        Some((_, year)) => format!("{}Server", year.split_whitespace().next()?),
        None if number >= 22_000 => "11".to_owned(),
        None => "10".to_owned(),
    };
    os::joined(&["Windows", &release, &format!("10.0.{number}"), "SP0"])
}

#[cfg(test)]
mod tests {
    use super::super::Facts;
    use super::{fill, windows_platform};

    #[test]
    fn known_facts_stay() {
        let mut facts = Facts {
            cpu_count: Some(7),
            cpu_physical_count: Some(5),
            cpu_brand: Some("ours".to_owned()),
            memory_bytes: Some(1),
            ..Facts::default()
        };
        let before = facts.clone();
        fill(&mut facts);
        assert_eq!(facts.cpu_count, before.cpu_count);
        assert_eq!(facts.cpu_physical_count, before.cpu_physical_count);
        assert_eq!(facts.cpu_brand, before.cpu_brand);
        assert_eq!(facts.memory_bytes, before.memory_bytes);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn sysinfo_finds_the_same_as_our_readers() {
        use super::super::{Machine, probe};
        let ours = probe(&Machine::live(Vec::new()), false, &mut |_| ());
        let mut found = Facts::default();
        fill(&mut found);
        assert_eq!(found.cpu_count, ours.cpu_count);
        assert_eq!(found.memory_bytes, ours.memory_bytes);
        assert!(found.cpu_physical_count.is_some());
        // Other processors have names from two tables.
        if cfg!(target_arch = "x86_64") {
            assert_eq!(found.cpu_brand, ours.cpu_brand);
            assert_eq!(found.cpu_vendor, ours.cpu_vendor);
        }
    }

    #[test]
    fn windows_is_named_as_python_names_it() {
        let platform = |build, name| windows_platform(build, name);
        let expected = Some("Windows-10-10.0.19045-SP0".to_owned());
        assert_eq!(platform("19045", "Windows 10 Pro"), expected);
        let expected = Some("Windows-11-10.0.22631-SP0".to_owned());
        assert_eq!(platform("22631", "Windows 11 Enterprise"), expected);
        let expected = Some("Windows-2022Server-10.0.20348-SP0".to_owned());
        assert_eq!(platform("20348", "Windows Server 2022 Datacenter"), expected);
        assert_eq!(platform("unheard of", "Windows 10"), None);
    }
}
