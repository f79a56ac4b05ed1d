//! The facts as they are shown. In: what the probe found and was asked. Out: for each fact its
//! value and where it was read, or words for why there is none.

use otel_usage::probe::{Accelerators, Answer, Asked, Facts, Source};
use otel_usage::schema::lmcache;
use serde_json::Value;

/// How a fact is shown.
pub(super) struct Fact {
    pub(super) name: &'static str,
    /// The OpenTelemetry attribute that carries it.
    pub(super) attribute: &'static str,
    /// The step that looks for it.
    pub(super) step: &'static str,
    pub(super) value: fn(&Facts) -> Option<Value>,
    /// Why it is absent where nothing that could tell is there.
    nothing: &'static str,
    /// Why it is absent where something is there.
    silent: &'static str,
    tells: Tells,
}

/// Which of the sources of a step have told.
enum Tells {
    /// All that were found, together.
    All,
    /// The first that was found: the others tell another fact.
    First,
    /// The last that was found: the step stops where it knows.
    Last,
}

/// Shorthand: a fact.
const fn fact(
    (name, attribute): (&'static str, &'static str),
    (step, tells): (&'static str, Tells),
    value: fn(&Facts) -> Option<Value>,
    [nothing, silent]: [&'static str; 2],
) -> Fact {
    Fact { name, attribute, step, value, nothing, silent, tells }
}

const NO_CPU: [&str; 2] = ["no CPUID and no /proc/cpuinfo", "this processor does not say"];
const NO_NAME: [&str; 2] = ["no uname", "uname leaves it empty"];
const NO_DRIVER: [&str; 2] = ["no accelerator driver to ask", "no device is visible"];

/// Every fact, in the order in which it is shown.
pub(super) const ALL: &[Fact] = &[
    fact(
        ("cloud provider", "cloud.provider"),
        ("cloud", Tells::Last),
        |facts| text(&facts.cloud_provider),
        ["no DMI files", "the firmware (DMI) names no cloud that is known"],
    ),
    fact(
        ("container", "container.runtime.name"),
        ("container", Tells::Last),
        |facts| text(&facts.container),
        ["no sign of a container", "no sign of a container"],
    ),
    fact(
        ("logical CPUs", "usage.cpu.count"),
        ("cpu count", Tells::Last),
        |facts| number(facts.cpu_count),
        ["no list of CPUs, no /proc/stat, no /proc/cpuinfo", "the list of CPUs makes no sense"],
    ),
    fact(
        ("physical cores", "usage.cpu.physical_count"),
        ("core count", Tells::All),
        |facts| number(facts.cpu_physical_count),
        ["no topology in sysfs, no /proc/cpuinfo", "no file tells which CPUs share a core"],
    ),
    fact(
        ("CPU brand", "host.cpu.model.name"),
        ("cpu", Tells::Last),
        |facts| text(&facts.cpu_brand),
        NO_CPU,
    ),
    fact(
        ("CPU vendor", "host.cpu.vendor.id"),
        ("cpu", Tells::Last),
        |facts| text(&facts.cpu_vendor),
        NO_CPU,
    ),
    fact(
        ("CPU family", "host.cpu.family"),
        ("cpu", Tells::Last),
        |facts| text(&facts.cpu_family),
        [NO_CPU[0], "this processor has none (Arm never has)"],
    ),
    fact(
        ("CPU model", "host.cpu.model.id"),
        ("cpu", Tells::Last),
        |facts| text(&facts.cpu_model),
        NO_CPU,
    ),
    fact(
        ("CPU stepping", "host.cpu.stepping"),
        ("cpu", Tells::Last),
        |facts| text(&facts.cpu_stepping),
        [NO_CPU[0], "this processor has none (Arm never has)"],
    ),
    fact(
        ("memory", "usage.memory.total"),
        ("memory", Tells::Last),
        |facts| number(facts.memory_bytes),
        ["no /proc/meminfo", "/proc/meminfo has no MemTotal"],
    ),
    fact(
        ("memory limit", "usage.memory.limit"),
        ("memory limit", Tells::All),
        |facts| number(facts.memory_limit_bytes),
        ["no cgroup", "no cgroup sets a limit"],
    ),
    fact(
        ("machine", "usage.machine"),
        ("system", Tells::First),
        |facts| text(&facts.machine),
        NO_NAME,
    ),
    fact(("system", "os.type"), ("system", Tells::First), |facts| text(&facts.os_type), NO_NAME),
    fact(
        ("platform", "usage.platform"),
        ("system", Tells::All),
        |facts| text(&facts.platform),
        NO_NAME,
    ),
    fact(
        ("architecture", "usage.architecture"),
        ("architecture", Tells::All),
        |facts| Some(facts.architecture.as_ref()?.to_vec().into()),
        NO_NAME,
    ),
    fact(
        ("install source", lmcache::INSTALL_SOURCE),
        ("install source", Tells::Last),
        |facts| text(&facts.install_source),
        ["nothing to look at", "nothing tells"],
    ),
    fact(
        ("accelerators", "usage.accelerator.count"),
        ("accelerators", Tells::All),
        |facts| number(accelerators(facts)?.count),
        NO_DRIVER,
    ),
    fact(
        ("accelerator", "usage.accelerator.name"),
        ("accelerators", Tells::All),
        |facts| text(&accelerators(facts)?.name),
        NO_DRIVER,
    ),
    fact(
        ("its memory", "usage.accelerator.memory"),
        ("accelerators", Tells::All),
        |facts| number(accelerators(facts)?.memory_bytes),
        NO_DRIVER,
    ),
    fact(
        ("they differ", "usage.accelerator.mixed"),
        ("accelerators", Tells::All),
        |facts| accelerators(facts)?.mixed.map(Value::from),
        ["no driver found", "fewer than two, or not told"],
    ),
    fact(
        ("driver", "usage.accelerator.driver.version"),
        ("accelerators", Tells::All),
        |facts| text(&accelerators(facts)?.driver_version),
        NO_DRIVER,
    ),
    fact(
        ("newest CUDA", "usage.accelerator.driver.cuda"),
        ("accelerators", Tells::All),
        |facts| text(&accelerators(facts)?.driver_cuda),
        NO_DRIVER,
    ),
    fact(
        ("counted by", "usage.probe.accelerator"),
        ("accelerators", Tells::All),
        |facts| Some(accelerators(facts)?.source.as_str().into()),
        NO_DRIVER,
    ),
];

fn text(text: &Option<String>) -> Option<Value> {
    text.as_deref().map(Value::from)
}

fn number(number: Option<i64>) -> Option<Value> {
    number.map(Value::from)
}

fn accelerators(facts: &Facts) -> Option<&Accelerators> {
    facts.accelerators.as_ref()
}

impl Fact {
    /// The sources that told the fact, of those its step asked.
    pub(super) fn told<'a>(&self, sources: &'a [Source]) -> Vec<&'a Source> {
        let mut told: Vec<&Source> = Vec::new();
        for source in sources.iter().filter(|source| source.answer == Answer::Found) {
            if !told.iter().any(|before| before.name == source.name) {
                told.push(source);
            }
        }
        match self.tells {
            Tells::All => told,
            Tells::First => {
                told.truncate(1);
                told
            }
            Tells::Last => told.split_off(told.len().saturating_sub(1)),
        }
    }

    /// Why the fact is absent, in words.
    pub(super) fn absence(&self, sources: &[Source]) -> String {
        let unreadable = sources.iter().find_map(|source| match source.answer {
            Answer::Unreadable(why) => Some((source, why)),
            _ => None,
        });
        // A variable or a program that is there may have nothing to say; a file would.
        let is_there = |source: &Source| {
            matches!(source.answer, Answer::Found | Answer::Blank)
                && matches!(source.asked, Asked::Call | Asked::File | Asked::Folder)
        };
        match unreadable {
            Some((source, why)) => format!("cannot be read: {}: {why}", source.name),
            None if sources.iter().any(is_there) => format!("not found: {}", self.silent),
            None => format!("not found: {}", self.nothing),
        }
    }
}

