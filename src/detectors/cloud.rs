//! Reads the cloud provider from DMI files and one environment variable.
//!
//! Files and words have the order of the original reporters, so that a machine whose DMI names two
//! clouds gets the same one. Clouds that the originals do not know come last. No metadata server is
//! asked: that would be a network call for something the firmware already says.

use super::{Machine, Reader};

/// The folder of the DMI files; many virtual machines and ARM boards do not have it.
const FOLDER: &str = "/sys/class/dmi/id";

/// Files that name the cloud, in the order in which they are asked.
const FILES: [&str; 5] = [
    "/sys/class/dmi/id/product_version",
    "/sys/class/dmi/id/bios_vendor",
    "/sys/class/dmi/id/product_name",
    "/sys/class/dmi/id/chassis_asset_tag",
    "/sys/class/dmi/id/sys_vendor",
];

/// Words in those files, in lower case and in the order in which they are looked for, each with its
/// value of OpenTelemetry's `cloud.provider`.
const WORDS: [(&str, &str); 4] = [
    ("amazon", "aws"),
    ("microsoft corporation", "azure"),
    ("google", "gcp"),
    ("oraclecloud", "oracle_cloud"),
];

/// Words that the original reporters do not look for; flat JSON carries `UNKNOWN` for these clouds.
///
/// The words are those of the cloud's firmware, as cloud-init knows them. The values are those of the
/// semantic conventions, else the cloud's name. Clouds whose firmware does not name them (bare metal,
/// plain QEMU) are missing.
const OTHER_WORDS: [(&str, &str); 12] = [
    ("alibaba cloud", "alibaba_cloud"),
    ("tencent cloud", "tencent_cloud"),
    ("ibm:cloud compute server", "ibm_cloud"),
    ("ibmcloud", "ibm_cloud"),
    ("digitalocean", "digitalocean"),
    ("hetzner", "hetzner"),
    ("huaweicloud", "huawei_cloud"),
    ("akamai", "akamai_cloud"),
    ("linode", "akamai_cloud"),
    ("scaleway", "scaleway_cloud"),
    ("upcloud", "upcloud"),
    ("vultr", "vultr"),
];

pub(super) const READER: Reader =
    Reader { name: "cloud", read: |machine, facts| facts.cloud_provider = provider(machine) };

fn provider(machine: &Machine) -> Option<&'static str> {
    let mut texts = Vec::new();
    let files = if machine.may_hold(FOLDER) { &FILES[..] } else { &[] };
    for text in files.iter().filter_map(|path| machine.attribute(path)) {
        let text = text.to_lowercase();
        if let Some(provider) = named(&text, &WORDS) {
            return Some(provider);
        }
        texts.push(text);
    }
    if machine.has_variable("RUNPOD_DC_ID") {
        return Some("runpod");
    }
    texts.iter().find_map(|text| named(text, &OTHER_WORDS))
}

fn named(text: &str, words: &[(&str, &'static str)]) -> Option<&'static str> {
    words.iter().find(|(word, _)| text.contains(word)).map(|&(_, provider)| provider)
}

/// Returns whether a text of one of the files names a cloud.
#[cfg(feature = "recording")]
pub(super) fn is_telling(text: &str) -> bool {
    let text = text.to_lowercase();
    named(&text, &WORDS).or_else(|| named(&text, &OTHER_WORDS)).is_some()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::{OTHER_WORDS, WORDS, provider};
    use crate::schema::{Contract, Literal, Source};

    /// A machine with the given DMI files.
    fn dmi(files: &[(&str, &str)]) -> Tree {
        files.iter().fold(Tree::new(), |tree, (name, text)| {
            tree.file(&format!("/sys/class/dmi/id/{name}"), text)
        })
    }

    #[test]
    fn nitro_is_known_by_its_vendor() {
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
    fn xen_is_known_by_its_version() {
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
    fn oracle_is_known_by_its_asset_tag() {
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
    fn runpod_counts_only_if_the_files_name_no_cloud() {
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
    fn clouds_that_the_originals_do_not_know_come_last() {
        for (file, text, expected) in [
            ("product_name", "Alibaba Cloud ECS\n", "alibaba_cloud"),
            ("sys_vendor", "Tencent Cloud\n", "tencent_cloud"),
            ("sys_vendor", "IBM:Cloud Compute Server 1.0:bx2-4x16\n", "ibm_cloud"),
            ("chassis_asset_tag", "ibmcloud\n", "ibm_cloud"),
            ("sys_vendor", "DigitalOcean\n", "digitalocean"),
            ("sys_vendor", "Hetzner\n", "hetzner"),
            ("chassis_asset_tag", "HUAWEICLOUD\n", "huawei_cloud"),
            ("sys_vendor", "Akamai\n", "akamai_cloud"),
            ("sys_vendor", "Linode\n", "akamai_cloud"),
            ("sys_vendor", "Scaleway\n", "scaleway_cloud"),
            ("sys_vendor", "UpCloud\n", "upcloud"),
            ("sys_vendor", "Vultr\n", "vultr"),
        ] {
            assert_eq!(provider(&dmi(&[(file, text)]).machine()), Some(expected), "{text}");
        }
        let both = dmi(&[("product_name", "Alibaba Cloud ECS"), ("sys_vendor", "Google")]);
        assert_eq!(provider(&both.machine()), Some("gcp"));
        let pod = dmi(&[("sys_vendor", "Hetzner")]);
        assert_eq!(provider(&pod.machine_with(&[("RUNPOD_DC_ID", "EU-1")])), Some("runpod"));
        assert_eq!(provider(&pod.machine_with(&[("RUNPOD_DC_ID", "")])), Some("hetzner"));
    }

    #[test]
    fn flat_json_has_the_words_of_the_originals_and_unknown_for_other_clouds() {
        let mut fields = 0;
        let contracts = Contract::built_in();
        let messages = contracts.iter().flat_map(|contract| contract.messages.iter());
        for field in messages.flat_map(|message| message.fields.iter()) {
            let Source::ResourceMapped(name, words) = &field.source else { continue };
            let on_wire = |provider: &str| {
                words.iter().find(|(word, _)| word == provider).map(|(_, wire)| wire.as_ref())
            };
            assert_eq!(name, "cloud.provider");
            assert_eq!(field.absent, Literal::Str("UNKNOWN".into()));
            let known = WORDS.iter().map(|&(_, provider)| provider).chain(["runpod"]);
            let known: Vec<_> = known.map(on_wire).collect();
            assert_eq!(known, ["AWS", "AZURE", "GCP", "OCI", "RUNPOD"].map(Some));
            for (_, provider) in OTHER_WORDS {
                assert_eq!(on_wire(provider), None, "{provider}");
            }
            fields += 1;
        }
        assert!(fields >= 4, "each contract has a provider");
    }

    #[test]
    fn no_dmi_other_vendors_and_garbage_are_unknown() {
        assert_eq!(provider(&Tree::new().machine()), None);
        assert_eq!(provider(&dmi(&[("sys_vendor", "Dell Inc.")]).machine()), None);
        let garbage = Tree::new().bytes("/sys/class/dmi/id/sys_vendor", &[0xff; 5000]);
        assert_eq!(provider(&garbage.machine()), None);
    }
}
