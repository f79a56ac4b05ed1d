//! The sysinfo crate comes in where our own readers left a field unknown, the missing fields
//! go out.
//!
//! Live machines only: sysinfo asks the machine it runs on. It serves macOS, Windows and the
//! BSDs, whose numbers are behind system calls; on Linux it is normally not asked at all.
//! What is asked is the one list needed, never everything: a full refresh reads every process.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use super::{Facts, os};

/// Fills in what is still unknown and sysinfo can know.
pub(super) fn fill(facts: &mut Facts) {
    fill_cpu(facts);
    if facts.cpu_physical_count.is_none() {
        let count = System::physical_core_count().ok();
        facts.cpu_physical_count =
            count.and_then(|count| i64::try_from(count).ok()).filter(|&count| count > 0);
    }
    if facts.memory_bytes.is_none() {
        let ram = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        facts.memory_bytes = System::new_with_specifics(ram)
            .ok()
            .and_then(|system| i64::try_from(system.total_memory()).ok())
            .filter(|&bytes| bytes > 0);
    }
    if cfg!(windows) {
        fill_windows(facts);
    }
}

/// The list of CPUs: its length, and brand and vendor of the first.
fn fill_cpu(facts: &mut Facts) {
    // An Arm core without a name has a vendor, and sysinfo would find no more on Linux.
    let named = facts.cpu_brand.is_some() || facts.cpu_vendor.is_some();
    if named && facts.cpu_count.is_some() {
        return;
    }
    let list = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
    let Ok(system) = System::new_with_specifics(list) else {
        return;
    };
    let cpus = system.cpus();
    if facts.cpu_count.is_none() {
        facts.cpu_count = i64::try_from(cpus.len()).ok().filter(|&count| count > 0);
    }
    if let (false, Some(first)) = (named, cpus.first()) {
        facts.cpu_brand = known(first.brand());
        facts.cpu_vendor = known(first.vendor_id());
    }
}

/// Windows has no `uname`: names as Python gives them there.
fn fill_windows(facts: &mut Facts) {
    let hardware = match std::env::consts::ARCH {
        "x86_64" => "AMD64",
        "aarch64" => "ARM64",
        other => other,
    };
    facts.machine = Some(hardware.to_owned());
    facts.os_type = Some("windows".to_owned());
    facts.architecture = Some(["64bit".to_owned(), "WindowsPE".to_owned()]);
    facts.platform = System::kernel_version()
        .ok()
        .zip(System::long_os_version().ok())
        .and_then(|(build, name)| windows_platform(build.trim(), &name));
}

/// `Windows-11-10.0.22631-SP0` from a build number and a name such as `Windows 11 Pro`.
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

fn known(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Facts;
    use super::{fill, windows_platform};

    #[test]
    fn what_is_known_stays() {
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
    fn alone_it_finds_what_our_readers_find() {
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
