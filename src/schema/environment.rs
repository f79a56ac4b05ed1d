//! The Resource attributes every contract shares: what the probe reads and who is reporting.
//!
//! Names are those of OpenTelemetry's semantic conventions where they have one, else `usage.*`.
//! Nothing here names the machine, its user or its network: `host.name`, `host.id`, process and
//! Kubernetes attributes are left out on purpose. The wire words that vLLM and LMCache share stand
//! here too.

use std::borrow::Cow;

use super::Attribute;
use super::field::{AS_IS, attributes};
use super::sanitize::FREE_TEXT;

/// The engine's name; the contract's system. Semantic conventions: stable.
pub(crate) const SERVICE_NAME: &str = "service.name";
/// The engine's version. Semantic conventions: stable.
pub(crate) const SERVICE_VERSION: &str = "service.version";
/// Random identity of this `Usage` in this process. Semantic conventions: stable.
pub(crate) const INSTANCE_ID: &str = "service.instance.id";

/// Who described the accelerators. Absent: there are none.
pub(crate) const PROBE_ACCELERATOR: &str = "usage.probe.accelerator";

/// The attributes of the environment, in the order in which they are exported.
///
/// Each is absent where it is unknown; the contract's null rule then speaks on the wire.
pub static ENVIRONMENT: &[Attribute] = attributes! {
    SERVICE_NAME, Str, FREE_TEXT, "The engine: the contract's system.";
    SERVICE_VERSION, Str, FREE_TEXT, "The engine's version, as it gives it.";
    INSTANCE_ID, Str, FREE_TEXT,
        "Random UUID v4 of this report's source; a new one in every process, never stored.";
    "telemetry.distro.name", Str, FREE_TEXT, "This exporter: `otel-usage`.";
    "telemetry.distro.version", Str, FREE_TEXT, "This exporter's version.";
    "cloud.provider", Str, FREE_TEXT,
        "Cloud provider by DMI files and environment; never by asking a metadata server.";
    "container.runtime.name", Str, FREE_TEXT, "Container runtime, by marker files and cgroup.";
    "os.type", Str, FREE_TEXT, "Operating system.";
    "host.arch", Str, FREE_TEXT, "CPU architecture in OpenTelemetry's words (`amd64`, `arm64`).";
    "host.cpu.vendor.id", Str, FREE_TEXT, "CPU vendor.";
    "host.cpu.model.name", Str, FREE_TEXT, "CPU brand string.";
    "host.cpu.family", Str, FREE_TEXT, "CPU family, decimal.";
    "host.cpu.model.id", Str, FREE_TEXT, "CPU model, decimal.";
    "host.cpu.stepping", Str, FREE_TEXT, "CPU stepping, decimal.";
    "usage.cpu.count", Int, AS_IS, "Online logical CPUs of the host, not the cgroup quota.";
    "usage.cpu.physical_count", Int, AS_IS, "Physical CPU cores of the host.";
    "usage.memory.total", Int, AS_IS, "Physical memory of the host in bytes, not the cgroup limit.";
    "usage.memory.limit", Int, AS_IS, "Memory limit of the cgroup in bytes, if there is one.";
    "usage.machine", Str, FREE_TEXT, "`uname -m`, for example `x86_64`.";
    "usage.architecture", Strs, FREE_TEXT,
        "Word size and linkage as Python's `platform.architecture()` gives them.";
    "usage.platform", Str, FREE_TEXT,
        "Platform string as Python's `platform.platform()` gives it; holds the kernel release.";
    // `hw.*` of the semantic conventions describes one component, and a Resource can carry one
    // value of a name: a machine with several devices needs names of its own.
    "usage.accelerator.count", Int, AS_IS, "Accelerators visible to the process.";
    "usage.accelerator.name", Str, FREE_TEXT, "Name of the first accelerator.";
    "usage.accelerator.memory", Int, AS_IS, "Memory of the first accelerator in bytes.";
    "usage.accelerator.mixed", Bool, AS_IS, "Whether several visible accelerators differ.";
    "usage.accelerator.driver.version", Str, FREE_TEXT, "Version of the accelerators' driver.";
    "usage.accelerator.driver.cuda", Str, FREE_TEXT,
        "Newest CUDA version the driver supports; the framework's own is another.";
    PROBE_ACCELERATOR, Str, FREE_TEXT,
        "Who described the accelerators: `engine`, `nvml`, `amd_sysfs`, `intel_sysfs`, `tpu`, `apple`; or `timeout`.";
};

/// Wire words of `cloud.provider`; a provider that the originals do not know is `UNKNOWN`.
pub(super) const PROVIDERS: &[(Cow<'static, str>, Cow<'static, str>)] = &[
    (Cow::Borrowed("aws"), Cow::Borrowed("AWS")),
    (Cow::Borrowed("azure"), Cow::Borrowed("AZURE")),
    (Cow::Borrowed("gcp"), Cow::Borrowed("GCP")),
    (Cow::Borrowed("oracle_cloud"), Cow::Borrowed("OCI")),
    (Cow::Borrowed("runpod"), Cow::Borrowed("RUNPOD")),
];

/// The three parts of `cpu_family_model_stepping`.
pub(super) const CPU_PARTS: &[Cow<'static, str>] = &[
    Cow::Borrowed("host.cpu.family"),
    Cow::Borrowed("host.cpu.model.id"),
    Cow::Borrowed("host.cpu.stepping"),
];
