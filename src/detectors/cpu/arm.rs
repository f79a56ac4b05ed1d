//! Turns Arm's numbers for implementer, part and revision into the names that lscpu prints.
//!
//! Most aarch64 kernels print no name, and a name that is printed wins. Else the original reporters run
//! lscpu, whose table maps the numbers of the main identification register to names; `arm_table` has
//! that table, and any other part is unknown. lscpu's `Model` is the revision. Reports carry neither its stepping
//! (`r3p1`) nor a family, because these are not numbers.

use super::super::Facts;
use super::arm_table::{PARTS, VENDORS};
use super::cpuinfo::{brand as printed, number, value};

/// The identification register of the first CPU as the kernel publishes it.
pub(super) const REGISTER: &str = "/sys/devices/system/cpu/cpu0/regs/identification/midr_el1";

/// Reads the first processor of an Arm `/proc/cpuinfo`. Returns `None` for other processors.
pub(super) fn from_cpuinfo(text: &str) -> Option<Facts> {
    let implementer = hexadecimal(value(text, "CPU implementer")?)?;
    let part = value(text, "CPU part").and_then(hexadecimal);
    Some(Facts {
        // 32-bit compatibility and some boards' kernels add a line with a name.
        cpu_brand: printed(text).or_else(|| brand(implementer, part?)),
        cpu_vendor: vendor(implementer),
        cpu_model: number(text, "CPU revision"),
        ..Facts::default()
    })
}

/// Reads the text of the identification register.
pub(super) fn from_register(text: &str) -> Option<Facts> {
    let register = hexadecimal(text.trim())?;
    let bits = |from: u32, mask: u32| register.wrapping_shr(from) & mask;
    let (implementer, part, revision) = (bits(24, 0xff), bits(4, 0xfff), bits(0, 0xf));
    // Register zero means that the kernel had nothing to publish.
    (implementer != 0).then(|| Facts {
        cpu_brand: brand(implementer, part),
        cpu_vendor: vendor(implementer),
        cpu_model: Some(revision.to_string()),
        ..Facts::default()
    })
}

fn brand(implementer: u32, part: u32) -> Option<String> {
    PARTS
        .iter()
        .find(|&&(maker, number, _)| (maker, number) == (implementer, part))
        .map(|&(_, _, name)| name.to_owned())
}

fn vendor(implementer: u32) -> Option<String> {
    VENDORS.iter().find(|&&(maker, _)| maker == implementer).map(|&(_, name)| name.to_owned())
}

/// Parses a number such as `0x41`; the register has 64 bits, the upper half zero.
fn hexadecimal(text: &str) -> Option<u32> {
    u32::try_from(u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::arm_table::{PARTS, VENDORS};
    use super::{from_cpuinfo, from_register};

    /// The first processor as an aarch64 kernel prints it.
    fn cpuinfo(implementer: &str, part: &str, variant: &str, revision: &str) -> String {
        format!(
            "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd evtstrm aes\n\
             CPU implementer\t: {implementer}\nCPU architecture: 8\nCPU variant\t: {variant}\n\
             CPU part\t: {part}\nCPU revision\t: {revision}\n\nprocessor\t: 1\n"
        )
    }

    #[test]
    fn servers_in_use_have_names() {
        for (implementer, part, brand, vendor) in [
            ("0x41", "0xd0c", "Neoverse-N1", "ARM"), // Graviton2, Ampere Altra
            ("0x41", "0xd40", "Neoverse-V1", "ARM"), // Graviton3
            ("0x41", "0xd49", "Neoverse-N2", "ARM"), // Yitian, Axion N
            ("0x41", "0xd4f", "Neoverse-V2", "ARM"), // Grace, Graviton4, Axion
            ("0x41", "0xd84", "Neoverse-V3", "ARM"), // Graviton5
            ("0xc0", "0xac3", "Ampere-1", "Ampere"), // AmpereOne
            ("0x6d", "0xd49", "Azure-Cobalt-100", "Microsoft"),
            ("0x48", "0xd01", "TaiShan-v110", "HiSilicon"),
            ("0x61", "0x022", "Icestorm-M1", "Apple"),
            ("0x70", "0x663", "FTC663", "Phytium"),
        ] {
            let found = from_cpuinfo(&cpuinfo(implementer, part, "0x1", "1")).unwrap();
            assert_eq!(found.cpu_brand.as_deref(), Some(brand));
            assert_eq!(found.cpu_vendor.as_deref(), Some(vendor));
        }
    }

    #[test]
    fn the_model_is_the_revision_and_there_is_no_family_or_stepping() {
        let found = from_cpuinfo(&cpuinfo("0x41", "0xd0c", "0x3", "1")).unwrap();
        assert_eq!(found.cpu_model.as_deref(), Some("1"));
        assert_eq!((found.cpu_family, found.cpu_stepping), (None, None));
        let grace = from_cpuinfo(&cpuinfo("0x41", "0xd4f", "0x0", "0")).unwrap();
        assert_eq!(grace.cpu_model.as_deref(), Some("0"));
    }

    #[test]
    fn the_register_has_the_same_facts_as_the_lines() {
        let lines = from_cpuinfo(&cpuinfo("0x41", "0xd0c", "0x3", "1"));
        assert_eq!(from_register("0x00000000413fd0c1\n"), lines);
    }

    #[test]
    fn an_unknown_part_keeps_its_maker() {
        let found = from_cpuinfo(&cpuinfo("0x41", "0xfff", "0x0", "2")).unwrap();
        assert_eq!(found.cpu_brand, None);
        assert_eq!(found.cpu_vendor.as_deref(), Some("ARM"));
        let other = from_cpuinfo(&cpuinfo("0x99", "0xd0c", "0x0", "2")).unwrap();
        assert_eq!((other.cpu_brand, other.cpu_vendor), (None, None));
    }

    #[test]
    fn other_processors_are_not_read_as_arm() {
        assert_eq!(from_cpuinfo("vendor_id\t: GenuineIntel\nmodel name\t: x\n"), None);
        assert_eq!(from_cpuinfo("CPU implementer\t: forty-one\n"), None);
        for text in ["", "0x", "0x0", "410fd4f0", "0xfffffffffffffffff", "0x1ffffffff"] {
            assert_eq!(from_register(text), None, "{text}");
        }
    }

    #[test]
    fn each_number_is_listed_once_and_each_part_has_a_maker() {
        assert!(PARTS.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1)));
        assert!(VENDORS.is_sorted_by(|a, b| a.0 < b.0));
        for (maker, _, name) in PARTS {
            assert!(VENDORS.iter().any(|(known, _)| known == maker), "{name}");
        }
    }
}
