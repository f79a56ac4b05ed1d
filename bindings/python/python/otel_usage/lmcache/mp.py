"""The messages that LMCache sends once, at the start of a multi-process server."""

from __future__ import annotations

from otel_usage.lmcache._log import Log
from otel_usage.lmcache.context import UsageContextBase
from otel_usage.lmcache.guard import swallow_telemetry_errors
from otel_usage.lmcache.messages import DeploymentMode, MPServerMessage, UsageMessage
from otel_usage.lmcache.transport import DEFAULT_SENDER, UsageMessageSender, may_report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

logger = Log("mp")


class MPUsageContext(UsageContextBase):
    """The report of a server: the machine, the settings."""

    def __init__(
        self,
        mp_config: Any,
        storage_manager_config: Any,
        local_log: str | None = None,
        sender: UsageMessageSender | None = None,
    ) -> None:
        super().__init__(DeploymentMode.MP_SERVER, local_log, sender)
        self._mp_config = mp_config
        self._storage_manager_config = storage_manager_config

    def _collect_messages(self) -> list[UsageMessage]:
        server = MPServerMessage.from_configs(self._mp_config, self._storage_manager_config)
        return [self._environment(), server]


@swallow_telemetry_errors
def InitializeMPUsageContext(
    mp_config: Any,
    storage_manager_config: Any,
    local_log: str | None = None,
    sender: UsageMessageSender | None = None,
) -> MPUsageContext | None:
    """Report the start of a server. ``None``: reporting is off, or it failed."""
    if not may_report(DEFAULT_SENDER if sender is None else sender):
        return None
    logger.info("Initializing MP usage context.")
    context = MPUsageContext(mp_config, storage_manager_config, local_log, sender)
    context.start()
    return context
