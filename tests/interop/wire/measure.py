"""Prints what an import or a call costs, as a line of JSON: `measure.py CASE ENGINE original|package WHEEL`.

`cargo xtask python-costs` runs it, each time in a new Python. The original lies over stand-ins, so that torch and the
engine itself are not counted.
"""

import os
import sys
import time

PAGE = os.sysconf("SC_PAGE_SIZE")


def loaded_by_engines():
    import standins

    standins.loaded_by_engines()


def find(engine, who, wheel):
    """Make the original's module one that can be imported."""
    if who == "package":
        return
    import standins

    if engine == "vllm":
        import vllm_original as original
    else:
        import lmcache_original as original
    standins.Originals(wheel, original.MODULES)
    if engine == "lmcache":
        original.machine(None)
    else:
        original.platform(None)


def load(engine, who):
    """Import what an engine imports, and return it."""
    if engine == "vllm" and who == "package":
        import otel_usage.vllm as module
    elif engine == "vllm":
        import vllm.usage.usage_lib as module
    elif who == "package":
        import otel_usage.lmcache as module
    else:
        import lmcache.usage_telemetry as module
    if engine == "lmcache":
        # Our modules are found when a name is asked for.
        return module, module.InitializeUsageContext, module.ContinuousUsageContext
    return module, module.UsageContext, module.is_usage_stats_enabled, module.usage_message


def spent():
    """Milliseconds on a processor, and KiB in memory."""
    with open("/proc/self/statm") as file:
        return time.process_time() * 1e3, int(file.read().split()[1]) * PAGE / 1024


def importing(engine, who, wheel):
    find(engine, who, wheel)
    before = spent()
    load(engine, who)
    after = spent()
    return {"cpu_ms": after[0] - before[0], "kib": after[1] - before[1]}


def logging(_engine, _who, _wheel):
    """A module of the standard library, as a measure of the machine."""
    before = spent()
    import logging  # noqa: F401

    return {"cpu_ms": spent()[0] - before[0]}


def inside(engine, who, wheel):
    loaded_by_engines()
    return importing(engine, who, wheel)


def interval(engine, who, wheel):
    """The call that LMCache makes again and again. Each one reports, because the interval is 0."""
    from types import SimpleNamespace

    loaded_by_engines()
    find(engine, who, wheel)
    module = load(engine, who)[0]
    metadata = SimpleNamespace(kv_shape=(1, 2, 256, 8, 64), kv_dtype=SimpleNamespace(itemsize=2))
    continuous = module.ContinuousUsageContext.GetOrCreate(metadata)
    stats = SimpleNamespace(interval_request_cache_lifespan=[1.5], interval_hit_tokens=1, interval_stored_tokens=1)
    millis = []
    for _ in range(int(os.environ["CALLS"])):
        begun = time.perf_counter()
        continuous.incr_or_send_stats(stats)
        millis.append((time.perf_counter() - begun) * 1e3)
        time.sleep(0.01)
    return {"wall_ms": millis}


def off(engine, who, wheel):
    """An import and a call where the operator has opted out."""
    find(engine, who, wheel)
    loaded = load(engine, who)
    if engine == "lmcache":
        assert loaded[1](None, None) is None
    elif loaded[2]():
        loaded[3].report_usage("LlamaForCausalLM", loaded[1].ENGINE_CONTEXT)
    return {}


def door(_engine, _who, _wheel):
    """Load our plug-in as vLLM does in each of its processes. The operator did not ask for it."""
    loaded_by_engines()
    from importlib.metadata import entry_points

    (plug_in,) = (found for found in entry_points(group="vllm.general_plugins") if found.name == "otel_usage")
    before, begun = time.process_time(), time.perf_counter()
    plug_in.load()()
    return {"cpu_ms": (time.process_time() - before) * 1e3, "wall_ms": (time.perf_counter() - begun) * 1e3}


CASES = {"import": importing, "logging": logging, "inside": inside, "interval": interval, "off": off, "door": door}

if __name__ == "__main__":
    measured = CASES[sys.argv[1]](*sys.argv[2:])
    import json

    print(json.dumps(measured))
