"""``python -m otel_usage``: what an engine does here, and a start of an engine that reports through this package."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

import otel_usage
from otel_usage import _native, _take_over

#: What ``preview`` records of each built-in contract: a kind of record, with values that an engine would give.
_START: dict[str, tuple[str, dict[str, str | int]]] = {
    "vllm": ("vllm.report", {"vllm.model.architecture": "LlamaForCausalLM", "vllm.usage.context": "ENGINE_CONTEXT"}),
    "lmcache": ("lmcache.engine", {"lmcache.chunk_size": 256}),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m otel_usage", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("status", "say whether an engine reports from here, to whom, and which switch decided it"),
        ("preview", "print the messages that an engine would send from this machine; nothing is sent"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--contract", default="vllm/current", help="name of the contract (default: vllm/current)")
        command.add_argument("--json", action="store_true", help="print one JSON object a line")
    text = "list what left this machine, if the operator asked for a journal of it"
    sent = commands.add_parser("sent", help=text, description=text)
    sent.add_argument("--json", action="store_true", help="print one JSON object a line")
    text = "start a program whose engine reports through this package, without a change to the engine"
    run = commands.add_parser("run", help=text, description=text)
    run.add_argument("program", nargs=argparse.REMAINDER, metavar="-- program ...")
    given = parser.parse_args(arguments)
    try:
        if given.command == "run":
            return _run(given.program)
        if given.command == "sent":
            status = _sent(given.json)
        elif given.command == "status":
            status = _status(given.contract, given.json)
        else:
            status = _preview(given.contract, given.json)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Python would complain about the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _status(contract: str, as_json: bool) -> int:
    found = otel_usage.status(contract)
    if as_json:
        print(json.dumps(found))
        return 0
    for name, value in found.items():
        lines: list[Any] = [value] if value is None or isinstance(value, str) else list(value)
        for line in lines:
            print(f"{name + ':':<12} {'none' if line is None else line}")
    return 0


def _preview(contract: str, as_json: bool) -> int:
    engine = contract.partition("/")[0]
    if engine not in _START:
        raise ValueError(f"there is no example of {contract!r}: use one of vllm/current and lmcache/1")
    kind, attributes = _START[engine]
    for message in otel_usage.preview(contract, kind, attributes):
        print(json.dumps(message, indent=None if as_json else 2))
    return 0


def _sent(as_json: bool) -> int:
    path, entries = _native.receipts(dict(os.environ))
    if not entries and not as_json:
        print(f"nothing is recorded in {path}; OTEL_USAGE_RECEIPTS=on starts a journal")
    for entry in entries:
        if as_json:
            print(json.dumps(entry))
        else:
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry["unix_millis"] / 1000))
            outcome = " ".join(str(part) for part in (entry["outcome"], entry["status"]) if part is not None)
            what = f"{entry['contract']} {entry['message']}"
            print(f"{when}  {what}  {entry['destination']}  {entry['bytes']} bytes  {outcome}")
    return 0


def _run(program: list[str]) -> int:
    program = program[1:] if program[:1] == ["--"] else program
    if not program:
        raise ValueError("there is no program to start: write python -m otel_usage run -- vllm serve <model>")
    if not _take_over.is_wanted():
        print(f"warning: {_take_over.VARIABLE} is not 1, so that the engine keeps its own reports", file=sys.stderr)
    variables = dict(os.environ)
    here = os.path.dirname(os.path.abspath(__file__))
    folders = [os.path.join(here, "_run"), *filter(None, [variables.get("PYTHONPATH")])]
    variables["PYTHONPATH"] = os.pathsep.join(folders)
    os.execvpe(program[0], program, variables)


if __name__ == "__main__":
    sys.exit(main())
