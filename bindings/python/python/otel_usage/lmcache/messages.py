"""The messages, as light classes with LMCache's names. The native part makes the bytes of them.

The class's name is the message's ``message_type``; its members are the keys.
"""

from __future__ import annotations

import sys
from enum import Enum

from otel_usage.lmcache._declare import with_declared
from otel_usage.lmcache._host import host
from otel_usage.lmcache._members import members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

USAGE_SCHEMA_VERSION = 1


class DeploymentMode(Enum):
    """Where LMCache runs."""

    #: Inside the serving engine.
    SINGLE_PROCESS = "single_process"
    #: As a server of its own.
    MP_SERVER = "mp_server"


class UsageMessage:
    """A message. Members are given by place or by name, and all of them."""

    #: Path below the server's URL.
    ENDPOINT: ClassVar[str] = "context"
    #: The members in the order of the message.
    __match_args__: ClassVar[tuple[str, ...]] = ()


@members
class EnvMessage(UsageMessage):
    """The machine. An integer is 0 where it is unknown."""

    provider: str
    num_cpu: int
    cpu_type: str
    cpu_family_model_stepping: str
    total_memory: int
    architecture: tuple[str, str]
    platforms: str
    gpu_count: int
    gpu_type: str
    gpu_memory_per_device: int
    source: str


@members
class EngineMessage(UsageMessage):
    """The settings of an engine with LMCache in it."""

    chunksize: int
    local_device: str
    #: Whole GB.
    max_local_cache_size: int
    remote_url: str | None
    remote_serde: str | None
    pipelined_backend: bool
    save_decode_cache: bool
    enable_blending: bool
    blend_recompute_ratio: float
    blend_min_tokens: int
    model_name: str
    world_size: int
    worker_id: int
    #: A data type of torch, or its text.
    kv_dtype: Any
    #: Layers, planes, tokens of a chunk, heads, size of a head.
    kv_shape: tuple[int, ...]

    @classmethod
    def from_config(cls, config: Any, metadata: Any) -> EngineMessage:
        """Make the message from LMCache's own objects."""
        message = cls(
            chunksize=config.chunk_size,
            local_device="cpu" if config.local_cpu else _device_type(),
            max_local_cache_size=int(config.max_local_cpu_size),
            remote_url=config.remote_url,
            remote_serde=config.remote_serde,
            # Upstream has neither setting any more.
            pipelined_backend=False,
            blend_recompute_ratio=0.15,
            save_decode_cache=config.save_decode_cache,
            enable_blending=config.enable_blending,
            blend_min_tokens=config.blend_min_tokens,
            model_name=metadata.model_name,
            world_size=metadata.world_size,
            worker_id=metadata.worker_id,
            kv_dtype=metadata.kv_dtype,
            kv_shape=metadata.kv_shape,
        )
        with_declared(message, config, metadata)
        return message


@members
class MetadataMessage(UsageMessage):
    """The run."""

    #: Local time: ``2026-08-20 08:15:13``.
    start_time: str
    #: Seconds since then.
    duration: float


