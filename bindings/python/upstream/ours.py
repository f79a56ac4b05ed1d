"""Runs `tests/interop/wire/lmcache_original.py`, with our modules in the place of LMCache's usage reporting.

In: the wheel, a scenario and the URL of a server on this machine, as that program has them. LMCache's event bus and its
periodic threads are the published ones.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "tests/interop/wire"))

import lmcache_original
import standins

import otel_usage.lmcache
from otel_usage.lmcache import _core

find, machine = standins.Originals.__init__, lmcache_original.machine


def find_others(self, wheel, modules):
    find(self, wheel, [module for module in modules if not module.startswith("lmcache.usage_telemetry")])
    otel_usage.lmcache.install()


def initialised_machine(device):
    machine(device)
    # torch has initialised a device by the time at which an engine reports.
    sys.modules["lmcache"].torch_dev.is_initialized = lambda: device is not None


standins.Originals.__init__ = find_others
lmcache_original.machine = initialised_machine
lmcache_original.main()
_core.flush(60)