/// A source as it is shown.
pub(super) fn shown(source: &Source) -> String {
    match source.asked {
        Asked::Variable => format!("${}", source.name),
        Asked::Program => format!("{} on $PATH", source.name),
        _ => source.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ALL;
    use otel_usage::Contract;
    use otel_usage::schema::ENVIRONMENT;

    #[test]
    fn every_attribute_of_the_machine_is_shown_under_its_own_name() {
        let contracts = Contract::built_in();
        let of_contracts = contracts.iter().flat_map(|contract| contract.attributes.iter());
        let declared: BTreeSet<&str> =
            ENVIRONMENT.iter().chain(of_contracts).map(|one| one.name.as_ref()).collect();
        let shown: BTreeSet<&str> = ALL.iter().map(|fact| fact.attribute).collect();
        assert_eq!(shown.len(), ALL.len(), "each once");
        assert!(shown.is_subset(&declared), "{shown:?}");
        let missing: Vec<&str> = ENVIRONMENT
            .iter()
            .map(|one| one.name.as_ref())
            .filter(|name| !name.starts_with("service.") && !name.starts_with("telemetry."))
            .filter(|name| !shown.contains(name))
            .collect();
        // Made of `usage.machine` where the Resource is made.
        assert_eq!(missing, ["host.arch"]);
    }
}
