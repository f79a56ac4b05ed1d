//! Describes the machine and the engine for a report: reads the facts and fills in the Resource.
//!
//! Readers run on the helper thread, because a file or a driver may never answer. Each group has a
//! deadline; facts that are known when it passes are kept, the loss is counted.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::Value;
use opentelemetry_sdk::resource::{ResourceDetector as _, TelemetryResourceDetector};

use super::accelerators::find;
use super::{AcceleratorSource, Accelerators, FACTS, Facts, Machine, Runtime, machine_id, probe};
use crate::clock::Clock;
use crate::helper::Helper;
use crate::schema::resource::{INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION};
use crate::schema::{Attribute, CompiledContract, Loss, Origin, ResourceValues};

/// Deadline for all files. They take well under a millisecond; more than this means a mount that no
/// longer answers, and waiting would not help.
const FILES: Duration = Duration::from_secs(1);

/// Deadline for the accelerators. A driver that is awake answers in milliseconds; one that has to
/// wake its devices first takes a second or two. With [`FILES`] a first report waits five seconds
/// for its machine at most.
const DEVICES: Duration = Duration::from_secs(4);

/// The facts that the engine knows about itself and its devices. They win over those that are found on the machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct EngineFacts {
    pub(crate) version: Option<String>,
    pub(crate) accelerators: Option<Accelerators>,
    pub(crate) attributes: Vec<(String, Value)>,
    /// `service.instance.id`.
    pub(crate) instance_id: String,
    /// The engine's configuration directory, which may hold a machine id.
    pub(crate) directory: Option<PathBuf>,
}

impl EngineFacts {
    /// Returns the directory of the machine id, or `None` if the contract sends none.
    fn identity(&self, contract: &CompiledContract) -> Option<&Path> {
        let mut declared = contract.declared_resource().iter();
        let sent = declared.any(|attribute| attribute.origin == Origin::MachineId);
        self.directory.as_deref().filter(|_| sent)
    }
}

/// Reads the machine on the helper thread: first its files, then its accelerators.
///
/// Makes the machine id if the contract sends one and the file does not exist. A missed deadline, and a
/// machine id that another process has locked, are counted by `lost`. Accelerators that the engine described are not looked for.
pub(crate) fn detect(
    contract: &CompiledContract,
    machine: &Machine,
    engine: &EngineFacts,
    clock: &Clock,
    helper: &Helper,
    lost: &mut dyn FnMut(Loss, &str),
) -> ResourceValues {
    let known = Arc::new(Mutex::new((Facts::default(), None)));
    let done = helper.run(FILES, {
        let (known, machine, clock) = (Arc::clone(&known), machine.clone(), clock.clone());
        let directory = engine.identity(contract).map(Path::to_owned);
        move || {
            probe(&machine, false, &mut |step| {
                if let Ok(mut known) = known.lock() {
                    known.0.learn(step.facts);
                }
            });
            // Last, because a home directory is what most likely lies on another machine.
            let id = directory.map(|directory| machine_id::read_or_make(&directory, &clock));
            let is_lost = matches!(id, Some(Err(_)));
            if let Ok(mut known) = known.lock() {
                known.1 = id.and_then(Result::ok).flatten();
            }
            !is_lost
        }
    });
    if done != Some(true) {
        lost(Loss::Probe, "the machine's files");
    }
    let (mut facts, id) = known.lock().map(|known| known.clone()).unwrap_or_default();
    if engine.accelerators.is_none() {
        let (machine, known) = (machine.clone(), facts.clone());
        let found = helper.run(DEVICES, move || find(&machine, &known));
        facts.accelerators = found.unwrap_or_else(|| Some(Accelerators::timed_out()));
        if facts
            .accelerators
            .as_ref()
            .is_some_and(|found| found.source == AcceleratorSource::Timeout)
        {
            lost(Loss::Probe, "the accelerators");
        }
    }
    values(contract, engine, facts, id, lost)
}

/// Reads the machine on the calling thread and without deadlines, for previews. Writes nothing.
pub(crate) fn detect_here(
    contract: &CompiledContract,
    machine: &Machine,
    engine: &EngineFacts,
) -> ResourceValues {
    let facts = probe(machine, engine.accelerators.is_none(), &mut |_| ());
    let id = engine.identity(contract).and_then(machine_id::read);
    values(contract, engine, facts, id, &mut |_, _| ())
}

/// Fills in the declared Resource attributes, sanitized.
fn values(
    contract: &CompiledContract,
    engine: &EngineFacts,
    mut facts: Facts,
    machine_id: Option<String>,
    lost: &mut dyn FnMut(Loss, &str),
) -> ResourceValues {
    if let Some(told) = &engine.accelerators {
        facts.accelerators = Some(told.clone());
    }
    let runtime = facts.accelerators.as_mut().and_then(|found| found.runtime.take());
    let of_origin = |attribute: &Attribute| match (&attribute.origin, &runtime) {
        (Origin::MachineId, _) => machine_id.clone(),
        (Origin::CudaRuntime, Some(Runtime::Cuda(version)))
        | (Origin::XpuRuntime, Some(Runtime::Xpu(version))) => Some(version.clone()),
        _ => None,
    };
    let known = [
        (SERVICE_NAME, Some(contract.contract().system.to_string())),
        (SERVICE_VERSION, engine.version.clone()),
        (INSTANCE_ID, Some(engine.instance_id.clone())),
        ("telemetry.distro.name", Some("otel-usage".to_owned())),
        ("telemetry.distro.version", Some(env!("CARGO_PKG_VERSION").to_owned())),
    ];
    let declared = contract.declared_resource();
    let of_contract =
        declared.iter().filter_map(|one| Some((one.name.as_ref(), of_origin(one)?.into())));
    let found = FACTS.iter().filter_map(|fact| Some((fact.attribute, fact.value(&facts)?)));
    let known = known.into_iter().filter_map(|(name, text)| Some((name, Value::from(text?))));
    let sdk = TelemetryResourceDetector.detect();
    let sdk = sdk.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let mut resource = contract.unknown_resource();
    // A contract need not have all of these.
    let is_declared = |name: &str| declared.iter().any(|attribute| attribute.name == name);
    for (name, value) in
        found.chain(known).chain(sdk).chain(of_contract).filter(|(name, _)| is_declared(name))
    {
        contract.set(&mut resource, name, value, lost);
    }
    for (name, value) in &engine.attributes {
        contract.set(&mut resource, name, value.clone(), lost);
    }
    resource
}
