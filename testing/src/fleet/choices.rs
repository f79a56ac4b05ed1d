//! The versions, devices and models among which engines of a fleet choose, each with its weight.

use crate::random::Random;

/// The versions of vLLM, with the day on which each was released, counted from the first day.
const VERSIONS: [(&str, i64); 6] = [
    ("0.28.1", -160),
    ("0.29.0", -110),
    ("0.30.2", -75),
    ("0.31.0", -45),
    ("0.32.1", -16),
    ("0.33.0", 9),
];

pub(super) const ACCELERATORS: [(f64, &str, u64); 12] = [
    (34.0, "NVIDIA H100 80GB HBM3", 80),
    (17.0, "NVIDIA H200", 141),
    (12.0, "NVIDIA A100-SXM4-80GB", 80),
    (9.0, "NVIDIA B200", 180),
    (7.0, "AMD Instinct MI300X", 192),
    (6.0, "NVIDIA L40S", 48),
    (5.0, "NVIDIA GeForce RTX 4090", 24),
    (4.0, "NVIDIA L4", 24),
    (3.0, "NVIDIA A10G", 24),
    (2.0, "NVIDIA RTX PRO 6000 Blackwell Server Edition", 96),
    (0.7, "Tesla T4", 16),
    // Nothing of this shape may ever be shown.
    (0.3, "/dev/accel0 at 10.1.2.3", 16),
];

pub(super) const ARCHITECTURES: [(f64, &str); 10] = [
    (24.0, "Qwen3ForCausalLM"),
    (19.0, "LlamaForCausalLM"),
    (13.0, "Qwen3MoeForCausalLM"),
    (11.0, "DeepseekV3ForCausalLM"),
    (9.0, "GptOssForCausalLM"),
    (8.0, "Qwen2_5_VLForConditionalGeneration"),
    (6.0, "Gemma3ForConditionalGeneration"),
    (5.0, "MistralForCausalLM"),
    (3.0, "Glm4MoeForCausalLM"),
    (2.0, "TransformersForCausalLM"),
];

pub(super) const DTYPES: [(f64, &str); 3] =
    [(86.0, "torch.bfloat16"), (12.0, "torch.float16"), (2.0, "torch.float32")];
pub(super) const QUANTIZED: [(f64, &str); 6] = [
    (52.0, ""),
    (24.0, "fp8"),
    (9.0, "mxfp4"),
    (7.0, "awq_marlin"),
    (5.0, "compressed-tensors"),
    (3.0, "gptq_marlin"),
];
pub(super) const PROVIDERS: [(f64, &str); 6] = [
    (46.0, "UNKNOWN"),
    (24.0, "AWS"),
    (13.0, "GCP"),
    (9.0, "AZURE"),
    (5.0, "RUNPOD"),
    (3.0, "OCI"),
];
pub(super) const CONTEXTS: [(f64, &str); 3] =
    [(71.0, "OPENAI_API_SERVER"), (22.0, "LLM_CLASS"), (7.0, "ENGINE_CONTEXT")];
pub(super) const SOURCES: [(f64, &str); 3] =
    [(62.0, "production-docker-image"), (34.0, "production"), (4.0, "ci")];
pub(super) const PARALLEL: [(f64, i64); 4] = [(55.0, 1), (14.0, 2), (13.0, 4), (18.0, 8)];
pub(super) const MODELS: [(f64, &str); 4] = [
    (40.0, "meta-llama/Llama-3.1-8B-Instruct"),
    (30.0, "Qwen/Qwen3-32B"),
    (20.0, "deepseek-ai/DeepSeek-V3.1"),
    (10.0, "/srv/models/private"),
];

/// A new engine runs a version that is out: mostly the newest, the longer it is out the more.
pub(super) fn version(random: &mut Random, day: i64) -> &'static str {
    let out = VERSIONS.iter().rev().filter(|(_, released)| *released <= day);
    for (version, released) in out {
        let age = (day - released) as f64;
        if random.share() < 0.62 * (1.0 - (-(age + 1.0) / 9.0).exp()) {
            return version;
        }
    }
    VERSIONS[0].0
}
