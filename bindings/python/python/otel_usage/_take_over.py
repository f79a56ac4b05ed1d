"""Puts this package in the place of an engine's own module, without a change to the engine.

Three doors lead here: vLLM's plug-ins, LMCache's server modules, and ``python -m otel_usage run``. They act only if the
operator set ``OTEL_USAGE_TAKE_OVER=1``. An error here must never stop an engine, so that each door swallows it.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

#: The variable by which an operator asks for it.
VARIABLE = "OTEL_USAGE_TAKE_OVER"

_VLLM = "vllm.usage.usage_lib"
#: The modules that hold names of vLLM's module as their own.
_VLLM_HOLDERS = ("vllm.v1.utils",)
_LMCACHE = "lmcache"


def is_wanted() -> bool:
    """Return whether the operator asked for it. Any value but ``1`` and ``true`` means no."""
    return os.environ.get(VARIABLE, "").strip().lower() in ("1", "true")


def take_over() -> None:
    """Take over from both engines, whether they are loaded already or not.

    vLLM calls it as its plug-in in each of its processes, before the worker reports; ``python -m otel_usage run`` calls
    it at the start of Python.
    """
    if is_wanted():
        quietly(vllm, "vLLM")
        quietly(lmcache, "LMCache")


def quietly(take_over: Callable[[], object], engine: str) -> None:
    """Call a function whose error becomes a line for debugging."""
    try:
        take_over()
    except Exception:
        debug(engine)


def debug(engine: str) -> None:
    """Log that an engine keeps its own module, because of the error that is being handled."""
    try:
        import logging

        logging.getLogger("otel_usage").debug("The usage reports of %s stay its own", engine, exc_info=True)
    except Exception:
        return


def vllm() -> None:
    """Replace vLLM's reports, now or as soon as its module is imported."""
    when_imported(_VLLM, _replace_vllm)
    for holder in _VLLM_HOLDERS:
        if holder in sys.modules:
            _replace_switch(sys.modules[holder])


def _replace_vllm(module: Any) -> None:
    from otel_usage import vllm as ours

    def report_usage(_self: object, *values: Any, **named: Any) -> None:
        ours.usage_message.report_usage(*values, **named)

    # Other modules hold the message object, so that the method of its class is replaced.
    module.UsageMessage.report_usage = report_usage
    module.set_runtime_usage_data = ours.set_runtime_usage_data
    _replace_switch(module)


def _replace_switch(module: Any) -> None:
    from otel_usage import vllm as ours

    if hasattr(module, "is_usage_stats_enabled"):
        module.is_usage_stats_enabled = ours.is_usage_stats_enabled


def lmcache() -> None:
    """Put our modules in the place of LMCache's, now or as soon as LMCache is imported."""
    when_imported(_LMCACHE, _replace_lmcache)


def _replace_lmcache(_module: ModuleType) -> None:
    from otel_usage import lmcache as ours

    ours.install()


def when_imported(name: str, act: Callable[[ModuleType], None]) -> None:
    """Call a function with a module that is imported, or that will be."""
    module = sys.modules.get(name)
    if module is not None and not getattr(module.__spec__, "_initializing", False):
        act(module)
    elif not any(isinstance(finder, _Watch) and finder.name == name for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch(name, act))


class _Watch:
    """Finds one module as Python does, and acts after it is loaded."""

    def __init__(self, name: str, act: Callable[[ModuleType], None]) -> None:
        self.name, self.act = name, act

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self.name:
            return None
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: Any = find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, self)
                found: ModuleSpec = spec
                return found
        return None


class _Loader:
    """Loads the module with its own loader, and then acts."""

    def __init__(self, loader: Any, watch: _Watch) -> None:
        self._loader, self._watch = loader, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        # The module knows its own loader only.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        if self._watch in sys.meta_path:
            sys.meta_path.remove(self._watch)
        quietly(lambda: self._watch.act(module), module.__name__)
