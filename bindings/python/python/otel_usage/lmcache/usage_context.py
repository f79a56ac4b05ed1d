"""The old names, as ``lmcache.usage_context`` has them."""

from otel_usage.lmcache import (
    ContinuousContextMessage,
    ContinuousUsageContext,
    EngineMessage,
    EnvMessage,
    InitializeUsageContext,
    MetadataMessage,
    UsageContext,
)

__all__ = [
    "ContinuousContextMessage",
    "ContinuousUsageContext",
    "EngineMessage",
    "EnvMessage",
    "InitializeUsageContext",
    "MetadataMessage",
    "UsageContext",
]
