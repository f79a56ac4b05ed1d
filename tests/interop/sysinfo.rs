//! The same facts by another crate, which asks the kernel in other ways.

use otel_usage::detectors::{Machine, probe};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

#[test]
fn facts_equal_those_of_sysinfo() {
    let facts = probe(&Machine::live(Vec::new()), false, &mut |_| ());
    let kind = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(kind);

    assert_eq!(facts.memory_bytes, Some(i64::try_from(system.total_memory()).unwrap()));
    assert_eq!(facts.cpu_count, Some(i64::try_from(system.cpus().len()).unwrap()));
    let cores = System::physical_core_count().unwrap();
    assert_eq!(facts.cpu_physical_count, Some(i64::try_from(cores).unwrap()));
    // Elsewhere both have tables of their own.
    if cfg!(target_arch = "x86_64") {
        let first = system.cpus().first().unwrap();
        assert_eq!(facts.cpu_brand.as_deref(), Some(first.brand().trim()));
        assert_eq!(facts.cpu_vendor.as_deref(), Some(first.vendor_id()));
    }
    let kernel = System::kernel_version().unwrap();
    let start = format!("Linux-{kernel}-{}", System::cpu_arch());
    assert!(facts.platform.as_ref().unwrap().starts_with(&start), "{facts:?}: {start}");
    assert_eq!(facts.machine, Some(System::cpu_arch()));
}
