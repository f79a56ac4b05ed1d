"""The messages of a server about its first level: how full it is."""

from __future__ import annotations

from otel_usage.lmcache._log import Log
from otel_usage.lmcache.flush import Reporter
from otel_usage.lmcache.guard import swallow_telemetry_errors
from otel_usage.lmcache.identity import get_usage_identity
from otel_usage.lmcache.messages import DeploymentMode, L1UsageMessage
from otel_usage.lmcache.transport import DEFAULT_SENDER, UsageMessageSender, deliver, may_report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

logger = Log("l1_usage")


class L1UsageReporter(Reporter):
    """Asks the probe for bytes in use and bytes in all, once an interval."""

    _name = "lmcache-usage-l1"

    def __init__(self, usage_probe: Callable[[], tuple[int, int]], sender: UsageMessageSender | None = None) -> None:
        self._usage_probe = usage_probe
        super().__init__(sender)

    @swallow_telemetry_errors
    def flush(self) -> None:
        """Report the level as it is now. A probe that fails is reported as -1 bytes in use of 0."""
        with self._lock:
            sequence, length, uptime = self._next()
        if not may_report(self._sender):
            return
        try:
            used, capacity = self._usage_probe()
        except Exception:
            logger.debug("L1 usage probe failed", exc_info=True)
            used, capacity = -1, 0
        message = L1UsageMessage(
            active_seconds=length,
            bytes_used=int(used),
            capacity_bytes=int(capacity),
            sequence_number=sequence,
            uptime_seconds=uptime,
        )
        deliver(self._sender, message, get_usage_identity(), DeploymentMode.MP_SERVER)


@swallow_telemetry_errors
def InitializeL1Usage(
    event_bus: Any, storage_manager: Any, sender: UsageMessageSender | None = None
) -> L1UsageReporter | None:
    """Report a server's first level at intervals. ``None``: reporting is off, or it failed."""
    if not may_report(DEFAULT_SENDER if sender is None else sender):
        return None
    logger.info("Initializing L1 usage reporting.")
    reporter = L1UsageReporter(storage_manager.get_l1_usage, sender)
    event_bus.register_subscriber(reporter)
    return reporter
