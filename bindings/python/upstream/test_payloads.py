"""The posts of LMCache, and those with our modules in the place of its own, for one scenario after the other.

``LMCACHE_WHEEL`` is the path of LMCache's wheel. `cargo xtask e2e --python-upstream` sets it.
"""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

WIRE = Path(__file__).parents[3] / "tests/interop/wire"
SCENARIOS = sorted(path.stem for path in (WIRE / "scenarios").glob("lmcache-*.json"))

#: Times, and what is random in a run.
OWN = {"session_id", "start_time", "duration", "uptime_seconds", "active_seconds"}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posts.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def posts(script, scenario, home):
    """Run a program for a scenario, and return what it posts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.posts = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    command = [sys.executable, script, os.environ["LMCACHE_WHEEL"], WIRE / f"scenarios/{scenario}.json", url]
    variables = {"HOME": str(home), "PATH": os.environ["PATH"], "OTEL_USAGE_MODE": "on"}
    subprocess.run(command, env=variables, check=True, timeout=300)
    server.shutdown()
    server.server_close()
    # A message comes again if this server, on a busy machine, did not answer in time.
    return [post for place, post in enumerate(server.posts) if post not in server.posts[place - 1 : place]]


def without_secrets(body):
    """Return a body of LMCache's as the page of differences says that it is here."""
    changed = dict(body)
    if body.get("remote_url") is not None:
        changed["remote_url"] = body["remote_url"].partition("://")[0] + "://"
    if str(body.get("model_name", "")).startswith("/"):
        changed["model_name"] = "<local>"
    return changed


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_posts_are_lmcaches(scenario, tmp_path):
    theirs = posts(WIRE / "lmcache_original.py", scenario, tmp_path)
    ours = posts(WIRE / "lmcache_package.py", scenario, tmp_path)
    assert [path for path, _ in ours] == [path for path, _ in theirs]
    for (_, our), (_, their) in zip(ours, theirs):
        assert list(our) == list(their)
        expected = without_secrets(their)
        for key in our.keys() - OWN:
            assert our[key] == expected[key], (our["message_type"], key)
            assert type(our[key]) is type(expected[key]), (our["message_type"], key)
        for key in our.keys() & OWN:
            assert type(our[key]) is type(their[key]), (our["message_type"], key)
    assert len({body["session_id"] for _, body in ours}) == 1


def test_there_are_scenarios():
    assert len(SCENARIOS) >= 4
