"""LMCache's usage reporting, with the names of ``lmcache.usage_telemetry`` (0.5.6) and without its cost.

A maintainer imports from here instead; :func:`install` puts these modules in the place of LMCache's in an engine that
nobody changes. Messages, their order and their bytes are those of LMCache; what differs is on the page
``docs/receiver/compatibility.md`` of the project. A caller with a sender of its own gets each message on the calling
thread, as ``(URL, dict)``. Everything else is queued, and a native thread does the rest.
"""

from __future__ import annotations

# `typing` costs more than this package, in every process that imports it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_usage.lmcache._declare import declare, undeclared
    from otel_usage.lmcache._install import install
    from otel_usage.lmcache.context import InitializeUsageContext, UsageContext, UsageContextBase
    from otel_usage.lmcache.continuous import ContinuousUsageContext
    from otel_usage.lmcache.env_probe import collect_env_message
    from otel_usage.lmcache.identity import UsageIdentity, get_usage_identity, is_usage_tracking_enabled
    from otel_usage.lmcache.messages import (
        USAGE_SCHEMA_VERSION,
        CacheLifespanMessage,
        ContinuousContextMessage,
        DeploymentMode,
        EngineMessage,
        EnvMessage,
        MetadataMessage,
        MPServerMessage,
        UsageMessage,
    )
    from otel_usage.lmcache.mp import InitializeMPUsageContext, MPUsageContext
    from otel_usage.lmcache.transport import UsageMessageSender

__all__ = [
    "USAGE_SCHEMA_VERSION",
    "CacheLifespanMessage",
    "ContinuousContextMessage",
    "ContinuousUsageContext",
    "DeploymentMode",
    "EngineMessage",
    "EnvMessage",
    "InitializeMPUsageContext",
    "InitializeUsageContext",
    "MPServerMessage",
    "MPUsageContext",
    "MetadataMessage",
    "UsageContext",
    "UsageContextBase",
    "UsageIdentity",
    "UsageMessage",
    "UsageMessageSender",
    "collect_env_message",
    "declare",
    "get_usage_identity",
    "install",
    "is_usage_tracking_enabled",
    "undeclared",
]

#: The module that has a name, where it is not ``messages``.
_HOMES = {
    "ContinuousUsageContext": "continuous",
    "InitializeMPUsageContext": "mp",
    "InitializeUsageContext": "context",
    "MPUsageContext": "mp",
    "UsageContext": "context",
    "UsageContextBase": "context",
    "UsageIdentity": "identity",
    "UsageMessageSender": "transport",
    "collect_env_message": "env_probe",
    "declare": "_declare",
    "get_usage_identity": "identity",
    "install": "_install",
    "is_usage_tracking_enabled": "identity",
    "undeclared": "_declare",
}


def __getattr__(name: str) -> Any:
    # Most processes of an engine import this and report nothing.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'messages')}"), name)
    globals()[name] = value
    return value
