"""Processes: what an import costs, children, and threads."""

import pytest

REPORT = """
import multiprocessing, os, sys, threading
from types import SimpleNamespace as N

def report(number):
    from otel_usage.lmcache import InitializeUsageContext, get_usage_identity
    from otel_usage.lmcache import _core
    config = N(chunk_size=number, local_cpu=True, max_local_cpu_size=1, remote_url=None, remote_serde=None,
               save_decode_cache=False, enable_blending=False, blend_min_tokens=1)
    metadata = N(model_name="m", world_size=1, worker_id=0, kv_dtype="torch.half", kv_shape=(1,))
    assert InitializeUsageContext(config, metadata) is not None
    _core.flush(3600)
    return get_usage_identity().session_id
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_each_process_reports_under_an_identity_of_its_own(server, process, method):
    code = f"""{REPORT}
def child(number, queue):
    queue.put(report(number))

if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    ids = [report(1)]
    for number in (2, 3):
        queue = context.SimpleQueue()
        process = context.Process(target=child, args=(number, queue))
        process.start()
        ids.append(queue.get())
        process.join()
        assert process.exitcode == 0
    ids.append(report(4))
    print(*ids)
"""
    # Python warns of a fork beside our thread, which is what this does.
    ids = process(code, PYTHONWARNINGS="ignore")
    assert ids[0] == ids[3]
    assert len(set(ids)) == 3
    posts = [body for _, body in server.wait_for(12)]
    reported = {body["chunksize"]: body["session_id"] for body in posts if "chunksize" in body}
    assert reported == {1: ids[0], 2: ids[1], 3: ids[2], 4: ids[0]}
    for session in set(ids):
        kinds = [body["message_type"] for body in posts if body["session_id"] == session]
        assert kinds[:3] == ["EnvMessage", "EngineMessage", "MetadataMessage"]


def test_a_child_of_an_engine_that_has_not_reported_is_forked_without_a_warning(server, process):
    code = f"""{REPORT}
import warnings
warnings.simplefilter("error")
from otel_usage.lmcache import ContinuousUsageContext, get_usage_identity, is_usage_tracking_enabled
assert is_usage_tracking_enabled()
ContinuousUsageContext.GetOrCreate(N(kv_shape=None))
parent = get_usage_identity().session_id
child = os.fork()
if child == 0:
    session = report(7)
    assert session != parent
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(len(os.listdir("/proc/self/task")))
"""
    assert process(code) == ["1"]
    assert server.wait_for(3)[1][1]["chunksize"] == 7


def test_an_import_starts_nothing_and_loads_little(process):
    code = """
import os, sys
import otel_usage.lmcache
early = {"typing", "re", "functools", "collections", "threading"} & set(sys.modules)
from otel_usage.lmcache import (ContinuousUsageContext, InitializeMPUsageContext, InitializeUsageContext,
    is_usage_tracking_enabled)
from otel_usage.lmcache import l1_usage, l2_usage, mp_continuous
heavy = {"typing", "logging", "dataclasses", "uuid", "json", "datetime", "pathlib", "numpy", "torch", "lmcache", "urllib"}
print(len(os.listdir("/proc/self/task")), sorted(early), sorted(heavy & set(sys.modules)))
"""
    assert process(code) == ["1", "[]", "[]"]


def test_switched_off_there_is_no_thread_and_no_file(process, engine):
    code = f"""{REPORT}
from otel_usage.lmcache import ContinuousUsageContext, InitializeUsageContext, InitializeMPUsageContext
assert InitializeUsageContext(N(), N()) is None
assert InitializeMPUsageContext(N(), N()) is None
ContinuousUsageContext.GetOrCreate(N()).incr_or_send_stats(N())
print(len(os.listdir("/proc/self/task")))
"""
    before = sorted(engine.rglob("*"))
    assert process(code, DO_NOT_TRACK="1") == ["1"]
    assert [path.name for path in sorted(engine.rglob("*")) if path not in before] == ["script.py"]


def test_threads_that_come_at_once_report_under_one_identity_and_lose_nothing(server, process):
    # Python changes threads as often as it can. Four threads, because more messages at once than the queue holds are
    # dropped.
    code = f"""{REPORT}
sys.setswitchinterval(1e-6)
barrier = threading.Barrier(4)
seen = set()
def run(number):
    barrier.wait()
    seen.add(report(number))
threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(seen == {{report(4)}})
from otel_usage.lmcache import _core
print(sum(native.stats()["exporters"]["server"]["delivered"] for _, native in _core._handles.values()))
"""
    # Three messages of each of five reports.
    assert process(code) == ["True", "15"]
    bodies = [body for _, body in server.posts]
    assert len({body["session_id"] for body in bodies}) == 1
    assert {body["chunksize"] for body in bodies if "chunksize" in body} == {0, 1, 2, 3, 4}


def test_the_plug_in_puts_our_modules_in_place(process):
    code = """
import os
del os.environ["OTEL_USAGE_MODE"]
import otel_usage.testing.shim
import lmcache.usage_telemetry.identity as identity
print(identity.__name__, os.environ["OTEL_USAGE_MODE"])
"""
    assert process(code, standins=True) == ["otel_usage.lmcache.identity", "on"]


def test_the_door_without_a_patch_installs_our_modules(process):
    code = """
from otel_usage import _take_over
_take_over.lmcache()
import lmcache.v1.cache_engine as engine
import lmcache.usage_telemetry.identity as identity
print(engine.InitializeUsageContext.__module__, identity.__name__)
"""
    assert process(code, standins=True) == ["otel_usage.lmcache.context", "otel_usage.lmcache.identity"]
