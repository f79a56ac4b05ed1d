"""A caller that has bound the name."""

from lmcache.usage_telemetry import InitializeUsageContext


def start(*arguments, **named):
    return InitializeUsageContext(*arguments, **named)
