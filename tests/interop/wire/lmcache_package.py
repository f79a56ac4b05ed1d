"""LMCache's own code with the Python package in the place of its usage reporting, for one scenario.

In and out as `lmcache_original.py`, which plays the scenario. LMCache's event bus and its periodic threads are the
published ones.
"""

import sys

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


def reported():
    if standins.LIFE == "cut":
        sys.stdin.read()
    else:
        _core.flush(60)


standins.Originals.__init__ = find_others
lmcache_original.machine = initialised_machine
lmcache_original.reported = reported
standins.loaded_by_engines()
lmcache_original.main()
if standins.LIFE != "cut":
    _core.flush(60)
