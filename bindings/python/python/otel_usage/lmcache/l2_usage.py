"""The messages of a server about its second level: each type of adapter, its traffic and how full it is."""

from __future__ import annotations

from otel_usage.lmcache._host import host
from otel_usage.lmcache._log import Log
from otel_usage.lmcache._members import members
from otel_usage.lmcache.flush import Reporter
from otel_usage.lmcache.guard import swallow_telemetry_errors
from otel_usage.lmcache.identity import get_usage_identity
from otel_usage.lmcache.messages import DeploymentMode, L2ConnectorUsageMessage
from otel_usage.lmcache.transport import DEFAULT_SENDER, UsageMessageSender, deliver, may_report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

logger = Log("l2_usage")

_TRAFFIC = (
    "interval_stored_bytes",
    "interval_store_succeeded_keys",
    "interval_store_failed_keys",
    "interval_load_submitted_keys",
    "interval_load_submitted_bytes",
)


@members(frozen=True)
class L2TypeUsage:
    """How full the adapters of one type are."""

    bytes_used: int
    #: Of the adapters that have a limit. 0: none has.
    capacity_bytes: int
    #: Adapters without a known limit.
    unbounded_adapters: int


class L2ConnectorUsageReporter(Reporter):
    """Reports each type of adapter that is there, or was there and had traffic."""

    _name = "lmcache-usage-l2"

    def __init__(
        self, usage_probe: Callable[[], dict[str, L2TypeUsage]], sender: UsageMessageSender | None = None
    ) -> None:
        self._usage_probe = usage_probe
        self._traffic: dict[str, dict[str, int]] = {}
        super().__init__(sender)

    def get_subscriptions(self) -> dict[Any, Callable[[Any], None]]:
        # Only a server has these events.
        events = host("v1.mp_observability.event").EventType
        return {
            events.L2_STORE_COMPLETED: self._on_store_completed,
            events.L2_LOAD_TASK_SUBMITTED: self._on_load_task_submitted,
        }

    @swallow_telemetry_errors
    def flush(self) -> None:
        """Report the interval so far. Its traffic is dropped if reporting is off."""
        with self._lock:
            traffic, self._traffic = self._traffic, {}
            sequence, length, uptime = self._next()
        if not may_report(self._sender):
            return
        try:
            levels = self._usage_probe()
        except Exception:
            logger.debug("L2 usage probe failed", exc_info=True)
            levels = {}
        identity = get_usage_identity()
        for name in sorted(levels.keys() | traffic.keys()):
            # One that had traffic and is gone: how full it was is not known.
            level = levels.get(name, L2TypeUsage(-1, 0, 0))
            message = L2ConnectorUsageMessage(
                l2_name=name,
                active_seconds=length,
                **(dict.fromkeys(_TRAFFIC, 0) | traffic.get(name, {})),
                bytes_used=level.bytes_used,
                capacity_bytes=level.capacity_bytes,
                unbounded_adapters=level.unbounded_adapters,
                sequence_number=sequence,
                uptime_seconds=uptime,
            )
            deliver(self._sender, message, identity, DeploymentMode.MP_SERVER)

    def _add(self, metadata: Any, numbers: dict[str, str]) -> None:
        # All are read before the first is added.
        amounts = {member: int(metadata[key]) for member, key in numbers.items()}
        name = str(metadata["l2_name"])
        with self._lock:
            sums = self._traffic.setdefault(name, {})
            for member, amount in amounts.items():
                sums[member] = sums.get(member, 0) + amount

    @swallow_telemetry_errors
    def _on_store_completed(self, event: Any) -> None:
        numbers = {
            "interval_stored_bytes": "bytes_transferred",
            "interval_store_succeeded_keys": "succeeded_count",
            "interval_store_failed_keys": "failed_count",
        }
        self._add(event.metadata, numbers)

    @swallow_telemetry_errors
    def _on_load_task_submitted(self, event: Any) -> None:
        numbers = {"interval_load_submitted_keys": "key_count", "interval_load_submitted_bytes": "total_bytes"}
        self._add(event.metadata, numbers)


@swallow_telemetry_errors
def InitializeL2ConnectorUsage(
    event_bus: Any, storage_manager: Any, sender: UsageMessageSender | None = None
) -> L2ConnectorUsageReporter | None:
    """Report a server's second level at intervals. ``None``: reporting is off, or it failed."""
    if not may_report(DEFAULT_SENDER if sender is None else sender):
        return None

    def usage_probe() -> dict[str, L2TypeUsage]:
        return {name: _summed(adapters) for name, adapters in storage_manager.get_l2_usages_by_type().items()}

    logger.info("Initializing L2 connector usage reporting.")
    reporter = L2ConnectorUsageReporter(usage_probe, sender)
    event_bus.register_subscriber(reporter)
    return reporter


def _summed(adapters: Any) -> L2TypeUsage:
    limits = [int(adapter.total_capacity_bytes) for adapter in adapters]
    bounded = [limit for limit in limits if limit > 0]
    used = sum(int(adapter.total_bytes_used) for adapter in adapters)
    return L2TypeUsage(used, sum(bounded), len(limits) - len(bounded))
