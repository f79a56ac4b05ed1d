//! Reads from CPUID what Linux prints of it in `/proc/cpuinfo`.
//!
//! The rules are the kernel's: how family and model are put together, how the brand is trimmed, and
//! what is printed without a brand. Six leaves are asked; in a virtual machine each takes some
//! microseconds, because it leaves the guest.

use super::super::{Facts, files};

/// Highest basic leaf, and the vendor.
const VENDOR: u32 = 0;
/// Family, model and stepping.
pub(in super::super) const SIGNATURE: u32 = 1;
/// Highest extended leaf.
const EXTENDED: u32 = 0x8000_0000;
/// The three leaves that hold the brand, 16 characters each.
const BRAND: [u32; 3] = [0x8000_0002, 0x8000_0003, 0x8000_0004];

/// Every leaf that is asked.
#[cfg(feature = "recording")]
pub(in super::super) const LEAVES: [u32; 6] =
    [VENDOR, SIGNATURE, EXTENDED, 0x8000_0002, 0x8000_0003, 0x8000_0004];

/// Reads the five facts about the CPU. Returns `None` without CPUID.
pub(super) fn read(leaf: &dyn Fn(u32) -> Option<[u32; 4]>) -> Option<Facts> {
    let [highest, ebx, ecx, edx] = leaf(VENDOR)?;
    if highest < SIGNATURE {
        return None;
    }
    let [signature, ..] = leaf(SIGNATURE)?;
    let (family, model, stepping) = decode(signature);
    let brand = brand(leaf).unwrap_or_else(|| format!("{family:02x}/{model:02x}"));
    Some(Facts {
        cpu_brand: Some(brand),
        // The vendor reads on from ebx to edx to ecx.
        cpu_vendor: Some(characters(&[ebx, edx, ecx])).filter(|vendor| !vendor.is_empty()),
        cpu_family: Some(family.to_string()),
        cpu_model: Some(model.to_string()),
        cpu_stepping: Some(stepping.to_string()),
        ..Facts::default()
    })
}

/// Decodes family, model and stepping of a signature.
fn decode(signature: u32) -> (u32, u32, u32) {
    let bits = |from: u32, mask: u32| signature.wrapping_shr(from) & mask;
    let base = bits(8, 0xf);
    let family = if base == 0xf { base.saturating_add(bits(20, 0xff)) } else { base };
    let model = if family >= 6 { bits(4, 0xf) | (bits(16, 0xf) << 4) } else { bits(4, 0xf) };
    (family, model, bits(0, 0xf))
}

/// Reads the brand, if this processor has one.
fn brand(leaf: &dyn Fn(u32) -> Option<[u32; 4]>) -> Option<String> {
    let [highest, ..] = leaf(EXTENDED)?;
    // A leaf beyond the highest answers with another leaf's bits.
    if !(EXTENDED.saturating_add(4)..=EXTENDED | 0xffff).contains(&highest) {
        return None;
    }
    let [first, second, third] = BRAND;
    let leaves = [leaf(first)?, leaf(second)?, leaf(third)?];
    Some(characters(leaves.as_flattened())).filter(|brand| !brand.is_empty())
}

