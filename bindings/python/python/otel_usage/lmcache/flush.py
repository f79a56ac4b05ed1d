"""The helper thread of a server's reporters, and the time that their end may take.

A probe or a callback is Python's and runs on a thread of Python's: LMCache's own periodic one, which its health page
lists, or a plain one where LMCache is not loaded.
"""

from __future__ import annotations

import os
import sys
import time

from otel_usage.lmcache import _core
from otel_usage.lmcache._host import host
from otel_usage.lmcache._log import Log
from otel_usage.lmcache.guard import swallow_telemetry_errors
from otel_usage.lmcache.transport import DEFAULT_SENDER, is_default

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from otel_usage.lmcache.transport import UsageMessageSender

    class FlushThread(Protocol):
        """The methods of a helper thread."""

        def wake(self) -> None: ...

        def stop(self, timeout: float = ...) -> None: ...


logger = Log("flush")

_INTERVAL = 600.0
#: Seconds that all reporters of a process together may take to end.
_END = 0.25


def usage_flush_interval_seconds() -> float:
    """Return the operator's interval in seconds, at least one."""
    try:
        seconds = float(os.environ.get("LMCACHE_USAGE_TRACK_INTERVAL", _INTERVAL))
    except ValueError:
        logger.debug("Invalid LMCACHE_USAGE_TRACK_INTERVAL", exc_info=True)
        seconds = _INTERVAL
    # No wait takes infinitely long, and no number is greater than NaN.
    return min(max(seconds, 1.0), 1e6) if seconds == seconds else _INTERVAL


def start_usage_flush_thread(name: str, flush: Callable[[], object]) -> FlushThread:
    """Run ``flush`` at intervals, first after a whole one."""
    interval = usage_flush_interval_seconds()
    if "lmcache" in sys.modules:
        try:
            return _periodic(name, interval, flush)
        except Exception:
            logger.debug("LMCache's periodic threads cannot be used", exc_info=True)
    return _Plain(name, interval, flush)


def _periodic(name: str, interval: float, flush: Callable[[], object]) -> FlushThread:
    threads = host("v1.periodic_thread")

    def execute() -> Any:
        flush()
        return threads.ThreadRunSummary(success=True)

    thread: Any = threads.create_periodic_thread(
        name=name, interval=interval, execute_fn=execute, level=threads.ThreadLevel.LOW, init_wait=interval
    )
    thread.start()
    started: FlushThread = thread
    return started


class _Plain:
    """A thread that runs a function at intervals."""

    def __init__(self, name: str, interval: float, flush: Callable[[], object]) -> None:
        from threading import Event, Thread

        self._woken, self._stopped = Event(), False
        self._interval, self._flush = interval, swallow_telemetry_errors(flush)
        self._thread = Thread(target=self._run, daemon=True, name=name)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self._woken.wait(self._interval)
            self._woken.clear()
            if self._stopped:
                return
            self._flush()

    def wake(self) -> None:
        self._woken.set()

    def stop(self, timeout: float = _END) -> None:
        self._stopped = True
        self._woken.set()
        self._thread.join(timeout)


class Reporter:
    """The common part of the reporters of a server. LMCache's event bus asks for these methods, and for no class."""

    _name = ""
    #: How many there are, and when those that end now must have ended.
    _alive = 0
    _deadline: float | None = None

    def __init__(self, sender: UsageMessageSender | None) -> None:
        from threading import Lock

        self._sender = DEFAULT_SENDER if sender is None else sender
        self._lock = Lock()
        self._sequence_number = 0
        self._start_monotonic = self._last_flush_monotonic = time.monotonic()
        self._ended = False
        self._join_family()
        Reporter._alive += 1
        self._flush_thread = start_usage_flush_thread(self._name, self.flush)

    def _join_family(self) -> None:
        """Make this class a subscriber in the eyes of ``isinstance``, if LMCache's bus is loaded."""
        bus = sys.modules.get("lmcache.v1.mp_observability.event_bus")
        subscriber = getattr(bus, "EventSubscriber", None)
        if subscriber is not None:
            from abc import ABCMeta

            if isinstance(subscriber, ABCMeta):
                ABCMeta.register(subscriber, type(self))

    def register(self, bus: Any) -> None:
        """Subscribe to the events of a bus."""
        for event_type, callback in self.get_subscriptions().items():
            bus.subscribe(event_type, callback)

    def get_subscriptions(self) -> dict[Any, Callable[[Any], None]]:
        """Return callbacks by type of event."""
        return {}

    def flush(self) -> None:
        """Report the interval so far."""

    @swallow_telemetry_errors
    def shutdown(self) -> None:
        """Report what is left and end. LMCache's bus calls it, possibly in an event loop.

        All reporters of a process share one quarter of a second for it.
        """
        now = time.monotonic()
        if not self._ended:
            self._ended = True
            Reporter._alive -= 1
        if Reporter._deadline is None:
            Reporter._deadline = now + _END
        deadline = Reporter._deadline
        if Reporter._alive <= 0:
            Reporter._deadline = None
        self._flush_thread.stop(timeout=max(deadline - now, 0.0))
        self.flush()
        if is_default(self._sender):
            _core.flush(deadline - time.monotonic())

    def _next(self) -> tuple[int, float, float]:
        """Begin an interval. Returns the last one's number, its length and the time since the start.

        The caller holds the lock.
        """
        now = time.monotonic()
        self._sequence_number += 1
        length = now - self._last_flush_monotonic
        self._last_flush_monotonic = now
        return self._sequence_number, length, now - self._start_monotonic
