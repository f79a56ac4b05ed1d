"""The messages that LMCache sends once, at the start of an engine."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from otel_usage.lmcache._log import Log
from otel_usage.lmcache.env_probe import collect_env_message, unread_env_message
from otel_usage.lmcache.guard import swallow_telemetry_errors
from otel_usage.lmcache.identity import get_usage_identity
from otel_usage.lmcache.messages import DeploymentMode, EngineMessage, EnvMessage, MetadataMessage, UsageMessage
from otel_usage.lmcache.transport import (
    DEFAULT_SENDER,
    UsageMessageSender,
    build_usage_payload,
    is_default,
    may_report,
    report,
    usage_server_url,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

logger = Log("context")


class UsageContextBase(ABC):
    """A report of several messages, which a subclass collects.

    With our own sender a report is queued, and a thread of the native part does the rest. With another one it is sent
    on the calling thread, in order.
    """

    def __init__(self, mode: DeploymentMode, local_log: str | None, sender: UsageMessageSender | None) -> None:
        self._mode = mode
        self._local_log = local_log
        self._sender = DEFAULT_SENDER if sender is None else sender
        self._identity = get_usage_identity()
        self._begun = time.time()
        self._started = time.monotonic()

    @abstractmethod
    def _collect_messages(self) -> list[UsageMessage]:
        """Return the messages in order."""

    @swallow_telemetry_errors
    def report_once(self) -> None:
        """Send every message."""
        if is_default(self._sender):
            # The native part asks for consent itself.
            report(self._collect_messages(), self._mode, self._local_log)
            return
        if not may_report(self._sender):
            return
        for message in self._collect_messages():
            payload = build_usage_payload(message, self._identity, self._mode)
            self._write_local(payload)
            self._sender.send(usage_server_url(message.ENDPOINT), payload)

    def _environment(self) -> EnvMessage:
        return unread_env_message() if is_default(self._sender) else collect_env_message()

    def _metadata_of_run(self) -> MetadataMessage:
        start = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._begun))
        # Microseconds, as upstream's clock has them.
        return MetadataMessage(start, round(time.monotonic() - self._started, 6))

    def _write_local(self, payload: Mapping[str, object]) -> None:
        if self._local_log is None:
            return
        lines = "".join(f"{key}: {value}\n" for key, value in payload.items())
        try:
            with open(self._local_log, "a", encoding="utf-8") as file:
                file.write(lines + "\n")
        except OSError:
            logger.debug("Unable to write usage log to %s", self._local_log)

    def start(self) -> None:
        """Report without holding up the caller: another sender than ours may wait for something."""
        if is_default(self._sender):
            self.report_once()
            return
        from threading import Thread

        Thread(target=self.report_once, daemon=True, name="lmcache-usage-report").start()


class UsageContext(UsageContextBase):
    """The report of an engine with LMCache in it: the machine, the settings, the run."""

    def __init__(
        self,
        config: Any,
        metadata: Any,
        local_log: str | None = None,
        sender: UsageMessageSender | None = None,
    ) -> None:
        super().__init__(DeploymentMode.SINGLE_PROCESS, local_log, sender)
        self._config = config
        self._metadata = metadata

    def _collect_messages(self) -> list[UsageMessage]:
        engine = EngineMessage.from_config(self._config, self._metadata)
        return [self._environment(), engine, self._metadata_of_run()]


@swallow_telemetry_errors
def InitializeUsageContext(
    config: Any,
    metadata: Any,
    local_log: str | None = None,
    sender: UsageMessageSender | None = None,
) -> UsageContext | None:
    """Report the start of an engine with LMCache in it. ``None``: reporting is off, or it failed."""
    if not may_report(DEFAULT_SENDER if sender is None else sender):
        return None
    logger.info("Initializing usage context.")
    context = UsageContext(config, metadata, local_log, sender)
    context.start()
    return context
