//! The rows of LMCache's `EnvMessage`: what it says about the machine.

use std::borrow::Cow;

use super::INSTALL_SOURCE;
use crate::contracts::table::{ZERO, fields, text};
use crate::resource::{CPU_PARTS, PROVIDERS, accelerator_or};
use crate::{Literal, Privacy, Source, Type};

use Literal::Int;
use Privacy::{Configuration, Machine};
use Type::{Str, Strs};

/// Upstream's own: without an accelerator its fields describe the processor.
const DEVICES_OR_CORES: Source =
    accelerator_or("otel_usage.accelerator.count", "otel_usage.cpu.physical_count");
const DEVICE_OR_HOST_MEMORY: Source =
    accelerator_or("otel_usage.accelerator.memory", "otel_usage.memory.total");

fields! {
    /// Cloud provider.
    PROVIDER = new("provider", Str, PROVIDERS, Machine)
        .when_absent(text("UNKNOWN")).example(text("AWS"));
    /// Online logical CPUs of the host.
    NUM_CPU = resource("num_cpu", Type::Int, "otel_usage.cpu.count").in_unit("{cpu}").when_absent(ZERO)
        .example(Int(192));
    /// CPU brand string.
    CPU_TYPE = resource("cpu_type", Str, "host.cpu.model.name").when_absent(text(""))
        .example(text("Intel(R) Xeon(R) Platinum 8488C"));
    /// CPU family, model and stepping, decimal.
    CPU_FAMILY = new("cpu_family_model_stepping", Str, CPU_PARTS, Machine)
        .when_absent(text(",,")).example(text("6,143,8"));
    /// Physical memory of the host.
    TOTAL_MEMORY = resource("total_memory", Type::Int, "otel_usage.memory.total").in_unit("By").when_absent(ZERO)
        .example(Int(2_164_156_813_312));
    /// Word size and linkage.
    ARCHITECTURE = resource("architecture", Strs, "otel_usage.architecture")
        .when_absent(Literal::texts(&[Cow::Borrowed(""), Cow::Borrowed("")]))
        .example(Literal::texts(&[Cow::Borrowed("64bit"), Cow::Borrowed("ELF")]));
    /// Python's `platform.platform()`.
    PLATFORMS = resource("platforms", Str, "otel_usage.platform").when_absent(text(""))
        .example(text("Linux-6.8.0-1031-aws-x86_64-with-glibc2.35"));
    /// Accelerators; without any, physical CPU cores.
    GPU_COUNT = new("gpu_count", Type::Int, DEVICES_OR_CORES, Machine)
        .in_unit("{device}").when_absent(ZERO).example(Int(8));
    /// Name of the first accelerator.
    GPU_TYPE = resource("gpu_type", Str, "otel_usage.accelerator.name").when_absent(text(""))
        .example(text("NVIDIA H100 80GB HBM3"));
    /// Memory of the first accelerator; without any, of the host.
    GPU_MEMORY = new("gpu_memory_per_device", Type::Int, DEVICE_OR_HOST_MEMORY, Machine)
        .in_unit("By").when_absent(ZERO).example(Int(85_029_158_912));
    /// `DOCKER`, `PIP`, `CONDA` or `UNKNOWN`.
    SOURCE = resource("source", Str, INSTALL_SOURCE).when_absent(text("UNKNOWN")).privacy(Configuration)
        .example(text("PIP"));
}
