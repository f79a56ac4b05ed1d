"""A module of LMCache's server that adds nothing to it, and puts our reports in the place of LMCache's own.

``lmcache server --server-module '{"module_path": "otel_usage.lmcache_server_module"}'`` loads it before the server
begins to report. It acts only with ``OTEL_USAGE_TAKE_OVER=1``.
"""

from __future__ import annotations

import sys

from otel_usage import _take_over

#: The functions by which the server begins to report, and which it holds under these names.
_NAMES = ("InitializeMPUsageContext", "InitializeMPContinuousUsage", "InitializeL2ConnectorUsage", "InitializeL1Usage")
_SERVER = "lmcache.v1.multiprocess.server"


def build_server_modules(_context: object) -> list[object]:
    """Replace the four functions. LMCache takes an error as its own, so that there is none."""
    if _take_over.is_wanted():
        _take_over.quietly(_replace, "LMCache's server")
    return []


def _replace() -> None:
    from otel_usage.lmcache import l1_usage, l2_usage, mp, mp_continuous  # type: ignore[import-not-found, unused-ignore]

    server = sys.modules.get(_SERVER) or sys.modules["__main__"]
    ours = {name: getattr(module, name) for module in (mp, mp_continuous, l2_usage, l1_usage) for name in _NAMES if hasattr(module, name)}
    # All or none, so that one server does not report in two ways.
    if len(ours) == len(_NAMES) and all(hasattr(server, name) for name in _NAMES):
        vars(server).update(ours)
