//! Makes by hand the system calls that every probe of this machine needs, as a floor for the detectors' cost.
//!
//! Arguments: the number of repetitions, and `all` for the facts beyond the first list. Exits with 2 if
//! there is a driver. `cargo xtask probe-gate` measures it. Every file is one `open`, one `read` into a
//! kept buffer, and one `close`. Nothing is cleaned, has a fallback, or can be replaced for a test.
//!
//! The first list: five DMI files, `sysinfo(2)`, `/proc/1/cgroup`, the online CPUs, four CPUID
//! leaves, `uname` and the platform string, a `dlopen` that fails, a random id. `all` adds what the
//! contracts and OTLP carry beyond it; `more` names the purpose of each.

#![expect(unsafe_code, reason = "the floor is what the C library offers, called directly")]
#![expect(
    clippy::disallowed_methods,
    clippy::arithmetic_side_effects,
    reason = "a program that measures; it has no library's duties"
)]

use std::ffi::CStr;
use std::hint::black_box;
use std::process::ExitCode;

/// The facts that a record needs as owned values.
#[derive(Clone, Default)]
struct Facts {
    provider: Option<String>,
    memory: Option<u64>,
    source: Option<String>,
    cpus: Option<u32>,
    numbers: Option<[String; 3]>,
    brand: Option<String>,
    platform: Option<String>,
    cores: Option<u32>,
    limit: Option<i64>,
    vendor: Option<String>,
    machine: Option<String>,
    system: Option<String>,
    architecture: Option<[String; 2]>,
    container: Option<String>,
    devices: bool,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(times) = arguments.next().and_then(|times| times.parse::<u32>().ok()) else {
        return ExitCode::FAILURE;
    };
    let all = arguments.next().as_deref() == Some("all");
    let buffer = &mut [0; 4096];
    let mut with_driver = false;
    for _ in 0..times {
        let mut facts = Facts::default();
        floor(buffer, &mut facts);
        if all {
            more(buffer, &mut facts);
            // The call below may hang, so the facts so far are handed over first.
            black_box(facts.clone());
        }
        with_driver = driver();
        black_box((facts, uuid::Uuid::new_v4()));
    }
    if with_driver { ExitCode::from(2) } else { ExitCode::SUCCESS }
}

/// Reads the first list of facts.
fn floor(buffer: &mut [u8; 4096], facts: &mut Facts) {
    facts.provider = provider(buffer).map(str::to_owned);
    facts.memory = Some(memory());
    let docker = read(c"/proc/1/cgroup", buffer).is_some_and(|text| text.contains("docker"));
    facts.source = Some(if docker { "DOCKER" } else { "UNKNOWN" }.to_owned());
    facts.cpus = read(c"/sys/devices/system/cpu/online", buffer).and_then(count);
    #[cfg(target_arch = "x86_64")]
    cpu(facts);
    platform(facts);
}

/// Reads the facts beyond the first list with as few calls as possible.
fn more(buffer: &mut [u8; 4096], facts: &mut Facts) {
    // psutil reads this file, and a container runtime may have replaced it.
    facts.memory = read(c"/proc/meminfo", buffer).and_then(|text| {
        let kibibytes = text.strip_prefix("MemTotal:")?.split_ascii_whitespace().next()?;
        kibibytes.parse::<u64>().ok()
    });
    // `host.cpu.vendor.id`, `host.arch`, `os.type` are known already and only copied.
    #[cfg(target_arch = "x86_64")]
    {
        let leaf = core::arch::x86_64::__cpuid(0);
        let vendor = [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes);
        facts.vendor = Some(String::from_utf8_lossy(vendor.as_flattened()).into_owned());
    }
    facts.machine = Some(std::env::consts::ARCH.to_owned());
    facts.system = Some(std::env::consts::OS.to_owned());
    // LMCache `architecture`: is there a program `file`?
    let path = std::env::var("PATH").unwrap_or_default();
    let mut name = String::with_capacity(256);
    let found = path.split(':').any(|folder| {
        name.clear();
        name.push_str(folder);
        name.push_str("/file\0");
        CStr::from_bytes_with_nul(name.as_bytes()).is_ok_and(exists)
    });
    facts.architecture = Some(["64bit".to_owned(), if found { "ELF" } else { "" }.to_owned()]);
    facts.cores = cores(buffer);
    // `otel_usage.memory.cgroup_limit`: the own cgroup, and the limit of it and of each above it.
    facts.limit = limit(buffer);
    facts.container = container(buffer).map(str::to_owned);
    // Devices of AMD and Intel: does the kernel list any?
    facts.devices = exists(c"/sys/class/drm");
}

