//! Lists Google's TPU chips by device files and variables.
//!
//! Only Google's machines have TPUs; on others no file is looked for. The name is the accelerator's
//! type as its users write it (`v6e-8`), else its generation by PCI number. The memory is unknown.

use super::super::{Facts, Machine};
use super::listing::{Device, Listed, Listing, Vendor};
use super::{AcceleratorSource, visible};

/// Has the type of the accelerator: `v5litepod-8`.
const TYPE: &str = "TPU_ACCELERATOR_TYPE";

/// Google's PCI number; its network cards have it too.
const VENDOR: &str = "0x1ae0";

/// PCI numbers of the chips, and their generations.
const GENERATIONS: [(&str, Option<&str>); 7] = [
    // Two generations share this one.
    ("0x0027", None),
    ("0x0056", None),
    ("0x005e", Some("v4")),
    ("0x0062", Some("v5p")),
    ("0x0063", Some("v5e")),
    ("0x006f", Some("v6e")),
    ("0x0076", Some("tpu7x")),
];

/// Most chips that one host may have; there are 8.
const MOST: usize = 64;

pub(super) struct Google;

impl Vendor for Google {
    fn listing(&self, machine: &Machine, facts: &Facts) -> Listed {
        let named = machine.variable(TYPE).and_then(known_type);
        let told = named.is_some() || machine.has_variable("TPU_CHIPS_PER_HOST_BOUNDS");
        if !told && facts.cloud_provider != Some("gcp") {
            return Ok(None);
        }
        let Some((chips, generation)) = chips(machine, told) else {
            return Ok(None);
        };
        let name = named.or(generation).map(str::to_owned);
        let device = Device { name, ..Device::default() };
        let Some(chips) = chips else {
            // A type alone counts the chips of many hosts.
            return Ok(Some(Listing::new(AcceleratorSource::Tpu, vec![device]).uncertain()));
        };
        let devices = vec![device; chips];
        let list = ["TPU_VISIBLE_CHIPS", "TPU_VISIBLE_DEVICES"];
        let list = list.into_iter().find_map(|variable| machine.variable(variable));
        Ok(Some(match list.map(|list| visible::choose(&devices, list)) {
            None => Listing::new(AcceleratorSource::Tpu, devices),
            Some(Some(chosen)) => Listing::new(AcceleratorSource::Tpu, chosen),
            Some(None) => Listing::new(AcceleratorSource::Tpu, devices).uncertain(),
        }))
    }
}

/// Returns number and generation of the chips, each if known, or `None` without chips.
fn chips(machine: &Machine, told: bool) -> Option<(Option<usize>, Option<&'static str>)> {
    let bounds = machine.variable("TPU_CHIPS_PER_HOST_BOUNDS").and_then(product);
    let files = files(machine);
    // `/dev/vfio` has groups of any device; only chips on the bus make them TPUs.
    let found = if told { Vec::new() } else { on_the_bus(machine, files) };
    let generation = match found.split_first() {
        Some((first, others)) if others.iter().all(|other| other == first) => *first,
        _ => None,
    };
    match (told, files) {
        (true, 0) => Some((bounds, None)),
        (true, files) => Some((Some(files), None)),
        (false, _) if found.is_empty() => None,
        (false, files) => Some((Some(files.min(found.len())), generation)),
    }
}

/// Counts the device files of chips: `/dev/accel0`, or `/dev/vfio/0` of newer ones.
fn files(machine: &Machine) -> usize {
    let accel = (0..MOST).take_while(|chip| machine.exists(&format!("/dev/accel{chip}"))).count();
    if accel > 0 {
        return accel;
    }
    machine.names("/dev/vfio").filter(|name| name.parse::<u32>().is_ok()).take(MOST).count()
}

/// Lists the generations of chips on the PCI bus, which is searched only if device files exist.
fn on_the_bus(machine: &Machine, files: usize) -> Vec<Option<&'static str>> {
    let devices = "/sys/bus/pci/devices";
    let names = (files > 0).then(|| machine.names(devices));
    names
        .into_iter()
        .flatten()
        .filter(|name| {
            machine.attribute(&format!("{devices}/{name}/vendor")).as_deref() == Some(VENDOR)
        })
        .filter_map(|name| {
            let number = machine.attribute(&format!("{devices}/{name}/device"))?;
            Some(GENERATIONS.iter().find(|(known, _)| *known == number)?.1)
        })
        .take(MOST)
        .collect()
}

