//! The Resource attributes every contract shares: what the probe reads and who is reporting.
//!
//! Names are those of OpenTelemetry's semantic conventions where they have one, else `usage.*`.
//! Nothing here names the machine, its user or its network: `host.name`, `host.id`, process and
//! Kubernetes attributes are left out on purpose. What vLLM and LMCache share on the wire
//! stands here too, and [`FIELDS`], with which an engine of your own describes the machine.

use std::borrow::Cow;

use super::sanitize::Sanitizer;
use super::table::{attributes, fields, list, text};
use super::{Attribute, Field, Literal, Privacy, Source, Type};

use Literal::{Bool, Int};
use Privacy::{Configuration, Envelope, Identity};

/// The engine's name; the contract's system. Semantic conventions: stable.
pub(crate) const SERVICE_NAME: &str = "service.name";
/// The engine's version. Semantic conventions: stable.
pub(crate) const SERVICE_VERSION: &str = "service.version";
/// Random identity of this `Usage` in this process. Semantic conventions: stable.
pub const INSTANCE_ID: &str = "service.instance.id";

/// Who described the accelerators. Absent: there are none.
pub(crate) const PROBE_ACCELERATOR: &str = "usage.probe.accelerator";

/// The attributes of the environment, in the order in which they are exported.
///
/// Each is absent where it is unknown; the contract's null rule then speaks on the wire.
pub static ENVIRONMENT: &[Attribute] = &[
    NAME_ATTRIBUTE,
    SYSTEM_VERSION_ATTRIBUTE,
    ID_ATTRIBUTE,
    TELEMETRY_DISTRO_NAME_ATTRIBUTE,
    TELEMETRY_DISTRO_VERSION_ATTRIBUTE,
    CLOUD_PROVIDER_ATTRIBUTE,
    CONTAINER_RUNTIME_NAME_ATTRIBUTE,
    OS_TYPE_ATTRIBUTE,
    ARCH_ATTRIBUTE,
    CPU_VENDOR_ID_ATTRIBUTE,
    CPU_MODEL_NAME_ATTRIBUTE,
    CPU_FAMILY_ATTRIBUTE,
    CPU_MODEL_ID_ATTRIBUTE,
    CPU_STEPPING_ATTRIBUTE,
    CPU_COUNT_ATTRIBUTE,
    CPU_PHYSICAL_COUNT_ATTRIBUTE,
    MEMORY_TOTAL_ATTRIBUTE,
    MEMORY_LIMIT_ATTRIBUTE,
    MACHINE_ATTRIBUTE,
    ARCHITECTURE_ATTRIBUTE,
    PLATFORM_ATTRIBUTE,
    DEVICE_COUNT_ATTRIBUTE,
    DEVICE_NAME_ATTRIBUTE,
    DEVICE_MEMORY_ATTRIBUTE,
    DEVICE_MIXED_ATTRIBUTE,
    DEVICE_DRIVER_VERSION_ATTRIBUTE,
    DEVICE_DRIVER_CUDA_ATTRIBUTE,
    DEVICES_TOLD_BY_ATTRIBUTE,
];