/// Reads the number of cores, LMCache's `gpu_count` without an accelerator. One list shows whether a core
/// has threads. If so, one file shows whether all CPUs are online, one describes the last core, and one
/// check finds cores of a second type. Otherwise one file shows that no core has threads.
fn cores(buffer: &mut [u8; 4096]) -> Option<u32> {
    let first = c"/sys/devices/system/cpu/cpu0/topology/core_cpus_list";
    let threads = read(first, buffer).and_then(count)?;
    if threads == 1 {
        return read(c"/sys/devices/system/cpu/smt/active", buffer)?.starts_with('0').then_some(1);
    }
    let present = read(c"/sys/devices/system/cpu/present", buffer).and_then(count)?;
    let last = read(first, buffer).and_then(count)?;
    (last == threads && !exists(c"/sys/devices/cpu_atom")).then_some(present / threads)
}

/// Finds `container.runtime.name`. Version 2 of cgroups hides it, so the marker files of the runtimes are
/// checked, and without any the mounts decide.
fn container(buffer: &mut [u8; 4096]) -> Option<&'static str> {
    const MARKS: [(&CStr, &str); 5] = [
        (c"/var/run/secrets/kubernetes.io", "kubernetes"),
        (c"/run/secrets/kubernetes.io", "kubernetes"),
        (c"/run/.containerenv", "podman"),
        (c"/.dockerenv", "docker"),
        (c"/.singularity.d", "apptainer"),
    ];
    if let Some((_, kind)) = MARKS.iter().find(|(path, _)| exists(path)) {
        return Some(kind);
    }
    if read(c"/run/systemd/container", buffer).is_some() {
        return Some("systemd-nspawn");
    }
    let mounts = read(c"/proc/self/mountinfo", buffer)?;
    let mut roots = mounts.lines().filter(|line| line.split(' ').nth(4) == Some("/"));
    roots.any(|line| line.contains("/docker/")).then_some("docker")
}

fn provider(buffer: &mut [u8; 4096]) -> Option<&'static str> {
    const FILES: [&CStr; 5] = [
        c"/sys/class/dmi/id/product_version",
        c"/sys/class/dmi/id/bios_vendor",
        c"/sys/class/dmi/id/product_name",
        c"/sys/class/dmi/id/chassis_asset_tag",
        c"/sys/class/dmi/id/sys_vendor",
    ];
    const WORDS: [(&str, &str); 4] = [
        ("amazon", "AWS"),
        ("microsoft corporation", "AZURE"),
        ("google", "GCP"),
        ("oraclecloud", "OCI"),
    ];
    for file in FILES {
        if let Some(text) = read(file, buffer) {
            let text = text.to_ascii_lowercase();
            if let Some((_, provider)) = WORDS.iter().find(|(word, _)| text.contains(word)) {
                return Some(provider);
            }
        }
    }
    std::env::var_os("RUNPOD_DC_ID").filter(|value| !value.is_empty()).map(|_| "RUNPOD")
}

fn memory() -> u64 {
    let mut info = std::mem::MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: the pointer is valid for one `sysinfo`, which is made of integers.
    let info = unsafe {
        libc::sysinfo(info.as_mut_ptr());
        info.assume_init()
    };
    info.totalram.wrapping_mul(u64::from(info.mem_unit))
}

