//! The Resource attributes that every contract shares: facts about the machine and the sender.
//!
//! Names are those of OpenTelemetry's semantic conventions where they have one, else `otel_usage.*`.
//! No attribute names the machine, its user or its network: `host.name`, `host.id`, process and
//! Kubernetes attributes are left out on purpose. The file also holds the sources that vLLM and
//! LMCache share on the wire, and [`FIELDS`] for an engine's own contract.

use std::borrow::Cow;

use crate::contracts::table::{attributes, fields, list, text};
use crate::{Field, Literal, Privacy, Sanitizer, Source, Type};

use Literal::{Bool, Int};
use Privacy::{Configuration, Envelope, Identity};

/// The engine's name: the contract's system. Semantic conventions: stable.
pub const SERVICE_NAME: &str = "service.name";
/// The engine's version. Semantic conventions: stable.
pub const SERVICE_VERSION: &str = "service.version";
/// Random identity of this `Usage` in this process. Semantic conventions: stable.
pub const INSTANCE_ID: &str = "service.instance.id";

/// The source of the accelerator facts. Absent if the machine has no accelerator.
pub const PROBE_ACCELERATOR: &str = "otel_usage.probe.accelerator";

attributes! {
    /// The shared attributes, in the order in which they are exported.
    ///
    /// An attribute whose value is unknown is absent, and the contract's null rule applies.
    pub RESOURCE_ATTRIBUTES:
    /// The engine: the contract's system.
    (SERVICE_NAME, Type::Str).privacy(Configuration).example(text("vllm"));
    /// The engine's version, as it gives it.
    (SERVICE_VERSION, Type::Str).privacy(Configuration).example(text("0.33.0"));
    /// Random UUID v4 of this report's source; a new one in every process, never stored.
    (INSTANCE_ID, Type::Str).sanitized(&[Sanitizer::Uuid]).privacy(Identity)
        .example(text("b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10"));
    /// This exporter: `otel-usage`.
    ("telemetry.distro.name", Type::Str).privacy(Envelope).example(text("otel-usage"));
    /// This exporter's version.
    ("telemetry.distro.version", Type::Str).privacy(Envelope).example(text("0.1.0"));
    /// The SDK whose types this exporter uses: `opentelemetry`.
    ("telemetry.sdk.name", Type::Str).privacy(Envelope).example(text("opentelemetry"));
    /// The SDK's language: `rust`.
    ("telemetry.sdk.language", Type::Str).privacy(Envelope).example(text("rust"));
    /// The SDK's version.
    ("telemetry.sdk.version", Type::Str).privacy(Envelope).example(text("0.33.0"));
    /// Cloud provider by DMI files and environment; never by asking a metadata server.
    ("cloud.provider", Type::Str).example(text("aws"));
    /// Container runtime, by marker files and cgroup. Absent if only an orchestrator is known.
    ("container.runtime.name", Type::Str).example(text("docker"));
    /// Kind of container: the runtime, else `kubernetes` or `oci`, which name no runtime.
    ("otel_usage.container.kind", Type::Str).sanitized(CONTAINER_KINDS)
        .example(text("kubernetes"));
    /// Operating system.
    ("os.type", Type::Str).example(text("linux"));
    /// CPU architecture in OpenTelemetry's words (`amd64`, `arm64`).
    ("host.arch", Type::Str).example(text("amd64"));
    /// CPU vendor.
    ("host.cpu.vendor.id", Type::Str).example(text("GenuineIntel"));
    /// CPU brand string.
    ("host.cpu.model.name", Type::Str).example(text("Intel(R) Xeon(R) Platinum 8488C"));
    /// CPU family, decimal.
    ("host.cpu.family", Type::Str).example(text("6"));
    /// CPU model, decimal.
    ("host.cpu.model.id", Type::Str).example(text("143"));
    /// CPU stepping, decimal.
    ("host.cpu.stepping", Type::Str).example(text("8"));
    /// Online logical CPUs of the host, not the cgroup quota.
    ("otel_usage.cpu.count", Type::Int).example(Int(192));
    /// Physical CPU cores of the host.
    ("otel_usage.cpu.physical_count", Type::Int).example(Int(96));
    /// Physical memory of the host in bytes, not the cgroup limit.
    ("otel_usage.memory.total", Type::Int).example(Int(2_164_156_813_312));
    /// Memory limit of the cgroup in bytes, if there is one.
    ("otel_usage.memory.cgroup_limit", Type::Int).example(Int(1_099_511_627_776));
    /// `uname -m`, for example `x86_64`.
    ("otel_usage.machine", Type::Str).example(text("x86_64"));
    /// Word size and linkage as Python's `platform.architecture()` gives them.
    ("otel_usage.architecture", Type::Strs)
        .example(Literal::texts(&[Cow::Borrowed("64bit"), Cow::Borrowed("ELF")]));
    /// Platform string as Python's `platform.platform()` gives it; holds the kernel release.
    ("otel_usage.platform", Type::Str)
        .example(text("Linux-6.8.0-1031-aws-x86_64-with-glibc2.35"));
    // `hw.*` of the semantic conventions describes one component, and a Resource can carry one
    // value of a name: a machine with several devices needs names of its own.
    /// Accelerators visible to the process.
    ("otel_usage.accelerator.count", Type::Int).example(Int(8));
    /// Name of the first accelerator.
    ("otel_usage.accelerator.name", Type::Str).example(text("NVIDIA H100 80GB HBM3"));
    /// Memory of the first accelerator in bytes.
    ("otel_usage.accelerator.memory", Type::Int).example(Int(85_029_158_912));
    /// Whether several visible accelerators differ.
    ("otel_usage.accelerator.mixed", Type::Bool).example(Bool(false));
    /// Version of the accelerators' driver.
    ("otel_usage.accelerator.driver.version", Type::Str).example(text("580.65.06"));
    /// Newest CUDA version the driver supports; the framework's own is another.
    ("otel_usage.accelerator.driver.cuda", Type::Str).example(text("13.0"));
    /// Source of the accelerator facts, or `timeout` if the driver did not answer.
    (PROBE_ACCELERATOR, Type::Str).sanitized(ACCELERATOR_SOURCES).example(text("engine"));
}