attributes! {
    /// The engine: the contract's system.
    NAME_ATTRIBUTE = (SERVICE_NAME, Type::Str).of_kind(Configuration).example(text("vllm"));
    /// The engine's version, as it gives it.
    SYSTEM_VERSION_ATTRIBUTE = (SERVICE_VERSION, Type::Str).of_kind(Configuration).example(text("0.33.0"));
    /// Random UUID v4 of this report's source; a new one in every process, never stored.
    ID_ATTRIBUTE = (INSTANCE_ID, Type::Str).sanitized(&[Sanitizer::Uuid]).of_kind(Identity)
        .example(text("b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10"));
    /// This exporter: `otel-usage`.
    TELEMETRY_DISTRO_NAME_ATTRIBUTE = ("telemetry.distro.name", Type::Str).of_kind(Envelope).example(text("otel-usage"));
    /// This exporter's version.
    TELEMETRY_DISTRO_VERSION_ATTRIBUTE = ("telemetry.distro.version", Type::Str).of_kind(Envelope).example(text("0.1.0"));
    /// Cloud provider by DMI files and environment; never by asking a metadata server.
    CLOUD_PROVIDER_ATTRIBUTE = ("cloud.provider", Type::Str).example(text("aws"));
    /// Container runtime, by marker files and cgroup.
    CONTAINER_RUNTIME_NAME_ATTRIBUTE = ("container.runtime.name", Type::Str).example(text("docker"));
    /// Operating system.
    OS_TYPE_ATTRIBUTE = ("os.type", Type::Str).example(text("linux"));
    /// CPU architecture in OpenTelemetry's words (`amd64`, `arm64`).
    ARCH_ATTRIBUTE = ("host.arch", Type::Str).example(text("amd64"));
    /// CPU vendor.
    CPU_VENDOR_ID_ATTRIBUTE = ("host.cpu.vendor.id", Type::Str).example(text("GenuineIntel"));
    /// CPU brand string.
    CPU_MODEL_NAME_ATTRIBUTE = ("host.cpu.model.name", Type::Str).example(text("Intel(R) Xeon(R) Platinum 8488C"));
    /// CPU family, decimal.
    CPU_FAMILY_ATTRIBUTE = ("host.cpu.family", Type::Str).example(text("6"));
    /// CPU model, decimal.
    CPU_MODEL_ID_ATTRIBUTE = ("host.cpu.model.id", Type::Str).example(text("143"));
    /// CPU stepping, decimal.
    CPU_STEPPING_ATTRIBUTE = ("host.cpu.stepping", Type::Str).example(text("8"));
    /// Online logical CPUs of the host, not the cgroup quota.
    CPU_COUNT_ATTRIBUTE = ("usage.cpu.count", Type::Int).example(Int(192));
    /// Physical CPU cores of the host.
    CPU_PHYSICAL_COUNT_ATTRIBUTE = ("usage.cpu.physical_count", Type::Int).example(Int(96));
    /// Physical memory of the host in bytes, not the cgroup limit.
    MEMORY_TOTAL_ATTRIBUTE = ("usage.memory.total", Type::Int).example(Int(2_164_156_813_312));
    /// Memory limit of the cgroup in bytes, if there is one.
    MEMORY_LIMIT_ATTRIBUTE = ("usage.memory.limit", Type::Int).example(Int(1_099_511_627_776));
    /// `uname -m`, for example `x86_64`.
    MACHINE_ATTRIBUTE = ("usage.machine", Type::Str).example(text("x86_64"));
    /// Word size and linkage as Python's `platform.architecture()` gives them.
    ARCHITECTURE_ATTRIBUTE = ("usage.architecture", Type::Strs)
        .example(Literal::texts(&[Cow::Borrowed("64bit"), Cow::Borrowed("ELF")]));
    /// Platform string as Python's `platform.platform()` gives it; holds the kernel release.
    PLATFORM_ATTRIBUTE = ("usage.platform", Type::Str)
        .example(text("Linux-6.8.0-1031-aws-x86_64-with-glibc2.35"));
    // `hw.*` of the semantic conventions describes one component, and a Resource can carry one
    // value of a name: a machine with several devices needs names of its own.
    /// Accelerators visible to the process.
    DEVICE_COUNT_ATTRIBUTE = ("usage.accelerator.count", Type::Int).example(Int(8));
    /// Name of the first accelerator.
    DEVICE_NAME_ATTRIBUTE = ("usage.accelerator.name", Type::Str).example(text("NVIDIA H100 80GB HBM3"));
    /// Memory of the first accelerator in bytes.
    DEVICE_MEMORY_ATTRIBUTE = ("usage.accelerator.memory", Type::Int).example(Int(85_029_158_912));
    /// Whether several visible accelerators differ.
    DEVICE_MIXED_ATTRIBUTE = ("usage.accelerator.mixed", Type::Bool).example(Bool(false));
    /// Version of the accelerators' driver.
    DEVICE_DRIVER_VERSION_ATTRIBUTE = ("usage.accelerator.driver.version", Type::Str).example(text("580.65.06"));
    /// Newest CUDA version the driver supports; the framework's own is another.
    DEVICE_DRIVER_CUDA_ATTRIBUTE = ("usage.accelerator.driver.cuda", Type::Str).example(text("13.0"));
    /// Who described the accelerators, or that they did not answer.
    DEVICES_TOLD_BY_ATTRIBUTE = (PROBE_ACCELERATOR, Type::Str).sanitized(ACCELERATOR_SOURCES).example(text("engine"));
}

