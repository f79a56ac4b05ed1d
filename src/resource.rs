//! From probe facts and the engine's own facts to the OpenTelemetry Resource.
//!
//! In: what was [`Found`] on the machine, and the [`EngineFacts`]. Out: an [`Environment`], the declared
//! Resource attributes in their declared types, sanitized. What the engine says wins.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use opentelemetry::{StringValue, Value};

use crate::clock::Clock;
use crate::loss::Loss;
use crate::probe::{Accelerators, Facts, Hangs, Runtime};
use crate::schema::{CompiledContract, Environment, PROBE_ACCELERATOR, lmcache, vllm};

/// LMCache's own file in its configuration directory.
const MACHINE_ID_FILE: &str = "machine_id";

/// Longest machine-id file that is read; a UUID takes 36 bytes.
const MACHINE_ID_BYTES: u64 = 128;

/// What the engine says about itself and its devices.
#[derive(Debug, Clone, Default)]
pub(crate) struct EngineFacts {
    pub(crate) version: Option<String>,
    pub(crate) accelerators: Option<Accelerators>,
    pub(crate) attributes: Vec<(String, Value)>,
    /// `service.instance.id`.
    pub(crate) instance_id: String,
    /// `VLLM_USAGE_SOURCE`.
    pub(crate) source: Option<String>,
}

/// What was read from this machine's files and devices.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) facts: Facts,
    pub(crate) machine_id: Option<String>,
    /// There may be accelerators, but whoever knows about them hangs.
    pub(crate) accelerators_hang: bool,
}

impl Found {
    /// Takes what the accelerators' drivers said, or that one of them hangs.
    pub(crate) fn set_devices(&mut self, devices: Result<Option<Accelerators>, Hangs>) {
        self.accelerators_hang = devices.is_err();
        self.facts.accelerators = devices.unwrap_or_default();
    }
}

pub(crate) fn environment(
    contract: &CompiledContract,
    engine: &EngineFacts,
    found: &Found,
    lost: &mut dyn FnMut(Loss, &str),
) -> Environment {
    let Found { facts, machine_id, accelerators_hang } = found;
    let table = contract.contract();
    let mut environment = contract.environment();
    let declared = |name: &str| table.attributes.iter().any(|attribute| attribute.name == name);
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            contract.set(&mut environment, name, value, lost);
        }
    };

    set("service.name", text(Some(&table.system)));
    set("service.version", text(engine.version.as_deref()));
    set("service.instance.id", text(Some(&engine.instance_id)));
    set("telemetry.distro.name", text(Some("otel-usage")));
    set("telemetry.distro.version", text(Some(env!("CARGO_PKG_VERSION"))));

    set("cloud.provider", text(facts.cloud_provider.as_deref()));
    set("container.runtime.name", text(facts.container.as_deref()));
    set("os.type", text(facts.os_type.as_deref()));
    set("host.arch", text(facts.machine.as_deref().map(arch)));
    set("host.cpu.vendor.id", text(facts.cpu_vendor.as_deref()));
    set("host.cpu.model.name", text(facts.cpu_brand.as_deref()));
    set("host.cpu.family", text(facts.cpu_family.as_deref()));
    set("host.cpu.model.id", text(facts.cpu_model.as_deref()));
    set("host.cpu.stepping", text(facts.cpu_stepping.as_deref()));
    set("usage.cpu.count", facts.cpu_count.map(Value::I64));
    set("usage.cpu.physical_count", facts.cpu_physical_count.map(Value::I64));
    set("usage.memory.total", facts.memory_bytes.map(Value::I64));
    set("usage.memory.limit", facts.memory_limit_bytes.map(Value::I64));
    set("usage.machine", text(facts.machine.as_deref()));
    set(
        "usage.architecture",
        facts.architecture.clone().map(|parts| {
            Value::Array(parts.into_iter().map(StringValue::from).collect::<Vec<_>>().into())
        }),
    );
    set("usage.platform", text(facts.platform.as_deref()));

    if let Some(devices) = engine.accelerators.as_ref().or(facts.accelerators.as_ref()) {
        set("usage.accelerator.count", devices.count.map(Value::I64));
        set("usage.accelerator.name", text(devices.name.as_deref()));
        set("usage.accelerator.memory", devices.memory_bytes.map(Value::I64));
        set("usage.accelerator.mixed", devices.mixed.map(Value::Bool));
        set("usage.accelerator.driver.version", text(devices.driver_version.as_deref()));
        set("usage.accelerator.driver.cuda", text(devices.driver_cuda.as_deref()));
        set(PROBE_ACCELERATOR, text(Some(devices.source.as_str())));
        let (name, version) = match &devices.runtime {
            Some(Runtime::Cuda(version)) => (vllm::CUDA, Some(version.as_str())),
            Some(Runtime::Xpu(version)) => (vllm::XPU, Some(version.as_str())),
            None => ("", None),
        };
        if declared(name) {
            set(name, text(version));
        }
    } else if *accelerators_hang {
        set(PROBE_ACCELERATOR, text(Some("timeout")));
    }
    if declared(vllm::SOURCE) {
        set(vllm::SOURCE, text(engine.source.as_deref()));
    }
    if declared(lmcache::INSTALL_SOURCE) {
        set(lmcache::INSTALL_SOURCE, text(facts.install_source.as_deref()));
    }
    if declared(lmcache::MACHINE_ID) {
        set(lmcache::MACHINE_ID, text(machine_id.as_deref()));
    }
    for (name, value) in &engine.attributes {
        set(name, Some(value.clone()));
    }
    environment
}