@members
class MPServerMessage(UsageMessage):
    """The settings of a multi-process server. The name that an operator gave the server is not among them."""

    lmcache_version: str
    chunk_size: int
    hash_algorithm: str
    engine_type: str
    enable_segmented_prefix: bool
    enable_dedup_content: bool
    supported_transfer_mode: str
    separate_object_groups: bool
    max_gpu_workers: int
    max_cpu_workers: int
    p2p_enabled: bool
    l1_size_bytes: int
    l1_medium: str
    l1_shm_enabled: bool
    eviction_policy: str
    l2_adapter_types: str
    l2_serde_types: str
    l2_store_policy: str
    l2_prefetch_policy: str

    @classmethod
    def from_configs(cls, mp_config: Any, storage_manager_config: Any) -> MPServerMessage:
        """Make the message from LMCache's own objects."""
        # These are loaded where there is such a server, and only there.
        config = host("v1.distributed.config")
        adapter_config = host("v1.distributed.l2_adapters.config")

        storage = storage_manager_config
        levels = storage.l1_manager_configs
        capacities = [config.get_configured_capacity_bytes(level) for level in levels]
        media = {medium.value for capacity in capacities for medium in capacity}
        adapters = storage.l2_adapter_config.adapters
        serdes = [adapter.serde_config for adapter in adapters]
        policies = [level.eviction.eviction_policy for level in levels if level.eviction is not None]
        shared_memory = storage.l1_manager_config.memory_config.shm_name
        message = cls(
            lmcache_version=host("").__version__,
            chunk_size=mp_config.chunk_size,
            hash_algorithm=mp_config.hash_algorithm,
            engine_type=mp_config.engine_type,
            enable_segmented_prefix=mp_config.enable_segmented_prefix,
            enable_dedup_content=mp_config.enable_dedup_content,
            supported_transfer_mode=mp_config.supported_transfer_mode,
            separate_object_groups=mp_config.separate_object_groups,
            max_gpu_workers=mp_config.max_gpu_workers,
            max_cpu_workers=mp_config.max_cpu_workers,
            p2p_enabled=mp_config.p2p_config.enabled,
            l1_size_bytes=sum(sum(capacity.values()) for capacity in capacities),
            # The host's memory comes first.
            l1_medium="+".join(sorted(media, key=lambda name: (name != "dram", name))),
            l1_shm_enabled=len(levels) == 1 and bool(shared_memory),
            eviction_policy=",".join(policies),
            l2_adapter_types=",".join(adapter_config.get_type_name_for_config(adapter) for adapter in adapters),
            l2_serde_types=",".join("" if serde is None else serde.type for serde in serdes),
            l2_store_policy=storage.store_policy,
            l2_prefetch_policy=storage.prefetch_policy,
        )
        with_declared(message, mp_config, storage)
        return message


@members
class L2ConnectorUsageMessage(UsageMessage):
    """An interval of one adapter type of the second level. Keys are chunks."""

    ENDPOINT: ClassVar[str] = "l2-usage"

    l2_name: str
    active_seconds: float
    interval_stored_bytes: int
    interval_store_succeeded_keys: int
    interval_store_failed_keys: int
    interval_load_submitted_keys: int
    #: Asked for, whether they came or not.
    interval_load_submitted_bytes: int
    #: -1: unknown.
    bytes_used: int
    #: Of the adapters that have a limit. 0: none has.
    capacity_bytes: int
    unbounded_adapters: int
    sequence_number: int
    uptime_seconds: float


@members
class L1UsageMessage(UsageMessage):
    """An interval of the first level."""

    ENDPOINT: ClassVar[str] = "l1-usage"

    active_seconds: float
    #: -1: the probe failed.
    bytes_used: int
    #: 0: the probe failed.
    capacity_bytes: int
    sequence_number: int
    uptime_seconds: float


@members
class ContinuousContextMessage(UsageMessage):
    """An interval of the cache. The size is an estimate in an engine, exact in a server."""

    ENDPOINT: ClassVar[str] = "cache-usage"

    interval_num_stored_tokens: int
    interval_num_hit_tokens: int
    interval_stored_kv_size: int
    sequence_number: int
    uptime_seconds: float


@members
class CacheLifespanMessage(UsageMessage):
    """An interval's times from storing a chunk to its reuse, in minutes."""

    ENDPOINT: ClassVar[str] = "cache-lifespan"

    #: Counts by bound, as :meth:`ContinuousUsageContext.list_to_histogram` makes them.
    cache_lifespan_histogram: dict[float, int]
    sequence_number: int
    uptime_seconds: float


def _device_type() -> str:
    """Return the kind of accelerator as LMCache names it. torch is not imported for it."""
    kind = getattr(sys.modules.get("lmcache"), "torch_device_type", None)
    return kind if isinstance(kind, str) else "cuda"
