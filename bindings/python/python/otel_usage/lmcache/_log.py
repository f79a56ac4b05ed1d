"""The host's loggers, found when there is something to say."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from typing import Any


class Log:
    """A logger under the name of LMCache's module.

    LMCache's own loggers have a handler only if they come from its ``init_logger``. Without LMCache it is an ordinary
    logger. Nothing is imported before the first line, because ``logging`` alone takes longer than this package.
    """

    __slots__ = ("_logger", "_name")

    def __init__(self, module: str) -> None:
        self._name = f"lmcache.usage_telemetry.{module}"
        self._logger: logging.Logger | None = None

    def debug(self, text: str, *arguments: object, exc_info: bool = False) -> None:
        self.log("DEBUG", text, *arguments, exc_info=exc_info)

    def info(self, text: str, *arguments: object) -> None:
        self.log("INFO", text, *arguments)

    def error(self, text: str, *arguments: object) -> None:
        self.log("ERROR", text, *arguments)

    def log(self, level: str, text: str, *arguments: object, exc_info: bool = False) -> None:
        """Log a line of the level with this name. It never raises."""
        try:
            logger = self._logger = self._logger or self._find()
            getattr(logger, level.lower())(text, *arguments, exc_info=exc_info)
        except Exception:
            # There is nobody left to tell: the interpreter is ending, or the host's handler is broken.
            pass

    def _find(self) -> Any:
        if "lmcache" in sys.modules:
            try:
                from otel_usage.lmcache._host import host

                return host("logging").init_logger(self._name)
            except Exception:
                pass
        import logging

        return logging.getLogger(self._name)
