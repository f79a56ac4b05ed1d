"""Ends a Python again and again while the worker is busy, as ``python exits.py 200`` on each Python.

One engine reports to a server that never answers, and the other one to a server that does, both on this machine. It
prints how many exits there were. A crash, a hang or a line on stderr is an error.
"""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading

SCRIPT = """
import os, sys, threading, time
import otel_usage, otel_usage.vllm as vllm
vllm.usage_message.report_usage("LlamaForCausalLM", vllm.UsageContext.ENGINE_CONTEXT)
usage = otel_usage.Usage("lmcache/1")
usage.record("lmcache.engine", {})
if sys.argv[1] == "finish":
    usage.finish()
elif sys.argv[1] == "thread":
    # It comes back to Python while Python is ending.
    threading.Thread(target=lambda: usage.flush(30), daemon=True).start()
    time.sleep(0.01)
elif sys.argv[1] == "error":
    sys.exit(0)
"""


class Answering(http.server.BaseHTTPRequestHandler):
    """Takes everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Stay silent."""


def main(runs: int) -> None:
    """Run it, each time with another end."""
    silent = socket.create_server(("127.0.0.1", 0), backlog=runs)
    answering = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=answering.serve_forever, daemon=True).start()
    variables = {
        **os.environ,
        "OTEL_USAGE_MODE": "on",
        "VLLM_USAGE_STATS_SERVER": f"http://127.0.0.1:{silent.getsockname()[1]}",
        "LMCACHE_USAGE_TRACK_URL": f"http://127.0.0.1:{answering.server_port}",
    }
    for run in range(runs):
        end = ("none", "finish", "thread", "error")[run % 4]
        program = [sys.executable, "-c", SCRIPT, end]
        done = subprocess.run(program, env=variables, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0 or done.stderr:
            sys.exit(f"run {run}, {end}: status {done.returncode}: {done.stderr}")
    print(json.dumps({"python": sys.version.split()[0], "exits": runs}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
