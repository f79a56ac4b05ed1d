"""The parts of LMCache that this package uses, imported when they are needed."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def host(module: str) -> Any:
    """Return a module of LMCache. An ``ImportError`` tells that there is none."""
    return import_module(f"lmcache.{module}" if module else "lmcache")
