"""A module of LMCache's server that adds nothing to it, and puts our reports in the place of LMCache's own.

``lmcache server --server-module '{"module_path": "otel_usage.lmcache_server_module"}'`` loads it before the server
begins to report. It acts only with ``OTEL_USAGE_TAKE_OVER=1``.
"""

from __future__ import annotations

import sys

from otel_usage import _take_over

#: The module that holds the functions by which the server begins to report, under their own names.
_SERVER = "lmcache.v1.multiprocess.server"


def build_server_modules(_context: object) -> list[object]:
    """Replace the four functions. LMCache takes an error as its own, so that there is none."""
    if _take_over.is_wanted():
        _take_over.quietly(_replace, "LMCache's server")
    return []


def _replace() -> None:
    from otel_usage.lmcache import l1_usage, l2_usage, mp, mp_continuous

    server = sys.modules.get(_SERVER) or sys.modules["__main__"]
    ours = {
        "InitializeMPUsageContext": mp.InitializeMPUsageContext,
        "InitializeMPContinuousUsage": mp_continuous.InitializeMPContinuousUsage,
        "InitializeL2ConnectorUsage": l2_usage.InitializeL2ConnectorUsage,
        "InitializeL1Usage": l1_usage.InitializeL1Usage,
    }
    # All or none, so that one server does not report in two ways.
    if all(hasattr(server, name) for name in ours):
        vars(server).update(ours)
