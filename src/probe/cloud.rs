//! DMI files and one environment variable come in, the cloud provider goes out.
//!
//! The order of files and of words is the one both original reporters use, so that a machine
//! with two names in its DMI gets the same one. No metadata server is ever asked: that would
//! be a network call to learn what the firmware already says.

use super::{Facts, Machine};

/// Files that name the cloud, in the order in which they are asked.
const FILES: [&str; 5] = [
    "/sys/class/dmi/id/product_version",
    "/sys/class/dmi/id/bios_vendor",
    "/sys/class/dmi/id/product_name",
    "/sys/class/dmi/id/chassis_asset_tag",
    "/sys/class/dmi/id/sys_vendor",
];

/// Words in those files, lower-cased, in the order in which they are looked for, and the
/// value of OpenTelemetry's `cloud.provider` each stands for.
const WORDS: [(&str, &str); 4] = [
    ("amazon", "aws"),
    ("microsoft corporation", "azure"),
    ("google", "gcp"),
    ("oraclecloud", "oracle_cloud"),
];

/// Fills in the provider.
pub(super) fn fill(machine: &Machine, facts: &mut Facts) {
    facts.cloud_provider = provider(machine).map(str::to_owned);
}

fn provider(machine: &Machine) -> Option<&'static str> {
    FILES
        .iter()
        .filter_map(|path| machine.attribute(path))
        .find_map(|text| named(&text.to_lowercase()))
        .or_else(|| machine.has_variable("RUNPOD_DC_ID").then_some("runpod"))
}

fn named(text: &str) -> Option<&'static str> {
    WORDS.iter().find(|(word, _)| text.contains(word)).map(|&(_, provider)| provider)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::provider;

    /// A machine with the given DMI files.
    fn dmi(files: &[(&str, &str)]) -> Tree {
        files.iter().fold(Tree::new(), |tree, (name, text)| {
            tree.file(&format!("/sys/class/dmi/id/{name}"), text)
        })
    }

    #[test]
    fn nitro_says_amazon_in_its_vendor() {
        let tree = dmi(&[
            ("product_version", "\n"),
            ("bios_vendor", "Amazon EC2\n"),
            ("product_name", "p5.48xlarge\n"),
            ("chassis_asset_tag", "Amazon EC2\n"),
            ("sys_vendor", "Amazon EC2\n"),
        ]);
        assert_eq!(provider(&tree.machine()), Some("aws"));
    }

    #[test]
    fn xen_says_amazon_in_its_version() {
        let tree = dmi(&[
            ("product_version", "4.11.amazon\n"),
            ("bios_vendor", "Xen\n"),
            ("product_name", "HVM domU\n"),
            ("sys_vendor", "Xen\n"),
        ]);
        assert_eq!(provider(&tree.machine()), Some("aws"));
    }

    #[test]
    fn google_is_gcp() {
        let tree = dmi(&[
            ("bios_vendor", "Google\n"),
            ("product_name", "Google Compute Engine\n"),
            ("sys_vendor", "Google\n"),
        ]);
        assert_eq!(provider(&tree.machine()), Some("gcp"));
    }

    #[test]
    fn microsoft_is_azure() {
        let tree = dmi(&[
            ("product_version", "7.0\n"),
            ("bios_vendor", "American Megatrends Inc.\n"),
            ("product_name", "Virtual Machine\n"),
            ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77\n"),
            ("sys_vendor", "Microsoft Corporation\n"),
        ]);
        assert_eq!(provider(&tree.machine()), Some("azure"));
    }

    #[test]
    fn oracle_says_so_in_its_asset_tag() {
        let tree = dmi(&[
            ("bios_vendor", "SeaBIOS\n"),
            ("product_name", "Standard PC (i440FX + PIIX, 1996)\n"),
            ("chassis_asset_tag", "OracleCloud.com\n"),
            ("sys_vendor", "QEMU\n"),
        ]);
        assert_eq!(provider(&tree.machine()), Some("oracle_cloud"));
    }

    #[test]
    fn an_earlier_file_wins_over_a_later_one() {
        let tree = dmi(&[("bios_vendor", "Google"), ("sys_vendor", "Amazon EC2")]);
        assert_eq!(provider(&tree.machine()), Some("gcp"));
    }

    #[test]
    fn runpod_counts_only_where_the_files_say_nothing() {
        let here = [("RUNPOD_DC_ID", "US-KS-2")];
        assert_eq!(provider(&Tree::new().machine_with(&here)), Some("runpod"));
        let plain = dmi(&[("sys_vendor", "Supermicro")]);
        assert_eq!(provider(&plain.machine_with(&here)), Some("runpod"));
        let aws = dmi(&[("sys_vendor", "Amazon EC2")]);
        assert_eq!(provider(&aws.machine_with(&here)), Some("aws"));
        let empty = [("RUNPOD_DC_ID", "")];
        assert_eq!(provider(&Tree::new().machine_with(&empty)), None);
    }

    #[test]
    fn no_dmi_other_vendors_and_garbage_are_unknown() {
        assert_eq!(provider(&Tree::new().machine()), None);
        assert_eq!(provider(&dmi(&[("sys_vendor", "Dell Inc.")]).machine()), None);
        let garbage = Tree::new().bytes("/sys/class/dmi/id/sys_vendor", &[0xff; 5000]);
        assert_eq!(provider(&garbage.machine()), None);
    }
}
