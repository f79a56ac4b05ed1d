//! Checks what the probe reports for different libraries, devices and lists of visible devices.

use otel_usage::detectors::{AcceleratorSource, Machine, probe};

use crate::stand_in::{answer, is_played, run};

const GIB: i64 = 1 << 30;
const H100: &str = "NVIDIA H100 80GB HBM3";
const FIRST_SLICE: &str = "NVIDIA H100 80GB HBM3 MIG 1g.10gb";

/// A driver that answers every question.
const WHOLE: Option<&[&str]> = Some(&[]);

type Seen = (Option<i64>, Option<&'static str>, Option<i64>, Option<bool>);

/// The part of the test that runs in its own process.
#[test]
#[ignore = "the other process of the tests below"]
fn child() {
    if !is_played() {
        return;
    }
    let facts = probe(&Machine::live(std::env::vars()), true, &mut |_| ());
    // A machine that runs the tests may have accelerators of another vendor.
    let found = facts.accelerators.filter(|found| found.source == AcceleratorSource::Nvml);
    let seen = found.map(|found| {
        assert_eq!(found.driver_version.as_deref(), Some("570.124.06"));
        assert_eq!(found.driver_cuda.as_deref(), Some("12.8"));
        assert_eq!(found.runtime, None);
        (found.count, found.name, found.memory_bytes, found.mixed)
    });
    answer(&format!("{seen:?}"));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains("libcuda"), "CUDA was loaded");
}

/// Compares the answer of a process with the expected one.
fn check(
    flags: Option<&[&str]>,
    play: &str,
    environment: &[(&str, &str)],
    expected: Option<Seen>,
    initialised: usize,
) {
    if let Some(played) = run("answers::child", flags, play, environment) {
        assert_eq!(played.answers, [format!("{expected:?}")], "{play} {environment:?}");
        assert_eq!(played.initialised, initialised, "{play} {environment:?}");
    }
}

#[test]
fn an_absent_or_broken_library_means_no_accelerator() {
    if std::path::Path::new("/proc/driver/nvidia/version").exists() {
        eprintln!("not tested: without a library the one of this machine would be found");
    } else {
        check(None, "", &[], None, 0);
    }
    check(Some(&["-DWITHOUT_INIT"]), "eight", &[], None, 0);
    check(WHOLE, "not_loaded", &[], None, 1);
    check(WHOLE, "none", &[], None, 1);
}

#[test]
fn devices_are_counted_and_the_first_is_described() {
    let one = (Some(1), Some(H100), Some(80 * GIB), None);
    let eight = (Some(8), Some(H100), Some(80 * GIB), Some(false));
    check(WHOLE, "one", &[], Some(one), 1);
    check(WHOLE, "eight", &[], Some(eight), 1);
    // A driver before 510, and a machine whose device has no memory of its own.
    let unknown = (Some(1), Some(H100), None, None);
    check(Some(&["-DWITHOUT_MEMORY_V2"]), "one", &[], Some(unknown), 1);
    check(WHOLE, "unified", &[], Some(unknown), 1);
    // One of eight devices does not answer: the first one, and another one.
    check(WHOLE, "lost", &[], Some((Some(8), None, Some(80 * GIB), None)), 1);
}

#[test]
fn cuda_visible_devices_chooses_the_devices() {
    let eight = |list, expected| {
        check(WHOLE, "eight", &[("CUDA_VISIBLE_DEVICES", list)], expected, 1);
    };
    let seen = |count| {
        let mixed = (count > 1).then_some(false);
        Some((Some(count), Some(H100), Some(80 * GIB), mixed))
    };
    eight("0,3", seen(2));
    eight("7,-1,2", seen(1));
    eight("GPU-b1,GPU-a0", seen(2));
    for none in ["", "-1", "GPU-b", "GPU-", "MIG-c0", "9"] {
        eight(none, None);
    }
}

#[test]
fn different_devices_are_marked_as_mixed() {
    let mixed = |environment: &[(&str, &str)], expected| {
        check(WHOLE, "mixed", environment, Some(expected), 1);
    };
    mixed(&[], (Some(2), None, None, Some(true)));
    mixed(
        &[("CUDA_DEVICE_ORDER", "PCI_BUS_ID")],
        (Some(2), Some("Tesla T4"), Some(15 * GIB), Some(true)),
    );
    mixed(&[("CUDA_VISIBLE_DEVICES", "0")], (Some(1), None, None, None));
    mixed(&[("CUDA_VISIBLE_DEVICES", "GPU-a1")], (Some(1), Some(H100), Some(80 * GIB), None));
}

#[test]
fn a_partitioned_device_reports_only_its_slices() {
    let first = (Some(1), Some(FIRST_SLICE), Some(10 * GIB), None);
    check(WHOLE, "mig_one", &[], Some(first), 1);
    check(WHOLE, "mig", &[("CUDA_VISIBLE_DEVICES", "MIG-c0")], Some(first), 1);
    check(WHOLE, "mig", &[("CUDA_VISIBLE_DEVICES", "MIG-9")], None, 1);
    // Two different devices, and a driver that does not list them.
    check(WHOLE, "mig", &[], Some((None, None, None, None)), 1);
    check(Some(&["-DWITHOUT_SLICES"]), "mig", &[], Some((None, None, None, None)), 1);
    let old = Some(&["-DWITHOUT_MEMORY_V2"][..]);
    check(old, "mig_one", &[], Some((Some(1), Some(FIRST_SLICE), None, None)), 1);
}
