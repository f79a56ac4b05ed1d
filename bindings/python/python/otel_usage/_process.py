"""The host process: its variables as the native part gets them, and its logger."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from otel_usage import _native


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
    import logging

    logger = find() or logging.getLogger("otel_usage")
    for level, text in lines:
        logger.log(getattr(logging, level), "%s", one_line(text))
