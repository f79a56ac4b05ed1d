//! Lists the graphics part of an Apple processor: one device with the processor's name, as frameworks
//! count it. It shares the host's memory, so it has no number of its own.

use super::super::{Facts, Machine};
use super::AcceleratorSource;
use super::listing::{Device, Listed, Listing, Vendor};

pub(super) struct Apple;

impl Vendor for Apple {
    fn listing(&self, _machine: &Machine, facts: &Facts) -> Listed {
        let is_apple =
            facts.os_type.as_deref() == Some("darwin") && facts.machine.as_deref() == Some("arm64");
        Ok(is_apple.then(|| {
            let device = Device { name: facts.cpu_brand.clone(), ..Device::default() };
            Listing::new(AcceleratorSource::Apple, vec![device])
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Facts;
    use super::super::super::fixture::Tree;
    use super::super::listing::Vendor;
    use super::Apple;

    #[test]
    fn only_apples_own_processors_have_a_device() {
        let machine = Tree::new().machine();
        let some = |text: &str| Some(text.to_owned());
        let mut facts = Facts {
            os_type: some("darwin"),
            machine: some("arm64"),
            cpu_brand: some("Apple M2 Ultra"),
            ..Facts::default()
        };
        let seen = Apple.listing(&machine, &facts).unwrap().unwrap().summary().unwrap();
        assert_eq!((seen.count, seen.memory_bytes), (Some(1), None));
        assert_eq!((seen.name.as_deref(), seen.source.as_str()), (Some("Apple M2 Ultra"), "apple"));
        facts.machine = some("x86_64");
        assert_eq!(Apple.listing(&machine, &facts), Ok(None));
        facts.os_type = some("linux");
        facts.machine = some("arm64");
        assert_eq!(Apple.listing(&machine, &facts), Ok(None));
    }
}
