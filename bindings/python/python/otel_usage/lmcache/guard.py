"""Keeps every failure here away from the engine."""

from __future__ import annotations

from functools import wraps

from otel_usage.lmcache._log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from typing_extensions import ParamSpec

    P = ParamSpec("P")
    R = TypeVar("R")

logger = Log("guard")


def swallow_telemetry_errors(func: Callable[P, R]) -> Callable[P, R | None]:
    """Return ``func`` such that a failure is a debug line, and its result then ``None``."""

    @wraps(func)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return func(*args, **kwargs)
        except Exception:
            _tell(func)
        except BaseException as error:
            # A panic of the native part is no `Exception`. Exits and interrupts go on.
            if type(error).__name__ != "PanicException":
                raise
            _tell(func)
        return None

    return guarded


def _tell(func: Callable[..., object]) -> None:
    name = getattr(func, "__qualname__", repr(func))
    logger.debug("Usage telemetry failure in %s (suppressed)", name, exc_info=True)
