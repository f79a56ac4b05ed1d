"""LMCache's own messages, for one scenario of a single process or of the multi-process server.

In: the wheel, a scenario, the URL of a server on this machine. Out: what LMCache posts, and on
standard output what it cost. `lmcache.usage_telemetry`, its event bus and its periodic threads run
as they are published; each interval of the scenario is flushed as soon as its values are in.
"""

import os
import sys
import threading
from types import SimpleNamespace

import standins

MODULES = ["lmcache._version", "lmcache.connections", "lmcache.v1.exceptions"]
MODULES += ["lmcache.v1.mp_observability.event", "lmcache.v1.mp_observability.event_bus"]
MODULES += ["lmcache.v1.periodic_thread", "lmcache.usage_telemetry"]
MODULES += [
    f"lmcache.usage_telemetry.{name}"
    for name in (
        "context",
        "continuous",
        "env_probe",
        "flush",
        "guard",
        "identity",
        "l1_usage",
        "l2_usage",
        "messages",
        "metric_specs",
        "mp",
        "mp_continuous",
        "transport",
    )
]


class Dtype:
    """A data type of torch."""

    SIZES = {"torch.bfloat16": 2, "torch.uint8": 1, "torch.float32": 4}

    def __init__(self, name):
        self.name, self.itemsize = name, self.SIZES[name]

    def __str__(self):
        return self.name


class Medium(str):
    """The medium of the first level."""

    value = property(str)


def machine(device):
    """torch on a machine with this device. `None`: without one."""
    import lmcache
    import lmcache._version

    standins.given("torch", dtype=Dtype)
    lmcache.__version__ = lmcache._version.__version__
    properties = device and SimpleNamespace(name=device.name, total_memory=device.memory)
    standins.given(
        "lmcache",
        torch_device_type=device.kind if device else "cpu",
        torch_dev=SimpleNamespace(
            is_available=lambda: device is not None,
            device_count=lambda: device.count,
            get_device_properties=lambda _index: properties,
        ),
    )


def reported():
    """Waits for the messages at the start."""
    for thread in threading.enumerate():
        if thread.name == "lmcache-usage-report":
            standins.until_sent(thread)


def single_process(wanted):
    """The messages of an engine with LMCache in it."""
    from lmcache.usage_telemetry import ContinuousUsageContext, InitializeUsageContext

    metadata = wanted.metadata
    metadata.kv_dtype = Dtype(metadata.kv_dtype)
    metadata.kv_shape = tuple(metadata.kv_shape)
    cost = standins.Cost()
    InitializeUsageContext(wanted.config, metadata)
    cost.returned()
    reported()
    if standins.LIFE == "whole":
        continuous = ContinuousUsageContext.GetOrCreate(metadata)
        for interval in wanted.intervals:
            continuous.incr_or_send_stats(interval)
    cost.tell()


class Storage:
    """The storage manager as the probes of an interval find it."""

    def __init__(self):
        self.interval = None

    def get_l1_usage(self):
        """Bytes in use and in all; `null` in the scenario: the probe fails."""
        used, total = self.interval.l1
        return used, total

    def get_l2_usages_by_type(self):
        """Every adapter's bytes in use and in all, by its type."""
        return {
            name: [SimpleNamespace(total_bytes_used=u, total_capacity_bytes=c) for u, c in adapters]
            for name, adapters in vars(self.interval.l2).items()
        }


def server(wanted):
    """The messages of a multi-process server: each interval flushed, the last one by its end."""
    from lmcache.usage_telemetry import InitializeMPUsageContext
    from lmcache.usage_telemetry.l1_usage import InitializeL1Usage
    from lmcache.usage_telemetry.l2_usage import InitializeL2ConnectorUsage
    from lmcache.usage_telemetry.mp_continuous import InitializeMPContinuousUsage
    from lmcache.v1.mp_observability.event import Event, EventType
    from lmcache.v1.mp_observability.event_bus import EventBus

    standins.given(
        "lmcache.v1.distributed.config",
        get_configured_capacity_bytes=lambda l1: {
            Medium(name): size for name, size in vars(l1.capacities).items()
        },
    )
    standins.given(
        "lmcache.v1.distributed.l2_adapters.config",
        get_type_name_for_config=lambda adapter: adapter.type_name,
    )
    bus, storage, drained = EventBus(), Storage(), threading.Semaphore(0)
    bus.subscribe(EventType.MP_STORE_START, lambda _event: drained.release())
    bus.start()

    levels = wanted.storage_manager_config
    levels.l1_manager_config = levels.l1_manager_configs[0]

    cost = standins.Cost()
    # In this order the server starts them.
    InitializeMPUsageContext(wanted.mp_config, levels)
    cost.returned()
    if standins.LIFE == "start":
        reported()
        cost.tell()
        return
    chunk_size = wanted.mp_config.chunk_size
    reporters = [
        InitializeMPContinuousUsage(bus, chunk_size),
        InitializeL2ConnectorUsage(bus, storage),
        InitializeL1Usage(bus, storage),
    ]
    reported()
    for index, storage.interval in enumerate(wanted.intervals):
        for event in storage.interval.events:
            bus.publish(Event(EventType[event.type], metadata=vars(event.metadata)))
        bus.publish(Event(EventType.MP_STORE_START))
        drained.acquire()
        if index + 1 < len(wanted.intervals) and standins.LIFE == "whole":
            for reporter in reporters:
                reporter.flush()
    bus.stop()
    cost.tell()


def main():
    wheel, path, url = sys.argv[1:]
    standins.loopback_only(url)
    os.environ["LMCACHE_USAGE_TRACK_URL"] = url
    wanted = standins.load(path)
    standins.Originals(wheel, MODULES)
    machine(wanted.accelerator)
    if wanted.engine == "lmcache":
        # Every call sends.
        os.environ["LMCACHE_USAGE_TRACK_INTERVAL"] = "0"
        single_process(wanted)
    else:
        server(wanted)


if __name__ == "__main__":
    main()