const CONTAINER_KINDS: &[Sanitizer] = &[Sanitizer::choice(&[
    Cow::Borrowed("apptainer"),
    Cow::Borrowed("containerd"),
    Cow::Borrowed("cri-o"),
    Cow::Borrowed("docker"),
    Cow::Borrowed("kubernetes"),
    Cow::Borrowed("lxc"),
    Cow::Borrowed("lxc-libvirt"),
    Cow::Borrowed("oci"),
    Cow::Borrowed("podman"),
    Cow::Borrowed("systemd-nspawn"),
])];

const ACCELERATOR_SOURCES: &[Sanitizer] = &[Sanitizer::choice(&[
    Cow::Borrowed("amd_sysfs"),
    Cow::Borrowed("apple"),
    Cow::Borrowed("engine"),
    Cow::Borrowed("intel_sysfs"),
    Cow::Borrowed("nvml"),
    Cow::Borrowed("timeout"),
    Cow::Borrowed("tpu"),
])];

/// Fields about the machine and the sender, for the messages of an engine's own contract.
///
/// Absent facts are `null`. The wire names are the names of the attributes behind them, so that a
/// reader of the dictionary needs one set of words.
pub static FIELDS: &[Field] = list! {
    INSTANCE TIME VERSION PROVIDER CPU_COUNT CPU_MODEL MEMORY MACHINE PLATFORM ACCELERATOR_COUNT
    ACCELERATOR_NAME ACCELERATOR_MEMORY
};