fn text(text: Option<&str>) -> Option<Value> {
    text.map(|text| Value::String(text.to_owned().into()))
}

/// OpenTelemetry's word for what `uname -m` says.
fn arch(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The UUID that LMCache keeps per machine, as it is now.
pub(crate) fn machine_id(directory: &Path) -> Option<String> {
    let text = read_start(&File::open(directory.join(MACHINE_ID_FILE)).ok()?).ok()?;
    // Anything but a UUID has no business on the wire.
    uuid::Uuid::try_parse(text.trim()).ok().map(|id| id.hyphenated().to_string())
}

/// The UUID that LMCache keeps per machine, made if there is none.
///
/// Many processes start at once: whoever comes first writes, under a lock, and the others read it. A file
/// that holds something else is the operator's and stays as it is.
pub(crate) fn make_machine_id(directory: &Path, clock: &Clock) -> Option<String> {
    let made = || -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(directory.join(MACHINE_ID_FILE))?;
        file.lock()?;
        if read_start(&file)?.trim().is_empty() {
            file.write_all(clock.uuid().hyphenated().to_string().as_bytes())?;
        }
        Ok(())
    };
    // A home that cannot be written has no identity, as upstream has it.
    made().ok().and_then(|()| machine_id(directory))
}

fn read_start(file: &File) -> io::Result<String> {
    let mut text = String::new();
    file.take(MACHINE_ID_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_gets_one_identity_and_keeps_it() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("lmcache");
        assert_eq!(machine_id(&directory), None);
        let id = make_machine_id(&directory, &Clock::system()).unwrap();
        assert_eq!(make_machine_id(&directory, &Clock::system()), Some(id.clone()));
        assert_eq!(fs::read_to_string(directory.join("machine_id")).unwrap(), id);

        // A process died between making the file and writing into it.
        fs::write(directory.join("machine_id"), "").unwrap();
        assert!(make_machine_id(&directory, &Clock::system()).is_some_and(|new| new != id));
        // Not ours to mend, and not fit to leave.
        fs::write(directory.join("machine_id"), "alice's machine").unwrap();
        assert_eq!(make_machine_id(&directory, &Clock::system()), None);
        assert_eq!(fs::read_to_string(directory.join("machine_id")).unwrap(), "alice's machine");
        // A home that is no folder.
        fs::write(home.path().join("file"), "").unwrap();
        assert_eq!(make_machine_id(&home.path().join("file"), &Clock::system()), None);
    }

    #[test]
    fn who_comes_at_the_same_moment_gets_the_same_identity() {
        let home = tempfile::tempdir().unwrap();
        for round in 0..400 {
            let directory = home.path().join(round.to_string());
            let together = std::sync::Barrier::new(8);
            let ids: Vec<_> = std::thread::scope(|scope| {
                let come = || {
                    together.wait();
                    make_machine_id(&directory, &Clock::system())
                };
                let all: Vec<_> = (0..8).map(|_| scope.spawn(come)).collect();
                all.into_iter().map(|one| one.join().unwrap()).collect()
            });
            assert!(ids[0].is_some() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        }
    }
}