/// Returns a type that has Google's form, such as `v6e-8`; any other text must not be sent.
fn known_type(text: &str) -> Option<&str> {
    let (generation, chips) = text.trim().split_once('-')?;
    let known = ["v2", "v3", "v4", "v5p", "v5e", "v5litepod", "v6e", "tpu7x"];
    let number = !chips.is_empty() && chips.len() <= 6 && chips.bytes().all(|c| c.is_ascii_digit());
    (known.contains(&generation) && number).then(|| text.trim())
}

/// Returns the number of chips of bounds such as `2,4,1`.
fn product(bounds: &str) -> Option<usize> {
    let chips = bounds
        .split(',')
        .try_fold(1_usize, |product, side| product.checked_mul(side.trim().parse().ok()?));
    chips.filter(|chips| (1..=MOST).contains(chips))
}

#[cfg(test)]
mod tests {
    use super::super::super::Facts;
    use super::super::super::fixture::Tree;
    use super::super::listing::Vendor;
    use super::{Google, TYPE, known_type, product};

    fn on_google() -> Facts {
        Facts { cloud_provider: Some("gcp"), ..Facts::default() }
    }

    /// Count, name and source of what is found.
    fn seen(
        tree: &Tree,
        environment: &[(&str, &str)],
        facts: &Facts,
    ) -> Option<(Option<i64>, Option<String>)> {
        let machine = tree.machine_with(environment);
        let found = Google.listing(&machine, facts).unwrap()?.summary()?;
        assert_eq!((found.memory_bytes, found.source.as_str()), (None, "tpu"));
        Some((found.count, found.name))
    }

    fn chip(tree: Tree, number: u32) -> Tree {
        let device = format!("/sys/bus/pci/devices/0000:00:{number:02}.0");
        tree.file(&format!("{device}/vendor"), "0x1ae0\n")
            .file(&format!("{device}/device"), "0x006f\n")
            .file(&format!("/dev/vfio/{number}"), "")
    }

    #[test]
    fn variables_name_the_type_and_device_files_count() {
        let tree = (0..4).fold(Tree::new(), |tree, n| tree.file(&format!("/dev/accel{n}"), ""));
        let name = Some("v4-8".to_owned());
        let facts = Facts::default();
        assert_eq!(seen(&tree, &[(TYPE, "v4-8")], &facts), Some((Some(4), name.clone())));
        let chosen = [(TYPE, "v4-8"), ("TPU_VISIBLE_CHIPS", "0,1")];
        assert_eq!(seen(&tree, &chosen, &facts), Some((Some(2), name.clone())));
        let unclear = [(TYPE, "v4-8"), ("TPU_VISIBLE_DEVICES", "all")];
        assert_eq!(seen(&tree, &unclear, &facts), Some((None, name)));
    }

    #[test]
    fn without_files_the_bounds_give_the_number_and_a_type_does_not() {
        let (tree, facts) = (Tree::new(), Facts::default());
        let name = Some("v5litepod-16".to_owned());
        let bounds = [(TYPE, "v5litepod-16"), ("TPU_CHIPS_PER_HOST_BOUNDS", "2,4,1")];
        assert_eq!(seen(&tree, &bounds, &facts), Some((Some(8), name.clone())));
        assert_eq!(seen(&tree, &[(TYPE, "v5litepod-16")], &facts), Some((None, name)));
    }

    #[test]
    fn without_variables_the_bus_decides_and_only_at_google() {
        let tree = (1..=8).fold(Tree::new(), chip).file("/dev/vfio/vfio", "");
        let generation = Some("v6e".to_owned());
        assert_eq!(seen(&tree, &[], &on_google()), Some((Some(8), generation)));
        assert_eq!(seen(&tree, &[], &Facts::default()), None);
        // A network card of Google's, and a group that something else was put into.
        let tree = Tree::new()
            .file("/sys/bus/pci/devices/0000:00:05.0/vendor", "0x1ae0\n")
            .file("/sys/bus/pci/devices/0000:00:05.0/device", "0x0042\n")
            .file("/dev/vfio/7", "");
        assert_eq!(seen(&tree, &[], &on_google()), None);
    }

    #[test]
    fn types_and_bounds_of_another_form_are_ignored() {
        assert_eq!(known_type(" v6e-8 "), Some("v6e-8"));
        for other in ["", "v6e", "v6e-", "v6e-x", "alice-8", "v6e-8/home/alice", "v6e-99999999"] {
            assert_eq!(known_type(other), None, "{other:?}");
        }
        assert_eq!(product("2,2,1"), Some(4));
        for other in ["", "0,1,1", "2,x", "9999999999,9999999999,9", "16,16,1"] {
            assert_eq!(product(other), None, "{other:?}");
        }
    }
}
