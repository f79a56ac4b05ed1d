//! The report of a single-process LMCache engine about itself at start: the record, and the row of each of
//! its fields.

use super::{ENGINE, FMT};
use crate::contracts::table::{FALSE, ZERO, fields, text, typed_record};
use crate::sanitize::{Sanitizer, TEXT};
use crate::{Literal, Privacy, Type};

use Literal::{Bool, Float, Int};
use Privacy::Configuration;

typed_record! {
    /// The report of a single-process LMCache engine about itself at start.
    ///
    /// Fill it with `..Default::default()`, so that a field added later does not break the engine.
    pub struct Engine = ENGINE {
        /// Tokens in one chunk.
        chunk_size: i64 = CHUNK_SIZE("chunksize", "lmcache.chunk_size").in_unit("{token}").when_absent(ZERO)
            .example(Int(256));
        /// `cpu` when CPU caching is on, else the accelerator type (`cuda`, `xpu`, ...).
        local_device: String = LOCAL_DEVICE("local_device", "lmcache.local_device").when_absent(text(""))
            .example(text("cpu"));
        /// Configured CPU cache in GB, truncated.
        max_local_cache_size: i64 = MAX_LOCAL("max_local_cache_size", "lmcache.local_cache.max_gb")
            .in_unit("GBy").when_absent(ZERO).example(Int(20));
        /// Remote backend. Only the URL's scheme leaves.
        remote_url: Option<String> = REMOTE_URL("remote_url", "lmcache.remote.url")
            .sanitized(&[Sanitizer::SchemeOnly]).example(text("redis://"));
        /// Serializer of the remote backend.
        remote_serde: Option<String> = REMOTE_SERDE("remote_serde", "lmcache.remote.serde")
            .example(text("naive"));
        /// Whether the cache of decoded tokens is kept.
        save_decode_cache: bool = SAVE_DECODE("save_decode_cache", "lmcache.save_decode_cache")
            .when_absent(FALSE).example(Bool(false));
        /// Whether blending is on.
        enable_blending: bool = BLENDING("enable_blending", "lmcache.blending.enabled").when_absent(FALSE)
            .example(Bool(false));
        /// Least tokens to blend.
        blend_min_tokens: i64 = BLEND_MIN("blend_min_tokens", "lmcache.blending.min_tokens")
            .in_unit("{token}").when_absent(ZERO).example(Int(256));
        /// The model. A path on this machine becomes `<local>`.
        model_name: String = MODEL_NAME("model_name", "lmcache.model.name").when_absent(text(""))
            .sanitized(&[Sanitizer::PathOrRepoId, Sanitizer::CapLen(TEXT)])
            .example(text("meta-llama/Llama-3.1-8B-Instruct"));
        /// Ranks.
        world_size: i64 = WORLD_SIZE("world_size", "lmcache.world_size").in_unit("{rank}").when_absent(ZERO)
            .example(Int(1));
        /// This rank.
        worker_id: i64 = WORKER_ID("worker_id", "lmcache.worker_id").when_absent(ZERO).example(Int(0));
        /// KV data type, `torch.<name>`.
        kv_dtype: String = KV_DTYPE("kv_dtype", "lmcache.kv.dtype").when_absent(text(""))
            .example(text("torch.bfloat16"));
        /// Layers, K/V planes, tokens of a chunk, KV heads, head size.
        kv_shape: Vec<i64> = KV_SHAPE("kv_shape", "lmcache.kv.shape")
            .when_absent(Literal::ints(&[])).example(Literal::ints(&[32, 2, 256, 8, 128]));
    }
}

fields! {
    /// Always false: a backend that upstream no longer has.
    PIPELINED = constant("pipelined_backend", Type::Bool, Bool(false)).when_absent(FALSE)
        .privacy(Configuration).example(Bool(false));
    /// Always 0.15: a setting that upstream no longer has.
    BLEND_RATIO = constant("blend_recompute_ratio", Type::Float, Float(0.15)).in_unit("1")
        .when_absent(Float(0.15)).privacy(Configuration).example(Float(0.15));
    /// Serving engine that the cache is part of; sent before schema 1 only.
    FORMAT = record("fmt", Type::Str, FMT).when_absent(text("")).example(text("vllm"));
}

impl Engine {
    /// Bytes of one token in the cache, as LMCache estimates them from [`Self::kv_shape`] and
    /// [`Self::kv_dtype`]. 0: they cannot be told, and the stored bytes are then reported as 0.
    #[must_use]
    pub fn bytes_per_token(&self) -> u64 {
        let element = match self.kv_dtype.trim_start_matches("torch.") {
            "float64" | "double" | "int64" | "long" => 8,
            "float32" | "float" | "int32" | "int" => 4,
            "bfloat16" | "float16" | "half" | "int16" | "short" => 2,
            "uint8" | "int8" | "bool" => 1,
            other if other.starts_with("float8_") => 1,
            _ => 0,
        };
        let [layers, planes, tokens, heads, size] = *self.kv_shape.as_slice() else { return 0 };
        let product = [layers, planes, heads, size, element]
            .into_iter()
            .try_fold(1_i64, i64::checked_mul)
            .filter(|_| tokens > 0);
        product.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Engine;

    #[test]
    fn bytes_of_a_token_follow_from_shape_and_type() {
        let engine = |kv_shape: Vec<i64>, dtype: &str| Engine {
            kv_shape,
            kv_dtype: dtype.to_owned(),
            ..Engine::default()
        };
        for (shape, dtype, bytes) in [
            (vec![32, 2, 256, 8, 128], "torch.bfloat16", 131_072),
            (vec![32, 2, 256, 8, 128], "torch.float8_e4m3fn", 65_536),
            (vec![32, 2, 0, 8, 128], "torch.bfloat16", 0),
            (vec![32, 2, 256], "torch.bfloat16", 0),
            (vec![i64::MAX, 2, 256, 8, 128], "torch.bfloat16", 0),
            (vec![32, 2, 256, 8, 128], "torch.odd", 0),
        ] {
            assert_eq!(engine(shape, dtype).bytes_per_token(), bytes, "{dtype}");
        }
    }
}
