"""The surface of ``vllm.usage.usage_lib``: an engine replaces the import and changes nothing else.

>>> try:
...     from otel_usage.vllm import UsageContext, is_usage_stats_enabled, usage_message
... except ImportError:
...     from vllm.usage.usage_lib import UsageContext, is_usage_stats_enabled, usage_message

Messages, switches, files and the server are those of vLLM. No child process is started, and the one thread that reports
starts with the first report.
"""

from __future__ import annotations

import os
import sys
from enum import Enum

from otel_usage._declared import engine_of
from otel_usage._reporter import Reporter, installed

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

__all__ = [
    "UsageContext",
    "UsageLib",
    "UsageMessage",
    "declare",
    "is_usage_stats_enabled",
    "set_runtime_usage_data",
    "usage_lib",
    "usage_message",
]

#: The result of the first call of :func:`is_usage_stats_enabled`.
_USAGE_STATS_ENABLED: bool | None = None


class UsageContext(str, Enum):
    """From where an engine is used. vLLM chooses settings by it, so that its members are texts."""

    UNKNOWN_CONTEXT = "UNKNOWN_CONTEXT"
    LLM_CLASS = "LLM_CLASS"
    API_SERVER = "API_SERVER"
    OPENAI_API_SERVER = "OPENAI_API_SERVER"
    OPENAI_BATCH_RUNNER = "OPENAI_BATCH_RUNNER"
    ENGINE_CONTEXT = "ENGINE_CONTEXT"


def _version() -> str | None:
    version = getattr(sys.modules.get("vllm.version"), "__version__", None)
    return str(version) if version else installed("vllm")


def _logger() -> logging.Logger:
    import logging

    make: Callable[[str], logging.Logger] | None = getattr(sys.modules.get("vllm.logger"), "init_logger", None)
    # Only loggers below `vllm` have a handler there.
    return logging.getLogger("otel_usage.vllm") if make is None else make("vllm.usage.usage_lib")


#: Settings that vLLM takes from the environment, and what each is without vLLM's own module.
_SETTINGS: dict[str, Callable[[str | None], object]] = {
    "VLLM_USE_MODELSCOPE": lambda text: (text or "").strip().lower() in ("1", "true"),
    "VLLM_USE_FLASHINFER_SAMPLER": lambda text: bool(int(text or "1")),
    "VLLM_PP_LAYER_PARTITION": lambda text: text,
    "VLLM_USE_TRITON_AWQ": lambda text: bool(int(text or "0")),
    "VLLM_ENABLE_V1_MULTIPROCESSING": lambda text: bool(int(text or "1")),
}


def _settings() -> str:
    """Return the settings as vLLM itself understands them, as a JSON object."""
    import json

    known, found = sys.modules.get("vllm.envs"), {}
    for name, understand in _SETTINGS.items():
        try:
            found[name] = getattr(known, name) if hasattr(known, name) else understand(os.environ.get(name))
        except ValueError:
            # vLLM refuses the value where it needs the setting.
            found[name] = None
    return json.dumps(found)


_reporter = Reporter("vllm/current", version=_version, logger=_logger, settings=_settings)


class UsageMessage:
    """Reports an engine once, and that it lives every 600 seconds."""

    def __init__(self) -> None:
        self._reporter = _reporter

    @property
    def uuid(self) -> str:
        """The random identity of this process. A forked child has another one."""
        return self._reporter.uuid

    @property
    def undeclared(self) -> dict[str, int]:
        """How often each key was left out because neither the contract nor :func:`declare` knows it."""
        return dict(self._reporter.undeclared.counts)

    def report_usage(
        self,
        model_architecture: str,
        usage_context: UsageContext | str,
        extra_kvs: Mapping[str, Any] | None = None,
    ) -> None:
        """Report the engine. It returns in less than a millisecond and never raises.

        Parameters
        ----------
        model_architecture:
            Class name of the model, such as ``LlamaForCausalLM``.
        usage_context:
            From where the engine is used.
        extra_kvs:
            Settings by the keys of the message, such as ``tensor_parallel_size`` (ranks), ``block_size`` (tokens) or
            ``kv_cache_memory_bytes`` (bytes). Keys of the engine's own are sent after :func:`declare`.
        """
        if self._reporter is _reporter and _USAGE_STATS_ENABLED is False:
            return
        self._reporter.report(model_architecture, usage_context, extra_kvs)

    def __repr__(self) -> str:
        return f"<UsageMessage {self._reporter.describe()}>"


usage_message = UsageMessage()


def is_usage_stats_enabled() -> bool:
    """Return whether reports may be made. The first answer is kept.

    Beside vLLM's own switches and file, those of the operator's machine count (``DO_NOT_TRACK`` with any value,
    ``OTEL_USAGE_MODE``, ``OTEL_SDK_DISABLED``).
    """
    global _USAGE_STATS_ENABLED
    if _USAGE_STATS_ENABLED is None:
        # The name is that of the original, which tests set.
        _USAGE_STATS_ENABLED = _reporter.is_on()  # pyright: ignore[reportConstantRedefinition]
    return _USAGE_STATS_ENABLED