fields! {
    /// Random identity of the process; it joins the messages of one run.
    INSTANCE = resource("instance_id", Type::Str, INSTANCE_ID).privacy(Identity)
        .example(text("b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10"));
    /// When the record was made, since the Unix epoch.
    TIME = new("time_unix_nano", Type::Int, Source::Time, Envelope).in_unit("ns")
        .example(Int(1_787_206_513_123_456_000));
    /// The engine's version.
    VERSION = resource("service_version", Type::Str, SERVICE_VERSION).privacy(Configuration)
        .example(text("1.0.0"));
    /// Cloud provider.
    PROVIDER = resource("cloud_provider", Type::Str, "cloud.provider").example(text("aws"));
    /// Online logical CPUs of the host.
    CPU_COUNT = resource("cpu_count", Type::Int, "otel_usage.cpu.count").in_unit("{cpu}")
        .example(Int(192));
    /// CPU brand string.
    CPU_MODEL = resource("host_cpu_model_name", Type::Str, "host.cpu.model.name")
        .example(text("Intel(R) Xeon(R) Platinum 8488C"));
    /// Physical memory of the host.
    MEMORY = resource("memory_total", Type::Int, "otel_usage.memory.total").in_unit("By")
        .example(Int(2_164_156_813_312));
    /// `uname -m`.
    MACHINE = resource("machine", Type::Str, "otel_usage.machine").example(text("x86_64"));
    /// Operating system, kernel release and C library.
    PLATFORM = resource("platform", Type::Str, "otel_usage.platform")
        .example(text("Linux-6.8.0-1031-aws-x86_64-with-glibc2.35"));
    /// Accelerators visible to the process.
    ACCELERATOR_COUNT = resource("accelerator_count", Type::Int, "otel_usage.accelerator.count")
        .in_unit("{device}").example(Int(8));
    /// Name of the first accelerator.
    ACCELERATOR_NAME = resource("accelerator_name", Type::Str, "otel_usage.accelerator.name")
        .example(text("NVIDIA H100 80GB HBM3"));
    /// Memory of the first accelerator.
    ACCELERATOR_MEMORY = resource("accelerator_memory", Type::Int, "otel_usage.accelerator.memory")
        .in_unit("By").example(Int(85_029_158_912));
}

/// The cloud provider in the words of the original clients, which send `UNKNOWN` for others.
pub(crate) const PROVIDERS: Source = Source::ResourceMapped(
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
pub(crate) const CPU_PARTS: Source = Source::ResourceJoined(Cow::Borrowed(&[
    Cow::Borrowed("host.cpu.family"),
    Cow::Borrowed("host.cpu.model.id"),
    Cow::Borrowed("host.cpu.stepping"),
]));

/// Returns a source that reads a fact of the host if the machine has no accelerator.
pub(crate) const fn accelerator_or(name: &'static str, fallback: &'static str) -> Source {
    Source::ResourceOr {
        name: Cow::Borrowed(name),
        fallback: Cow::Borrowed(fallback),
        unless: Cow::Borrowed(PROBE_ACCELERATOR),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Contract, RESOURCE_ATTRIBUTES, transport};

    /// The names of the semantic conventions 1.44.0 that are in use.
    const CONVENTIONS: [&str; 17] = [
        "cloud.provider",
        "container.runtime.name",
        "host.arch",
        "host.cpu.family",
        "host.cpu.model.id",
        "host.cpu.model.name",
        "host.cpu.stepping",
        "host.cpu.vendor.id",
        "os.type",
        "service.instance.id",
        "service.name",
        "service.version",
        "telemetry.distro.name",
        "telemetry.distro.version",
        "telemetry.sdk.language",
        "telemetry.sdk.name",
        "telemetry.sdk.version",
    ];

    #[test]
    fn every_attribute_is_a_convention_or_has_an_own_root_and_none_is_also_a_namespace() {
        let mut names = Vec::new();
        for contract in Contract::built_in() {
            let fields = contract.messages.iter().flat_map(|message| message.fields.iter());
            let own = contract.attributes.iter().map(|attribute| attribute.name.as_ref());
            for name in fields.filter_map(|field| field.source.record()).chain(own) {
                let known = [contract.system.as_ref(), "otel_usage"];
                let root = name.split('.').next().unwrap();
                assert!(known.contains(&root), "{name}");
                names.push(name.to_owned());
            }
        }
        for name in RESOURCE_ATTRIBUTES.iter().map(|attribute| attribute.name.as_ref()) {
            assert!(CONVENTIONS.contains(&name) || name.starts_with("otel_usage."), "{name}");
            names.push(name.to_owned());
        }
        for name in transport::names().chain(crate::run::ALL) {
            assert!(name.starts_with("otel_usage."), "{name}");
            names.push(name.to_owned());
        }
        for name in &names {
            let space = format!("{name}.");
            assert!(!names.iter().any(|other| other.starts_with(&space)), "{name}");
        }
    }
}
