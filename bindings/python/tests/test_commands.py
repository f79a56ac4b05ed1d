"""`python -m otel_usage`."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


def command(python, *words, status=0, **more):
    done = subprocess.run(
        [sys.executable, "-m", "otel_usage", *words],
        env={**python.variables, **more},
        capture_output=True,
        text=True,
        timeout=python.patience,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def test_status_says_what_is_on_and_why(python, server):
    out = command(python, "status")
    assert f"server:      {server.url}" in out and "collection:  on" in out
    found = json.loads(command(python, "status", "--json", DO_NOT_TRACK="1"))
    assert (found["collection"], found["because"]) == ("off", "environment variable DO_NOT_TRACK")


@pytest.mark.parametrize("contract", ["vllm/current", "lmcache/1"])
def test_preview_prints_every_message_and_sends_none(python, server, home, contract):
    out = command(python, "preview", "--contract", contract, "--json")
    messages = [json.loads(line) for line in out.splitlines()]
    assert messages and all(isinstance(message, dict) for message in messages)
    assert server.messages == [] and list(home.iterdir()) == []


def test_sent_lists_what_left_if_the_operator_asked_for_a_journal(python, server):
    assert "OTEL_USAGE_RECEIPTS=on starts a journal" in command(python, "sent")
    python.run(
        """
        import otel_usage
        with otel_usage.Usage("vllm/current") as usage:
            usage.record("vllm.report", {})
            assert usage.flush(3600).state == "settled"
        """,
        more={"OTEL_USAGE_RECEIPTS": "bodies"},
    )
    # An attempt whose answer came too late stands before it.
    *_, line = command(python, "sent").splitlines()
    assert "vllm/current report" in line and server.url in line and line.endswith("delivered 200")
    entry = json.loads(command(python, "sent", "--json").splitlines()[-1])
    assert json.loads(entry["body"]) == server.bodies[0] and entry["outcome"] == "delivered"


def test_an_unknown_contract_is_one_clear_error(python):
    error = command(python, "status", "--contract", "vlm", status=2)
    assert error.startswith("error: there is no contract \"vlm\": use ") and error.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error(python):
    """As `head` is, which closes the pipe."""
    read, write = os.pipe()
    os.close(read)
    program = [sys.executable, "-m", "otel_usage", "preview"]
    done = subprocess.run(
        program, env=python.variables, stdout=write, stderr=subprocess.PIPE, text=True, timeout=python.patience, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