/// Returns the characters in up to twelve registers, up to the first NUL and trimmed.
fn characters(registers: &[u32]) -> String {
    let mut bytes = [0; 48];
    for (place, register) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(registers) {
        *place = register.to_le_bytes();
    }
    let until = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    files::characters(bytes.get(..until).unwrap_or_default()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{decode, read};
    use std::collections::BTreeMap;

    /// Registers that hold this text.
    fn text<const N: usize>(text: &str) -> [u32; N] {
        let mut bytes = text.bytes().chain(std::iter::repeat(0));
        std::array::from_fn(|_| u32::from_le_bytes(std::array::from_fn(|_| bytes.next().unwrap())))
    }

    /// The leaves of a processor.
    fn leaves(vendor: &str, signature: u32, brand: &str) -> BTreeMap<u32, [u32; 4]> {
        let [ebx, edx, ecx] = text(vendor);
        let brand: [u32; 12] = text(brand);
        let part = |at: usize| brand.as_chunks::<4>().0[at];
        BTreeMap::from([
            (0, [0x16, ebx, ecx, edx]),
            (1, [signature, 0, 0, 0]),
            (0x8000_0000, [0x8000_0008, 0, 0, 0]),
            (0x8000_0002, part(0)),
            (0x8000_0003, part(1)),
            (0x8000_0004, part(2)),
        ])
    }

    #[test]
    fn signatures_decode_as_the_kernel_decodes_them() {
        for (signature, expected) in [
            (0x0080_0f12, (23, 1, 2)),  // AMD EPYC 7551
            (0x0083_0f10, (23, 49, 0)), // AMD EPYC 7R32
            (0x00a1_0f11, (25, 17, 1)), // AMD EPYC 9R14
            (0x0005_0654, (6, 85, 4)),  // Intel Xeon Platinum 8175M
            (0x000c_06f2, (6, 207, 2)), // Intel Xeon Platinum 8559C
            (0x0000_0f4a, (15, 4, 10)), // Intel Xeon of 2005
            (0x0003_0513, (5, 1, 3)),   // below family 6 the extended model is no model
        ] {
            assert_eq!(decode(signature), expected, "{signature:#x}");
        }
    }

    #[test]
    fn a_brand_is_trimmed_and_ends_at_nul() {
        let brand = "      Intel(R) Xeon(R)  CPU @ 2.50GHz \0junk";
        let leaves = leaves("GenuineIntel", 0x0005_0654, brand);
        let found = read(&|leaf| leaves.get(&leaf).copied()).unwrap();
        assert_eq!(found.cpu_brand.as_deref(), Some("Intel(R) Xeon(R)  CPU @ 2.50GHz"));
        assert_eq!(found.cpu_vendor.as_deref(), Some("GenuineIntel"));
        assert_eq!(found.cpu_family.as_deref(), Some("6"));
        assert_eq!(found.cpu_model.as_deref(), Some("85"));
        assert_eq!(found.cpu_stepping.as_deref(), Some("4"));
    }

    #[test]
    fn a_brand_of_48_characters_needs_no_nul() {
        let brand = "AMD EPYC 9654 96-Core Processor and many more...";
        assert_eq!(brand.len(), 48);
        let leaves = leaves("AuthenticAMD", 0x00a1_0f11, brand);
        let found = read(&|leaf| leaves.get(&leaf).copied()).unwrap();
        assert_eq!(found.cpu_brand.as_deref(), Some(brand));
    }

    #[test]
    fn without_a_brand_family_and_model_are_printed_like_the_kernel_does() {
        let mut leaves = leaves("AuthenticAMD", 0x0083_0f10, "ignored");
        leaves.insert(0x8000_0000, [0x8000_0001, 0, 0, 0]);
        let found = read(&|leaf| leaves.get(&leaf).copied()).unwrap();
        assert_eq!(found.cpu_brand.as_deref(), Some("17/31"));
        leaves.insert(0x8000_0000, [0x16, 0, 0, 0]);
        let found = read(&|leaf| leaves.get(&leaf).copied()).unwrap();
        assert_eq!(found.cpu_brand.as_deref(), Some("17/31"));
    }

    #[test]
    fn without_leaves_nothing_is_known() {
        assert_eq!(read(&|_| None), None);
        assert_eq!(read(&|_| Some([0; 4])), None);
    }

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    #[test]
    fn this_processor_has_the_values_that_the_kernel_prints() {
        use super::super::super::Machine;
        use super::super::cpuinfo;
        let machine = Machine::live(Vec::new());
        let cpuinfo = machine.attribute("/proc/cpuinfo").unwrap();
        let found = read(&|leaf| machine.cpuid(leaf)).unwrap();
        assert_eq!(found.cpu_brand.as_deref(), cpuinfo::value(&cpuinfo, "model name"));
        assert_eq!(found.cpu_vendor.as_deref(), cpuinfo::value(&cpuinfo, "vendor_id"));
        assert_eq!(found.cpu_family.as_deref(), cpuinfo::value(&cpuinfo, "cpu family"));
        assert_eq!(found.cpu_model.as_deref(), cpuinfo::value(&cpuinfo, "model"));
        assert_eq!(found.cpu_stepping.as_deref(), cpuinfo::value(&cpuinfo, "stepping"));
    }
}
