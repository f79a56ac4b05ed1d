"""The host process: its variables as the native part gets them, and its logger."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from otel_usage import _native


#: Longest wait in seconds for which handlers of signals wait, too.
_SHORT = 0.25
#: Seconds after which a longer wait looks for signals.
_STEP = 0.1


def environment() -> dict[str, str]:
    """Return a snapshot of the variables. An engine's original keeps no messages on disk, so ours does not either,
    unless the operator names a folder for it."""
    return {"OTEL_USAGE_SPOOL_DIR": "none", **os.environ}


def one_line(text: str) -> str:
    """Return a text of several lines as one, because each line of a log stands alone."""
    return " ".join(text.split("\n"))


def described(native: _native.Usage) -> str:
    """Return the contract, whether collection is on, and where reports go or why they do not."""
    collection, because = native.decision
    where = because if collection == "off" else " and ".join(native.destinations) or because
    return f"{native.contract} {collection}: {where}"


def tell(native: _native.Usage, find: Callable[[], logging.Logger | None]) -> None:
    """Log the notice and the warnings that have come up, on the calling thread. ``find`` returns the host's logger, and
    is called only if there is something to log."""
    lines = native.notices()
    if not lines:
        return
    try:
        import logging

        logger = find() or logging.getLogger("otel_usage")
        for level, text in lines:
            logger.log(getattr(logging, level), "%s", one_line(text))
    except Exception:
        # The host's logger is broken, or something else than a logger.
        return


def flush(native: _native.Usage, seconds: float) -> tuple[str, int]:
    """Wait for delivery, at most ``seconds``, such that handlers of signals run meanwhile.

    Python runs them on its main thread, and only between two of its own instructions. So that thread waits for another
    one, which waits for delivery.
    """
    import threading

    if seconds > _SHORT and threading.current_thread() is threading.main_thread():
        found: list[tuple[str, int]] = []
        thread = threading.Thread(target=lambda: found.append(native.flush(seconds)), name="otel-usage-flush", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is ending, or there are too many threads.
            return native.flush(seconds)
        while thread.is_alive():
            # A signal that another thread receives does not end a wait.
            thread.join(_STEP)
        if found:
            return found[0]
    return native.flush(seconds)


def refused(what: str, logger: logging.Logger | None = None) -> None:
    """Log at level DEBUG that something was not recorded, with the error that is being handled. It never raises."""
    try:
        import logging

        (logger or logging.getLogger("otel_usage")).debug("%s was not recorded", what, exc_info=True)
    except Exception:
        return
