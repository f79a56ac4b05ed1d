//! Reads the CPU's brand, vendor and numbers from CPUID, else from `/proc/cpuinfo`.
//!
//! The first processor stands for all, as in the original reports. CPUID costs the same on two CPUs
//! and on two hundred. Without it, the first page of `/proc/cpuinfo` is read.

mod arm;
mod arm_table;
mod cores;
mod cpuid;
mod cpuinfo;

use super::{Facts, Reader};
pub(super) use cores::{LOGICAL, PHYSICAL};
#[cfg(feature = "recording")]
pub(super) use cpuid::{LEAVES, SIGNATURE};

pub(super) const READER: Reader = Reader {
    name: "cpu",
    read: |machine, facts| {
        let found = cpuid::read(&|leaf| machine.cpuid(leaf))
            .or_else(|| machine.attribute("/proc/cpuinfo").map(|text| from_cpuinfo(&text)))
            .filter(|found| *found != Facts::default())
            .or_else(|| arm::from_register(&machine.attribute(arm::REGISTER)?));
        facts.learn(&found.unwrap_or_default());
    },
};

fn from_cpuinfo(text: &str) -> Facts {
    // Arm's lines name a part in place of a model.
    if let Some(found) = arm::from_cpuinfo(text) {
        return found;
    }
    let vendor = cpuinfo::value(text, "vendor_id").filter(|&vendor| vendor != "unknown");
    Facts {
        cpu_brand: cpuinfo::brand(text),
        cpu_vendor: vendor.map(str::to_owned),
        cpu_family: cpuinfo::number(text, "cpu family"),
        cpu_model: cpuinfo::number(text, "model"),
        cpu_stepping: cpuinfo::number(text, "stepping"),
        ..Facts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::super::{Facts, Machine};

    const INTEL: &str = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\n\
        model\t\t: 143\nmodel name\t: Intel(R) Xeon(R) Platinum 8480C\nstepping\t: 8\n\
        microcode\t: 0x2b000571\nflags\t\t: fpu vme de pse\nvmx flags\t: vnmi\n\n\
        processor\t: 1\nvendor_id\t: Other\nmodel name\t: Other\nstepping\t: 9\n\n";
    const AMD: &str = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 23\n\
        model\t\t: 49\nmodel name\t: AMD EPYC 7R32\nstepping\t: 0\n\n";

    fn facts(machine: &Machine) -> Facts {
        let mut facts = Facts::default();
        (super::READER.read)(machine, &mut facts);
        facts
    }

    /// Brand, vendor, family, model and stepping of a machine with this `/proc/cpuinfo`.
    fn of(cpuinfo: &str) -> [String; 5] {
        let tree = Tree::new().file("/proc/cpuinfo", cpuinfo);
        let found = facts(&tree.machine());
        [found.cpu_brand, found.cpu_vendor, found.cpu_family, found.cpu_model, found.cpu_stepping]
            .map(Option::unwrap_or_default)
    }

    #[test]
    fn intel_is_read_from_its_first_processor() {
        let expected = ["Intel(R) Xeon(R) Platinum 8480C", "GenuineIntel", "6", "143", "8"];
        assert_eq!(of(INTEL), expected);
    }

    #[test]
    fn a_stepping_of_zero_is_a_number() {
        assert_eq!(of(AMD), ["AMD EPYC 7R32", "AuthenticAMD", "23", "49", "0"]);
    }

    #[test]
    fn a_file_with_many_processors_is_read_at_its_head() {
        assert_eq!(of(&INTEL.repeat(1000)), of(INTEL));
        // Were it read on, the second page would give a brand.
        let late = format!("x\t: {}\nmodel name\t: late\n", "y".repeat(5000));
        assert_eq!(of(&late)[0], "");
    }

    #[test]
    fn only_numbers_are_numbers() {
        let text = "vendor_id\t: unknown\ncpu family\t: six\nmodel\t: 0x10\nstepping\t: unknown\n";
        assert_eq!(of(text), ["", "", "", "", ""]);
        assert_eq!(of("cpu\t\t: POWER9, altivec supported\n")[0], "POWER9, altivec supported");
    }

    #[test]
    fn a_name_that_the_kernel_prints_goes_before_the_table_of_arm() {
        const ARM: &str = "BogoMIPS\t: 62.50\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n\
            CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd42\nCPU revision\t: 1\n";
        for (head, brand) in [
            ("processor\t: 0\n", "Cortex-A78AE"),
            ("processor\t: 0\nmodel name\t:\n", "Cortex-A78AE"),
            (
                "processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)\n",
                "ARMv8 Processor rev 1 (v8l)",
            ),
            (
                "Processor\t: ARMv7 Processor rev 4 (v7l)\nprocessor\t: 0\n",
                "ARMv7 Processor rev 4 (v7l)",
            ),
            ("processor\t: 0\nMODEL NAME\t: Phytium,D2000/8\n", "Phytium,D2000/8"),
        ] {
            assert_eq!(of(&format!("{head}{ARM}")), [brand, "ARM", "", "1", ""], "{head}");
        }
    }

    #[test]
    fn processors_of_other_kinds_are_read_as_the_originals_read_them() {
        for (text, expected) in [
            (
                "system type\t\t: generic-loongson-machine\n\nprocessor\t\t: 0\npackage\t\t\t: 0\n\
                 CPU Family\t\t: Loongson-64bit\nModel Name\t\t: Loongson-3A5000\n",
                "Loongson-3A5000",
            ),
            ("system type\t\t: x\nprocessor\t\t: 0\ncpu model\t\t: MIPS 24Kc V0.0\n", ""),
            (
                "processor\t\t: 0\ncpu model\t\t: x\nmodel name\t\t: Loongson-3A R4\n",
                "Loongson-3A R4",
            ),
            (
                "# processors    : 1\nprocessor 0: version = 00,  machine = 3906\ncpu number : 0\n",
                "",
            ),
            (
                "processor\t: 0\ncpu\t\t: POWER9, altivec supported\nmodel\t\t: 9006-22P\n",
                "POWER9, altivec supported",
            ),
            ("processor\t: 0\nisa\t\t: rv64imafdc\nuarch\t\t: sifive,u74-mc\n", "sifive,u74-mc"),
            ("processor\t: 0\nhart\t\t: 1\nmvendorid\t: 0x5b7\nmarchid\t\t: 0x0\n", ""),
        ] {
            assert_eq!(of(text), [expected, "", "", "", ""], "{text}");
        }
    }

    #[test]
    fn cpuid_goes_before_the_file() {
        let tree = Tree::new().file("/proc/cpuinfo", INTEL);
        let machine = tree.machine().with_cpuid([
            (0, [1, 0x6874_7541, 0x444d_4163, 0x6974_6e65]),
            (1, [0x0083_0f10, 0, 0, 0]),
        ]);
        let found = facts(&machine);
        assert_eq!(found.cpu_vendor.as_deref(), Some("AuthenticAMD"));
        assert_eq!(found.cpu_stepping.as_deref(), Some("0"));
    }

    #[test]
    fn without_cpuinfo_the_arm_register_speaks() {
        let path = super::arm::REGISTER;
        let tree = Tree::new().file(path, "0x00000000410fd4f0\n");
        assert_eq!(facts(&tree.machine()).cpu_brand.as_deref(), Some("Neoverse-V2"));
        let tree = tree.file("/proc/cpuinfo", "garbage\n:\n::::\n");
        assert_eq!(facts(&tree.machine()).cpu_brand.as_deref(), Some("Neoverse-V2"));
    }

    #[test]
    fn garbage_and_nothing_are_unknown() {
        assert_eq!(of(""), ["", "", "", "", ""]);
        assert_eq!(of("model name\n:\nmodel name\t:\n\u{0}\u{0}: 1"), ["", "", "", "", ""]);
        assert_eq!(facts(&Tree::new().machine()), Facts::default());
    }
}
