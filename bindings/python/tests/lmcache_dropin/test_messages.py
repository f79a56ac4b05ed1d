"""The classes of the messages: LMCache's names, members and ways to make one."""

import pytest

from otel_usage.lmcache import messages
from otel_usage.lmcache.identity import UsageIdentity
from otel_usage.lmcache.messages import (
    CacheLifespanMessage,
    ContinuousContextMessage,
    DeploymentMode,
    EngineMessage,
    L2ConnectorUsageMessage,
    MetadataMessage,
    MPServerMessage,
    UsageMessage,
)
from otel_usage.lmcache.transport import build_usage_payload

WHO = UsageIdentity("6a1c9e52-1f0a-4c6b-bb7e-90d5c2f3a7e8", "f4b6a2c8-9d17-4e57-8a0b-6c1d2e3f4a5b")
HEADER = ["message_type", "schema_version", "session_id", "machine_id", "deployment_mode"]


def payload(message, mode=DeploymentMode.SINGLE_PROCESS):
    return build_usage_payload(message, WHO, mode)


def test_members_are_given_by_place_or_by_name():
    message = MetadataMessage("2026-08-20 08:15:13", duration=1.5)
    assert vars(message) == {"start_time": "2026-08-20 08:15:13", "duration": 1.5}
    assert message == MetadataMessage("2026-08-20 08:15:13", 1.5)
    assert message != MetadataMessage("2026-08-20 08:15:13", 2.5)
    assert repr(message) == "MetadataMessage(start_time='2026-08-20 08:15:13', duration=1.5)"


@pytest.mark.parametrize(
    ("places", "names"),
    [(("",), {}), (("", 1.0, 2.0), {}), (("", 1.0), {"more": 1}), (("", 1.0), {"duration": 1.0})],
)
def test_a_missing_or_unknown_member_is_a_type_error(places, names):
    with pytest.raises(TypeError, match="MetadataMessage"):
        MetadataMessage(*places, **names)


def test_a_subclass_has_the_members_of_its_base():
    class Longer(MetadataMessage):
        pass

    assert Longer("", 1.0).duration == 1.0


def test_endpoints():
    named = {name: value.ENDPOINT for name, value in vars(messages).items() if name.endswith("Message")}
    assert named.pop("ContinuousContextMessage") == "cache-usage"
    assert named.pop("CacheLifespanMessage") == "cache-lifespan"
    assert named.pop("L1UsageMessage") == "l1-usage"
    assert named.pop("L2ConnectorUsageMessage") == "l2-usage"
    assert set(named.values()) == {"context"}
    assert UsageMessage.ENDPOINT == "context"


def test_an_engine_is_read_from_its_own_objects(config, metadata):
    message = EngineMessage.from_config(config, metadata)
    assert message.chunksize == 256
    assert message.local_device == "cpu"
    assert message.max_local_cache_size == 5
    assert message.pipelined_backend is False
    assert message.blend_recompute_ratio == 0.15
    assert message.kv_dtype is metadata.kv_dtype
    config.local_cpu = False
    # The kind of accelerator that LMCache has found.
    assert EngineMessage.from_config(config, metadata).local_device == "xpu"


def test_the_payload_of_an_engine_is_upstreams(config, metadata):
    sent = payload(EngineMessage.from_config(config, metadata))
    assert list(sent) == [*HEADER, *EngineMessage.__match_args__]
    assert sent == {
        "message_type": "EngineMessage",
        "schema_version": 1,
        "session_id": WHO.session_id,
        "machine_id": WHO.machine_id,
        "deployment_mode": "single_process",
        "chunksize": 256,
        "local_device": "cpu",
        "max_local_cache_size": 5,
        # The host and the password stay here.
        "remote_url": "redis://",
        "remote_serde": "naive",
        "pipelined_backend": False,
        "save_decode_cache": False,
        "enable_blending": True,
        "blend_recompute_ratio": 0.15,
        "blend_min_tokens": 64,
        "model_name": "test_model",
        "world_size": 2,
        "worker_id": 1,
        "kv_dtype": "torch.bfloat16",
        "kv_shape": (32, 2, 256, 8, 128),
    }


def test_settings_that_nobody_made_are_null(config, metadata):
    config.remote_url = config.remote_serde = None
    sent = payload(EngineMessage.from_config(config, metadata))
    assert sent["remote_url"] is None
    assert sent["remote_serde"] is None


def test_a_number_of_another_package_is_a_number(config, metadata):
    class Number:
        def __index__(self):
            return 7

    metadata.world_size = Number()
    metadata.kv_shape = (Number(), 2)
    sent = payload(EngineMessage.from_config(config, metadata))
    assert sent["world_size"] == 7
    assert sent["kv_shape"] == (7, 2)