#[cfg(target_arch = "x86_64")]
fn cpu(facts: &mut Facts) {
    use core::arch::x86_64::__cpuid;
    let signature = __cpuid(1).eax;
    let (family, model) = ((signature >> 8 & 15) + (signature >> 20 & 255), signature >> 4 & 15);
    let numbers = [family, model | (signature >> 12 & 0xf0), signature & 15];
    facts.numbers = Some(numbers.map(|number| number.to_string()));
    let leaves = [0x8000_0002, 0x8000_0003, 0x8000_0004].map(__cpuid);
    let words = leaves.map(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx].map(u32::to_le_bytes));
    let bytes = words.as_flattened().as_flattened();
    let brand = CStr::from_bytes_until_nul(bytes).map(CStr::to_bytes).unwrap_or(bytes);
    facts.brand = Some(String::from_utf8_lossy(brand.trim_ascii()).into_owned());
}

fn platform(facts: &mut Facts) {
    let mut name = std::mem::MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the pointer is valid for one `utsname`, which is made of integers.
    let name = unsafe {
        libc::uname(name.as_mut_ptr());
        name.assume_init()
    };
    // SAFETY: the kernel ends each field by NUL.
    let text = |field: &[libc::c_char; 65]| unsafe { CStr::from_ptr(field.as_ptr()) }.to_owned();
    #[cfg(target_env = "gnu")]
    // SAFETY: the pointer is to a constant string of the C library.
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    #[cfg(not(target_env = "gnu"))]
    let version = c"";
    facts.platform = Some(format!(
        "{}-{}-{}-with-glibc{}",
        text(&name.sysname).to_string_lossy(),
        text(&name.release).to_string_lossy(),
        text(&name.machine).to_string_lossy(),
        version.to_string_lossy()
    ));
}

fn limit(buffer: &mut [u8; 4096]) -> Option<i64> {
    let groups = read(c"/proc/self/cgroup", buffer)?;
    let (mount, file, group) = match groups.split_once(":memory:") {
        Some((_, rest)) => ("/sys/fs/cgroup/memory", "/memory.limit_in_bytes\0", rest),
        None => ("/sys/fs/cgroup", "/memory.max\0", groups.split_once("0::")?.1),
    };
    let mut path = String::with_capacity(256);
    path.push_str(mount);
    path.push_str(group.split_once('\n')?.0.trim_end_matches('/'));
    let mut least = i64::MAX;
    while path.len() >= mount.len() {
        let folder = path.len();
        path.push_str(file);
        let limit = CStr::from_bytes_with_nul(path.as_bytes())
            .ok()
            .and_then(|path| read(path, buffer)?.trim_ascii_end().parse().ok());
        least = least.min(limit.unwrap_or(least));
        path.truncate(folder);
        path.truncate(path.rfind('/')?);
    }
    Some(least)
}

fn driver() -> bool {
    // SAFETY: the name is NUL-terminated. A library that is found stays loaded and is not called. The
    // error text is read too, because every loader does so after a failure.
    unsafe {
        !libc::dlopen(c"libnvidia-ml.so.1".as_ptr(), libc::RTLD_LAZY).is_null()
            || libc::dlerror().is_null()
    }
}

fn exists(path: &CStr) -> bool {
    // SAFETY: the path is NUL-terminated.
    unsafe { libc::access(path.as_ptr(), libc::F_OK) == 0 }
}

/// Returns the number of CPUs in a list such as `0-3,8`.
fn count(list: &str) -> Option<u32> {
    list.trim_ascii_end().split(',').try_fold(0, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(sum + last.parse::<u32>().ok()? - first.parse::<u32>().ok()? + 1)
    })
}

/// Reads a file with one `open`, one `read` and one `close`.
fn read<'buffer>(path: &CStr, buffer: &'buffer mut [u8; 4096]) -> Option<&'buffer str> {
    // SAFETY: the path is NUL-terminated, the buffer has the given length, and the descriptor is our own.
    let length = unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let length = libc::read(file, buffer.as_mut_ptr().cast(), buffer.len());
        libc::close(file);
        length
    };
    std::str::from_utf8(buffer.get(..usize::try_from(length).ok()?)?).ok()
}
