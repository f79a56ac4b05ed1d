//! OpenTelemetry resource detectors over the table of facts, for programs with a provider of their own.
//!
//! They block until files and drivers have answered, and they ask no consent, because they send
//! nothing. None of them reads LMCache's machine id.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::ResourceDetector;

use super::{
    FACTS, Facts, Machine, Reader, accelerators, cloud, container, cpu, fallback, memory, os,
};
use crate::settings::Env;

/// Defines a detector: its readers in their order, and the beginnings of its attributes.
macro_rules! detector {
    ($(#[$doc:meta])* $name:ident reads $readers:expr, gives $attributes:expr) => {
        $(#[$doc])*
        ///
        /// Blocks until everything has answered. Asks no consent and sends nothing.
        #[derive(Debug, Clone, Copy, Default)]
        #[expect(clippy::exhaustive_structs, reason = "a detector has no settings")]
        pub struct $name;

        impl $name {
            const READERS: &'static [Reader] = &$readers;
            const ATTRIBUTES: &'static [&'static str] = &$attributes;
        }

        impl ResourceDetector for $name {
            fn detect(&self) -> Resource {
                detect(Self::READERS, Self::ATTRIBUTES)
            }
        }
    };
}

detector! {
    /// Detects the processor, memory and hardware name: `host.*`, `otel_usage.cpu.*`, `otel_usage.memory.*`,
    /// `otel_usage.machine`, `otel_usage.architecture`.
    HostDetector
    reads [
        os::NAMES, memory::TOTAL, cpu::READER, cpu::LOGICAL, cpu::PHYSICAL, memory::LIMIT,
        fallback::READER, os::ARCHITECTURE
    ],
    gives ["host.", "otel_usage.cpu.", "otel_usage.memory.", "otel_usage.machine", "otel_usage.architecture"]
}

detector! {
    /// Detects the operating system: `os.type`, `otel_usage.platform`.
    OsDetector reads [os::NAMES, fallback::READER], gives ["os.", "otel_usage.platform"]
}

detector! {
    /// Detects the container: `container.runtime.name`, `otel_usage.container.kind`.
    ContainerDetector reads [container::READER], gives ["container.", "otel_usage.container."]
}

detector! {
    /// Detects the cloud provider by the firmware, without a metadata server: `cloud.provider`.
    CloudDetector reads [cloud::READER], gives ["cloud."]
}

detector! {
    /// Detects the accelerators that this process sees: `otel_usage.accelerator.*`,
    /// `otel_usage.probe.accelerator`. A driver that hangs blocks this call for ever.
    AcceleratorDetector
    reads [os::NAMES, cloud::READER, cpu::READER, fallback::READER, accelerators::READER],
    gives ["otel_usage.accelerator.", "otel_usage.probe."]
}

fn detect(readers: &[Reader], attributes: &[&str]) -> Resource {
    let machine = Machine::live(Env::of_machine().pairs());
    let mut facts = Facts::default();
    for reader in readers {
        (reader.read)(&machine, &mut facts);
    }
    let wanted = FACTS
        .iter()
        .filter(|fact| attributes.iter().any(|start| fact.attribute.starts_with(start)));
    let known = wanted.filter_map(|fact| Some(KeyValue::new(fact.attribute, fact.value(&facts)?)));
    Resource::builder_empty().with_attributes(known).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Usage;
    use crate::schema::{lmcache, vllm};

    #[test]
    fn together_the_detectors_give_the_machine_as_the_library_reports_it() {
        let detectors: [Box<dyn ResourceDetector>; 5] = [
            Box::new(HostDetector),
            Box::new(OsDetector),
            Box::new(ContainerDetector),
            Box::new(CloudDetector),
            Box::new(AcceleratorDetector),
        ];
        let found = Resource::builder_empty().with_detectors(&detectors).build();
        let builder = Usage::builder(&vllm::CURRENT);
        let report =
            builder.inspect().unwrap().preview(vllm::Report::default()).remove(0).resource();
        let others = ["service.", "telemetry.", "vllm."];
        let expected: Vec<_> = report
            .iter()
            .filter(|(key, _)| !others.iter().any(|start| key.as_str().starts_with(start)))
            .collect();
        assert!(expected.len() > 5, "{expected:?}");
        for (key, value) in &expected {
            assert_eq!(found.get_ref(key), Some(*value), "{key}");
        }
        assert_eq!(found.len(), expected.len(), "{found:?}");
        assert_eq!(found.get(&lmcache::MACHINE_ID.into()), None);
    }

    #[test]
    fn every_fact_of_the_machine_is_read_by_one_detector() {
        let all = [
            (HostDetector::READERS, HostDetector::ATTRIBUTES),
            (OsDetector::READERS, OsDetector::ATTRIBUTES),
            (ContainerDetector::READERS, ContainerDetector::ATTRIBUTES),
            (CloudDetector::READERS, CloudDetector::ATTRIBUTES),
            (AcceleratorDetector::READERS, AcceleratorDetector::ATTRIBUTES),
        ];
        for fact in FACTS.iter().filter(|fact| fact.attribute != lmcache::INSTALL_SOURCE) {
            let gives =
                |attributes: &[&str]| attributes.iter().any(|it| fact.attribute.starts_with(it));
            let of: Vec<_> = all.iter().filter(|(_, attributes)| gives(attributes)).collect();
            assert_eq!(of.len(), 1, "{}", fact.attribute);
            assert!(of[0].0.iter().any(|reader| reader.name == fact.reader), "{}", fact.attribute);
        }
    }
}