def test_an_object_that_is_no_value_does_not_leave(config, metadata):
    class Private:
        def __str__(self):
            return "alice"

    metadata.model_name = Private()
    assert "alice" not in str(payload(EngineMessage.from_config(config, metadata)))


def test_a_server_is_read_from_its_own_objects(mp_config, storage):
    message = MPServerMessage.from_configs(mp_config, storage())
    sent = payload(message, DeploymentMode.MP_SERVER)
    assert list(sent) == [*HEADER, *MPServerMessage.__match_args__]
    assert {key: value for key, value in sent.items() if key not in HEADER} == {
        "lmcache_version": "0.5.6",
        "chunk_size": 256,
        "hash_algorithm": "blake3",
        "engine_type": "default",
        "enable_segmented_prefix": False,
        "enable_dedup_content": True,
        "supported_transfer_mode": "lmcache_driven",
        "separate_object_groups": False,
        "max_gpu_workers": 4,
        "max_cpu_workers": 8,
        "p2p_enabled": False,
        "l1_size_bytes": 1 << 30,
        "l1_medium": "dram",
        "l1_shm_enabled": True,
        "eviction_policy": "LRU",
        "l2_adapter_types": "",
        "l2_serde_types": "",
        "l2_store_policy": "default",
        "l2_prefetch_policy": "eager",
    }
    assert sent["deployment_mode"] == "mp_server"
    assert "alice" not in str(sent)


def test_a_server_with_several_levels(mp_config, storage):
    levels = [("LRU", {"gds": 2, "dram": 1}), (None, {"devdax": 4})]
    adapters = [("fs", "fp8"), ("nixl_store", None)]
    message = MPServerMessage.from_configs(mp_config, storage(*levels, adapters=adapters))
    assert message.l1_size_bytes == 7
    assert message.l1_medium == "dram+devdax+gds"
    assert message.l1_shm_enabled is False
    assert message.eviction_policy == "LRU"
    assert message.l2_adapter_types == "fs,nixl_store"
    assert message.l2_serde_types == "fp8,"
    assert MPServerMessage.from_configs(mp_config, storage(shm_name="")).l1_shm_enabled is False


def test_a_histogram_keeps_the_numbers_of_its_bounds():
    bounds = (0, 1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1000, 2500, 5000)
    counts = {bound: place for place, bound in enumerate(bounds)}
    sent = payload(CacheLifespanMessage(counts, 3, 1.25))
    assert sent["cache_lifespan_histogram"] == counts
    assert {type(bound) for bound in sent["cache_lifespan_histogram"]} == {int}
    assert sent["sequence_number"] == 3
    assert sent["uptime_seconds"] == 1.25


def test_times_are_those_of_the_message():
    assert payload(MetadataMessage("2026-08-20 08:15:13", 1.5))["duration"] == 1.5
    assert payload(MetadataMessage("2026-08-20 08:15:13", 1.5))["start_time"] == "2026-08-20 08:15:13"
    assert payload(ContinuousContextMessage(1, 2, 3, 4, 5.5))["uptime_seconds"] == 5.5
    sent = payload(L2ConnectorUsageMessage("dax", 2.5, 1, 2, 3, 4, 5, -1, 0, 1, 6, 7.5), DeploymentMode.MP_SERVER)
    assert sent["active_seconds"] == 2.5
    assert sent["bytes_used"] == -1


def test_a_message_outside_the_contract_has_no_payload():
    class Mine(UsageMessage):
        pass

    with pytest.raises(ValueError, match="Mine is not part of the contract"):
        payload(Mine())


def test_torch_is_not_imported_for_a_message(process):
    code = """
import sys
from types import SimpleNamespace as N
from otel_usage.lmcache import EngineMessage
from otel_usage.lmcache.identity import UsageIdentity
from otel_usage.lmcache.messages import DeploymentMode
from otel_usage.lmcache.transport import build_usage_payload
config = N(chunk_size=1, local_cpu=False, max_local_cpu_size=1, remote_url=None, remote_serde=None,
           save_decode_cache=False, enable_blending=False, blend_min_tokens=1)
metadata = N(model_name="m", world_size=1, worker_id=0, kv_dtype="torch.half", kv_shape=())
message = EngineMessage.from_config(config, metadata)
sent = build_usage_payload(message, UsageIdentity("", ""), DeploymentMode.SINGLE_PROCESS)
print(message.local_device, sent["kv_dtype"], bool({"torch", "numpy", "lmcache"} & set(sys.modules)))
"""
    assert process(code, standins=True) == ["cuda", "torch.half", "False"]
