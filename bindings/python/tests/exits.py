"""Ends a Python again and again while the worker is busy, as ``python exits.py 200`` on each Python.

It prints how many exits there were. A crash, a hang or a line on stderr is an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

SCRIPT = """
import os, sys, threading, time
import otel_usage, otel_usage.vllm as vllm
vllm.usage_message.report_usage("LlamaForCausalLM", vllm.UsageContext.ENGINE_CONTEXT)
usage = otel_usage.Usage("lmcache/1")
usage.record("lmcache.engine", {})
if sys.argv[1] == "finish":
    usage.finish()
elif sys.argv[1] == "thread":
    threading.Thread(target=lambda: usage.flush(30), daemon=True).start()
    time.sleep(0.01)
elif sys.argv[1] == "error":
    sys.exit(0)
"""


def main(runs: int) -> None:
    """Run it, each time with another end."""
    variables = {**os.environ, "OTEL_USAGE_MODE": "on"}
    for run in range(runs):
        end = ("none", "finish", "thread", "error")[run % 4]
        program = [sys.executable, "-c", SCRIPT, end]
        done = subprocess.run(program, env=variables, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0 or done.stderr:
            sys.exit(f"run {run}, {end}: status {done.returncode}: {done.stderr}")
    print(json.dumps({"python": sys.version.split()[0], "exits": runs}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
