"""Puts these modules in the place of LMCache's, whether or not those are loaded already."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OURS = "otel_usage.lmcache"
_ROOT = "lmcache.usage_telemetry"

#: LMCache's module below ``lmcache.usage_telemetry`` and the module here that takes its place.
_EVERYWHERE = {
    "env_probe": "env_probe",
    "flush": "flush",
    "guard": "guard",
    "identity": "identity",
    "l1_usage": "l1_usage",
    "l2_usage": "l2_usage",
    "messages": "messages",
    "metric_specs": "metric_specs",
    "transport": "transport",
}

#: The layouts of LMCache's releases. Several modules: a package with the names of all of them.
LAYOUTS: dict[str, dict[str, str | tuple[str, ...]]] = {
    # 0.5.6.
    "flat": {
        **_EVERYWHERE,
        "context": "context",
        "continuous": "continuous",
        "mp": "mp",
        "mp_continuous": "mp_continuous",
    },
    # Development since: a folder for each deployment mode.
    "split": {
        **_EVERYWHERE,
        "base": "context",
        "mp": ("mp", "mp_continuous"),
        "mp.context": "mp",
        "mp.continuous": "mp_continuous",
        "mp.l1_usage": "l1_usage",
        "mp.l2_usage": "l2_usage",
        "mp.metric_specs": "metric_specs",
        "non_mp": ("context", "continuous"),
        "non_mp.context": "context",
        "non_mp.continuous": "continuous",
    },
}


def layout_of(lmcache: Any) -> str:
    """Return the layout of an LMCache that is loaded."""
    file = getattr(lmcache, "__file__", None)
    folder = os.path.join(os.path.dirname(file), "usage_telemetry", "mp") if file else ""
    return "split" if os.path.isdir(folder) else "flat"


def install(layout: str | None = None) -> None:
    """Let every import of LMCache's usage reporting find these modules, in this process.

    Parameters
    ----------
    layout:
        Names of the modules: a key of :data:`LAYOUTS`. Default: as the LMCache that is loaded has them.

    LMCache is not imported for it. Modules of it that are loaded get these names in place of their own.
    """
    uninstall()
    sys.meta_path.insert(0, _Finder(layout))
    _replace_loaded()


def uninstall() -> None:
    """Let later imports find LMCache's own modules again. Loaded modules stay."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]


class _Finder:
    """Finds our module under LMCache's name, and is its loader."""

    def __init__(self, layout: str | None) -> None:
        self._layout = layout

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if self.place(name) is None:
            if name.startswith(f"{_ROOT}."):
                # Else the import system would find the file of ours a second time, under this name.
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return None
        return ModuleSpec(name, self)  # type: ignore[arg-type]

    def place(self, name: str) -> str | tuple[str, ...] | None:
        """Return what takes the place of a module."""
        if name == _ROOT:
            return ""
        if name == "lmcache.usage_context":
            return "usage_context"
        if not name.startswith(f"{_ROOT}."):
            return None
        layout = self._layout or layout_of(sys.modules.get("lmcache"))
        return LAYOUTS[layout].get(name[len(_ROOT) + 1 :])

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        place = self.place(spec.name)
        if isinstance(place, tuple):
            return _package(spec.name, place)
        module = import_module(f"{_OURS}.{place}" if place else _OURS)
        # The import system writes its own over it.
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None and spec.loader_state is not None:
            module.__spec__ = spec.loader_state


def _package(name: str, places: tuple[str, ...]) -> ModuleType:
    """Return a package that has the names of several modules."""
    package = ModuleType(name)
    package.__path__ = []

    def find(attribute: str) -> Any:
        for place in places:
            module = import_module(f"{_OURS}.{place}")
            if not attribute.startswith("__") and hasattr(module, attribute):
                return getattr(module, attribute)
        raise AttributeError(f"module {name!r} has no attribute {attribute!r}")

    package.__getattr__ = find  # type: ignore[method-assign]
    return package


def _replace_loaded() -> None:
    """Replace modules that are loaded, and what other modules of LMCache have imported from them by name."""
    names = [name for name in sys.modules if name == "lmcache.usage_context" or f"{name}.".startswith(f"{_ROOT}.")]
    # Parents first, so that each finds its place in its parent.
    names.sort()
    old = {name: sys.modules.pop(name) for name in names}
    places: dict[int, Any] = {}
    for name, module in old.items():
        try:
            new = import_module(name)
        except ImportError:
            # A module of another layout. It stays, and works as it did.
            sys.modules[name] = module
            continue
        if new is module:
            continue
        for attribute, value in list(vars(module).items()):
            own = getattr(value, "__module__", "").startswith(_ROOT) if callable(value) else False
            if own and hasattr(new, attribute):
                places[id(value)] = getattr(new, attribute)
    for name, module in list(sys.modules.items()):
        if not name.startswith("lmcache.") or name in old:
            continue
        for attribute, value in list(getattr(module, "__dict__", {}).items()):
            if id(value) in places:
                setattr(module, attribute, places[id(value)])
