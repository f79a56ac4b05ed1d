"""The module whose place is taken."""

from lmcache.usage_telemetry.context import InitializeUsageContext

ORIGINAL = True