def set_runtime_usage_data(key: str, value: str | int | bool) -> None:
    """Set a value that each later heartbeat carries. Its key is sent after :func:`declare` with ``heartbeat=True``."""
    _reporter.set_runtime(key, value)


def declare(name: str, type: type, *, doc: str, kind: str, heartbeat: bool = False) -> None:
    """Declare a key that the contract does not know, before the first report.

    Parameters
    ----------
    name:
        The key in ``extra_kvs``, or of :func:`set_runtime_usage_data`, and in the message.
    type:
        ``bool``, ``float``, ``int`` or ``str``. A value of another type is not sent.
    doc:
        The meaning of the value, with its unit.
    kind:
        The thing that it tells about the engine: ``configuration``, ``identity``, ``machine`` or ``workload``.
    heartbeat:
        Whether heartbeats carry it, instead of the report.

    Errors
    ------
    ``ValueError`` if the type or the kind is unknown. A key that the contract knows keeps its place and type.

    Examples
    --------
    >>> declare("max_loras", int, doc="Most LoRA adapters in a batch.", kind="configuration")
    """
    _reporter.declare("heartbeat" if heartbeat else "report", name, type, doc, kind)


class UsageLib:
    """The names of this module for another engine."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._enabled: bool | None = None
        self.UsageContext = UsageContext
        self.usage_message = _OtherMessage(reporter)

    def is_usage_stats_enabled(self) -> bool:
        """Return whether reports may be made. The first answer is kept."""
        if self._enabled is None:
            self._enabled = self._reporter.is_on()
        return self._enabled

    def set_runtime_usage_data(self, key: str, value: str | int | bool) -> None:
        """Set a value that each later heartbeat carries, under a declared key."""
        self._reporter.set_runtime(key, value)

    def declare(self, name: str, type: type, *, doc: str, kind: str, heartbeat: bool = False) -> None:
        """Declare a key, as :func:`declare` does for vLLM."""
        self._reporter.declare("heartbeat" if heartbeat else "report", name, type, doc, kind)


class _OtherMessage(UsageMessage):
    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter


def usage_lib(
    contract: str,
    *,
    package: str | None = None,
    version: str | None = None,
    server: str | None = None,
    server_variable: str | None = None,
    switches: Sequence[str] = (),
    directory: tuple[str, str | None] | None = None,
    local_file: str | None = "usage_stats.json",
    notice_url: str | None = None,
    logger: logging.Logger | None = None,
) -> UsageLib:
    """Return the names of this module for an engine that reports as vLLM does, to its own server.

    Parameters
    ----------
    contract:
        The name of the engine's contract, ``engine/version``, which has vLLM's messages; or the text of a contract file,
        whose messages are named ``report`` and ``heartbeat``. The next six parameters are then those of the file.
    package:
        The installed package whose version is reported. Default: the engine's name.
    version:
        The version to report, if no package tells it.
    server:
        URL of the usage server. Default: none, so that only files and OTLP are left.
    server_variable:
        The variable by which an operator names another server.
    switches:
        Variables whose presence turns reports off, beside those that count for every engine.
    directory:
        Name of the engine's folder in ``~/.config``, with the file ``do_not_track``; and the variable that names
        another folder, or ``None``. Default: there is none.
    local_file:
        Name of the file in that folder that gets each message as a line. ``None``: there is none.
    notice_url:
        The page on which operators can read what is sent.
    logger:
        The engine's logger for the notice and for warnings. Default: the logger ``otel_usage.`` and the engine's name.

    Errors
    ------
    ``ValueError`` if the contract is no name of a contract or contradicts itself.

    Examples
    --------
    >>> lib = usage_lib("sglang/1", switches=["SGLANG_NO_USAGE_STATS"], directory=("sglang", None))
    >>> lib.usage_message.report_usage("LlamaForCausalLM", lib.UsageContext.ENGINE_CONTEXT)
    """
    import logging

    from otel_usage import _native

    if contract.lstrip().startswith("{"):
        import json

        try:
            described = json.loads(contract)["contract"]
            name, engine, text = str(described["id"]), str(described["system"]), contract
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no contract file: {error!r}") from error
    else:
        name, engine = contract, engine_of(contract)
        operation = {
            "server": server,
            "server_variable": server_variable,
            "switches": list(switches),
            "notice_url": notice_url,
            "directory": directory,
            "local_file": None if directory is None else local_file,
        }
        text = _native.like_contract("vllm/current", contract, engine, operation)
    told = logger or logging.getLogger(f"otel_usage.{engine}")
    found = version
    reporter = Reporter(name, text, version=lambda: found or installed(package or engine), logger=lambda: told)
    return UsageLib(reporter)
