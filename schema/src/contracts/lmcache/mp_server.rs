//! The report of a multi-process LMCache server about itself at start: the record, and the row of each of
//! its fields.

use super::MP_SERVER;
use crate::Literal;
use crate::contracts::table::{FALSE, ZERO, text, typed_record};

use Literal::{Bool, Int};

typed_record! {
    /// The report of a multi-process LMCache server about itself at start.
    ///
    /// Fill it with `..Default::default()`, so that a field added later does not break the engine.
    pub struct MpServer = MP_SERVER {
        /// Tokens in one chunk.
        chunk_size: i64 = CHUNK_TOKENS("chunk_size", "lmcache.chunk_size").in_unit("{token}")
            .when_absent(ZERO).example(Int(256));
        /// Hash of the chunks; LMCache's default is `blake3`.
        hash_algorithm: String = HASH_ALGORITHM("hash_algorithm", "lmcache.hash_algorithm")
            .when_absent(text("")).example(text("blake3"));
        /// Engine type; LMCache's default is `default`.
        engine_type: String = ENGINE_TYPE("engine_type", "lmcache.engine_type").when_absent(text(""))
            .example(text("default"));
        /// Whether prefixes are segmented.
        enable_segmented_prefix: bool = ENABLE_SEGMENTED_PREFIX("enable_segmented_prefix", "lmcache.segmented_prefix")
            .when_absent(FALSE).example(Bool(false));
        /// Whether content is de-duplicated.
        enable_dedup_content: bool = ENABLE_DEDUP_CONTENT("enable_dedup_content", "lmcache.dedup_content")
            .when_absent(FALSE).example(Bool(false));
        /// Transfer mode; LMCache's default is `lmcache_driven`.
        supported_transfer_mode: String = SUPPORTED_TRANSFER_MODE("supported_transfer_mode", "lmcache.transfer_mode")
            .when_absent(text("")).example(text("lmcache_driven"));
        /// Whether object groups are separate.
        separate_object_groups: bool = SEPARATE_OBJECT_GROUPS("separate_object_groups", "lmcache.separate_object_groups")
            .when_absent(FALSE).example(Bool(false));
        /// GPU workers at most.
        max_gpu_workers: i64 = MAX_GPU_WORKERS("max_gpu_workers", "lmcache.workers.gpu")
            .in_unit("{worker}").when_absent(ZERO).example(Int(4));
        /// CPU workers at most.
        max_cpu_workers: i64 = MAX_CPU_WORKERS("max_cpu_workers", "lmcache.workers.cpu")
            .in_unit("{worker}").when_absent(ZERO).example(Int(8));
        /// Whether peers exchange chunks.
        p2p_enabled: bool = P2P_ENABLED("p2p_enabled", "lmcache.p2p").when_absent(FALSE)
            .example(Bool(false));
        /// Size of the first level in bytes.
        l1_size_bytes: i64 = L1_SIZE_BYTES("l1_size_bytes", "lmcache.l1.size").in_unit("By")
            .when_absent(ZERO).example(Int(64_424_509_440));
        /// Medium of the first level: `dram`, `gds`, `dram+devdax`.
        l1_medium: String = L1_MEDIUM("l1_medium", "lmcache.l1.medium").when_absent(text(""))
            .example(text("dram"));
        /// Whether the first level is in shared memory.
        l1_shm_enabled: bool = L1_SHM_ENABLED("l1_shm_enabled", "lmcache.l1.shared_memory")
            .when_absent(FALSE).example(Bool(true));
        /// Eviction policy, for example `LRU`.
        eviction_policy: String = EVICTION_POLICY("eviction_policy", "lmcache.eviction_policy")
            .when_absent(text("")).example(text("LRU"));
        /// Adapter types of the second level, comma-joined.
        l2_adapter_types: String = L2_ADAPTER_TYPES("l2_adapter_types", "lmcache.l2.adapters")
            .when_absent(text("")).example(text("fs,nixl_store"));
        /// Serializers of the second level, comma-joined, aligned with the adapters.
        l2_serde_types: String = L2_SERDE_TYPES("l2_serde_types", "lmcache.l2.serdes").when_absent(text(""))
            .example(text("fp8,"));
        /// Store policy of the second level.
        l2_store_policy: String = L2_STORE_POLICY("l2_store_policy", "lmcache.l2.store_policy")
            .when_absent(text("")).example(text("default"));
        /// Prefetch policy of the second level.
        l2_prefetch_policy: String = L2_PREFETCH_POLICY("l2_prefetch_policy", "lmcache.l2.prefetch_policy")
            .when_absent(text("")).example(text("default"));
    }
}
