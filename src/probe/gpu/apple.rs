//! What is known of an Apple processor comes in, its graphics part goes out.
//!
//! It is one device under the processor's name, as frameworks count it. Its memory is the
//! host's, shared, so that there is no number of its own.

use super::super::{Facts, Machine};
use super::AcceleratorSource;
use super::listing::{Answer, Device, Listing, Vendor};

/// Apple by the name of the processor.
pub(super) struct Apple;

impl Vendor for Apple {
    fn listing(&self, _machine: &Machine, facts: &Facts) -> Answer {
        let is_apple =
            facts.os_type.as_deref() == Some("darwin") && facts.machine.as_deref() == Some("arm64");
        Ok(is_apple.then(|| {
            let device = Device { name: facts.cpu_brand.clone(), memory_bytes: None };
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
    fn its_own_processors_have_one_device_and_others_none() {
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