const ACCELERATOR_SOURCES: &[Sanitizer] = &[Sanitizer::choice(&[
    Cow::Borrowed("amd_sysfs"),
    Cow::Borrowed("apple"),
    Cow::Borrowed("engine"),
    Cow::Borrowed("intel_sysfs"),
    Cow::Borrowed("nvml"),
    Cow::Borrowed("timeout"),
    Cow::Borrowed("tpu"),
])];

/// The machine and the sender in the words of OpenTelemetry: for the messages of an engine of your own.
///
/// Absent facts are `null`. What is on the wire here has the names of the attributes behind it, so that a
/// reader of the dictionary needs one set of words.
pub static FIELDS: &[Field] = list! {
    INSTANCE TIME VERSION PROVIDER CPU_COUNT CPU_MODEL MEMORY MACHINE PLATFORM ACCELERATOR_COUNT
    ACCELERATOR_NAME ACCELERATOR_MEMORY
};

fields! {
    /// Random identity of the process; it joins the messages of one run.
    INSTANCE = resource("instance_id", Type::Str, INSTANCE_ID).of_kind(Identity)
        .example(text("b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10"));
    /// When the record was made, since the Unix epoch.
    TIME = of("time_unix_nano", Type::Int, Source::Time, Envelope).in_unit("ns")
        .example(Int(1_787_206_513_123_456_000));
    /// The engine's version.
    VERSION = resource("service_version", Type::Str, SERVICE_VERSION).of_kind(Configuration)
        .example(text("1.0.0"));
    /// Cloud provider.
    PROVIDER = resource("cloud_provider", Type::Str, "cloud.provider").example(text("aws"));
    /// Online logical CPUs of the host.
    CPU_COUNT = resource("cpu_count", Type::Int, "usage.cpu.count").in_unit("{cpu}")
        .example(Int(192));
    /// CPU brand string.
    CPU_MODEL = resource("host_cpu_model_name", Type::Str, "host.cpu.model.name")
        .example(text("Intel(R) Xeon(R) Platinum 8488C"));
    /// Physical memory of the host.
    MEMORY = resource("memory_total", Type::Int, "usage.memory.total").in_unit("By")
        .example(Int(2_164_156_813_312));
    /// `uname -m`.
    MACHINE = resource("machine", Type::Str, "usage.machine").example(text("x86_64"));
    /// Operating system, kernel release and C library.
    PLATFORM = resource("platform", Type::Str, "usage.platform")
        .example(text("Linux-6.8.0-1031-aws-x86_64-with-glibc2.35"));
    /// Accelerators visible to the process.
    ACCELERATOR_COUNT = resource("accelerator_count", Type::Int, "usage.accelerator.count")
        .in_unit("{device}").example(Int(8));
    /// Name of the first accelerator.
    ACCELERATOR_NAME = resource("accelerator_name", Type::Str, "usage.accelerator.name")
        .example(text("NVIDIA H100 80GB HBM3"));
    /// Memory of the first accelerator.
    ACCELERATOR_MEMORY = resource("accelerator_memory", Type::Int, "usage.accelerator.memory")
        .in_unit("By").example(Int(85_029_158_912));
}

/// The provider in the words that the originals know; another one is `UNKNOWN` there.
pub(super) const PROVIDERS: Source = Source::ResourceMapped(
    Cow::Borrowed("cloud.provider"),
    Cow::Borrowed(&[
        (Cow::Borrowed("aws"), Cow::Borrowed("AWS")),
        (Cow::Borrowed("azure"), Cow::Borrowed("AZURE")),
        (Cow::Borrowed("gcp"), Cow::Borrowed("GCP")),
        (Cow::Borrowed("oracle_cloud"), Cow::Borrowed("OCI")),
        (Cow::Borrowed("runpod"), Cow::Borrowed("RUNPOD")),
    ]),
);

/// The three parts of `cpu_family_model_stepping`.
pub(super) const CPU_PARTS: Source = Source::ResourceJoined(Cow::Borrowed(&[
    Cow::Borrowed("host.cpu.family"),
    Cow::Borrowed("host.cpu.model.id"),
    Cow::Borrowed("host.cpu.stepping"),
]));

/// Without an accelerator its fields hold numbers of the host.
pub(super) const fn accelerator_or(name: &'static str, fallback: &'static str) -> Source {
    Source::ResourceOr {
        name: Cow::Borrowed(name),
        fallback: Cow::Borrowed(fallback),
        unless: Cow::Borrowed(PROBE_ACCELERATOR),
    }
}
