//! The Resource attributes every contract shares: what the probe reads and who is reporting.
//!
//! Names are those of OpenTelemetry's semantic conventions where they have one, else `usage.*`.
//! Nothing here names the machine, its user or its network: `host.name`, `host.id`, process and
//! Kubernetes attributes are left out on purpose.

use super::field::attribute;
use super::sanitize::FREE_TEXT;
use super::{Attribute, Type};

/// The engine's name; the contract's system. Semantic conventions: stable.
pub(crate) const SERVICE_NAME: &str = "service.name";
/// The engine's version. Semantic conventions: stable.
pub(crate) const SERVICE_VERSION: &str = "service.version";
/// Random identity of this `Usage` in this process. Semantic conventions: stable.
pub(crate) const INSTANCE_ID: &str = "service.instance.id";

/// The attributes of the environment, in the order in which they are exported.
///
/// Each is absent where it is unknown; the contract's null rule then speaks on the wire.
pub static ENVIRONMENT: &[Attribute] = &[
    attribute(SERVICE_NAME, Type::Str, FREE_TEXT, "The engine: the contract's system."),
    attribute(SERVICE_VERSION, Type::Str, FREE_TEXT, "The engine's version, as it gives it."),
    attribute(INSTANCE_ID, Type::Str, FREE_TEXT, "Random UUID v4 of this report's source; a new one in every process, never stored."),
    attribute("telemetry.distro.name", Type::Str, FREE_TEXT, "This exporter: `otel-usage`."),
    attribute("telemetry.distro.version", Type::Str, FREE_TEXT, "This exporter's version."),
    attribute("cloud.provider", Type::Str, FREE_TEXT, "Cloud provider by DMI files and environment; never by asking a metadata server."),
    attribute("container.runtime.name", Type::Str, FREE_TEXT, "Container runtime, by marker files and cgroup."),
    attribute("os.type", Type::Str, FREE_TEXT, "Operating system."),
    attribute("host.arch", Type::Str, FREE_TEXT, "CPU architecture in OpenTelemetry's words (`amd64`, `arm64`)."),
    attribute("host.cpu.vendor.id", Type::Str, FREE_TEXT, "CPU vendor."),
    attribute("host.cpu.model.name", Type::Str, FREE_TEXT, "CPU brand string."),
    attribute("host.cpu.family", Type::Str, FREE_TEXT, "CPU family, decimal."),
    attribute("host.cpu.model.id", Type::Str, FREE_TEXT, "CPU model, decimal."),
    attribute("host.cpu.stepping", Type::Str, FREE_TEXT, "CPU stepping, decimal."),
    attribute("usage.cpu.count", Type::Int, &[], "Online logical CPUs of the host, not the cgroup quota."),
    attribute("usage.cpu.physical_count", Type::Int, &[], "Physical CPU cores of the host."),
    attribute("usage.memory.total", Type::Int, &[], "Physical memory of the host in bytes, not the cgroup limit."),
    attribute("usage.memory.limit", Type::Int, &[], "Memory limit of the cgroup in bytes, if there is one."),
    attribute("usage.machine", Type::Str, FREE_TEXT, "`uname -m`, for example `x86_64`."),
    attribute("usage.architecture", Type::Strs, FREE_TEXT, "Word size and linkage as Python's `platform.architecture()` gives them."),
    attribute("usage.platform", Type::Str, FREE_TEXT, "Platform string as Python's `platform.platform()` gives it; holds the kernel release."),
    // `hw.*` of the semantic conventions describes one component, and a Resource can carry one
    // value of a name: a machine with several devices needs names of its own.
    attribute("usage.accelerator.count", Type::Int, &[], "Accelerators visible to the process."),
    attribute("usage.accelerator.name", Type::Str, FREE_TEXT, "Name of the first accelerator."),
    attribute("usage.accelerator.memory", Type::Int, &[], "Memory of the first accelerator in bytes."),
    attribute("usage.accelerator.source", Type::Str, FREE_TEXT, "Who counted the accelerators: `engine`, `nvml`."),
];
