"""An engine with LMCache, as far as its usage reporting can tell, and a usage server on this machine."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from otel_usage._declared import Undeclared

STANDINS = Path(__file__).parent / "standins"
#: Seconds after which something that should have come will not come any more.
PATIENCE = 300


class Server(ThreadingHTTPServer):
    """Keeps what is posted. With ``hangs`` it reads and never answers."""

    daemon_threads = True
    #: Connections wait while this process stands still. With a full backlog a client would find no server.
    request_queue_size = 128
    accepted = 0

    def __init__(self):
        self.connections, self.requests, self.news = {}, [], threading.Condition()
        self.hangs, self.over = False, threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def get_request(self):
        accepted = super().get_request()
        self.connections[accepted[1]] = self.accepted = self.accepted + 1
        return accepted

    @property
    def posts(self):
        """The path and body of each message, in the order of their clients.

        A message that a process sends twice in a row stands here once. It comes again if this server, on a machine that
        is busy or stood still, does not answer within five seconds.
        """
        found, last = [], {}
        # A client has one connection at a time, but the thread of an older one may be slower.
        for _, path, body in sorted(self.requests, key=lambda request: request[0]):
            session = body.get("session_id")
            if last.get(session) != (path, body):
                found.append((path, body))
            last[session] = path, body
        return found

    def wait_for(self, count):
        """Return the first posts, as soon as there are so many."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.posts) >= count, PATIENCE), self.posts
            return self.posts


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.news:
            self.server.requests.append((self.server.connections[self.client_address], self.path, body))
            self.server.news.notify_all()
        if self.server.hangs:
            self.server.over.wait()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def handle(self):
        # A client that gives up, or that was ended, breaks a connection off.
        with contextlib.suppress(ConnectionError, json.JSONDecodeError):
            super().handle()

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def engine(monkeypatch, tmp_path):
    """LMCache is loaded, nothing is switched off, and nothing was reported yet."""
    monkeypatch.syspath_prepend(STANDINS)
    import lmcache  # noqa: F401
    import lmcache.logging
    import lmcache.v1.periodic_thread

    lmcache.logging.LINES.clear()
    lmcache.v1.periodic_thread.THREADS.clear()
    for name in list(os.environ):
        if name.startswith(("LMCACHE_", "OTEL_", "XDG_")) or name in ("DO_NOT_TRACK", "CI", "GITHUB_ACTIONS"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OTEL_USAGE_MODE", "on")
    # Nobody listens there.
    monkeypatch.setenv("LMCACHE_USAGE_TRACK_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("otel_usage.lmcache.identity._usage_identity", None)
    monkeypatch.setattr("otel_usage.lmcache.continuous.ContinuousUsageContext._instance", None)
    monkeypatch.setattr("otel_usage.lmcache._core._handles", {})
    monkeypatch.setattr("otel_usage.lmcache._core._waiting", [])
    monkeypatch.setattr("otel_usage.lmcache._core._told", set())
    monkeypatch.setattr("otel_usage.lmcache._declare.fields", [])
    monkeypatch.setattr("otel_usage.lmcache._declare.left_out", Undeclared())
    monkeypatch.setattr("otel_usage.lmcache._declare._fixed", False)
    monkeypatch.setattr("otel_usage.lmcache.flush.Reporter._alive", 0)
    monkeypatch.setattr("otel_usage.lmcache.flush.Reporter._deadline", None)
    return tmp_path


@pytest.fixture
def server(monkeypatch):
    """A server to which everything is sent."""
    server = Server()
    # It looks this often whether it has to end.
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("LMCACHE_USAGE_TRACK_URL", server.url)
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def patience():
    """Seconds after which a test fails."""
    return PATIENCE


@pytest.fixture
def sender():
    """A sender of the caller's own."""
    from otel_usage.lmcache import UsageMessageSender

    class Recording(UsageMessageSender):
        def __init__(self):
            self.sent, self.threads = [], []

        def send(self, url, payload):
            self.threads.append(threading.current_thread())
            self.sent.append((url, payload))

    return Recording()


@pytest.fixture
def failing():
    """A sender that fails."""
    from otel_usage.lmcache import UsageMessageSender

    class Failing(UsageMessageSender):
        def send(self, url, payload):
            raise RuntimeError("no way")

    return Failing()


@pytest.fixture
def config():
    """The configuration of an engine."""
    return SimpleNamespace(
        chunk_size=256,
        local_cpu=True,
        max_local_cpu_size=5.5,
        remote_url="redis://user:secret@cache.internal:6379",
        remote_serde="naive",
        save_decode_cache=False,
        enable_blending=True,
        blend_min_tokens=64,
    )


@pytest.fixture
def metadata():
    """The model of an engine."""
    import torch

    return SimpleNamespace(
        model_name="test_model",
        world_size=2,
        worker_id=1,
        kv_dtype=torch.bfloat16,
        kv_shape=(32, 2, 256, 8, 128),
    )


@pytest.fixture
def mp_config():
    """The configuration of a server."""
    return SimpleNamespace(
        chunk_size=256,
        hash_algorithm="blake3",
        engine_type="default",
        enable_segmented_prefix=False,
        enable_dedup_content=True,
        supported_transfer_mode="lmcache_driven",
        separate_object_groups=False,
        max_gpu_workers=4,
        max_cpu_workers=8,
        p2p_config=SimpleNamespace(enabled=False),
        instance_id="alice-test-server",
    )


@pytest.fixture
def storage():
    """The configuration of a server's levels."""

    class Medium(str):
        value = property(str)

    def level(policy, **capacities):
        eviction = policy and SimpleNamespace(eviction_policy=policy)
        return SimpleNamespace(
            capacities={Medium(name): size for name, size in capacities.items()}, eviction=eviction
        )

    def make(*levels, shm_name="shm", adapters=()):
        levels = [level(policy, **capacities) for policy, capacities in levels or [("LRU", {"dram": 1 << 30})]]
        return SimpleNamespace(
            l1_manager_configs=levels,
            l1_manager_config=SimpleNamespace(memory_config=SimpleNamespace(shm_name=shm_name)),
            l2_adapter_config=SimpleNamespace(
                adapters=[
                    SimpleNamespace(type_name=name, serde_config=serde and SimpleNamespace(type=serde))
                    for name, serde in adapters
                ]
            ),
            store_policy="default",
            prefetch_policy="eager",
        )

    return make


@pytest.fixture
def lines():
    """The lines of the log, as level and text."""
    import lmcache.logging

    return lambda: [(record.levelname, record.getMessage()) for record in lmcache.logging.LINES]


@pytest.fixture
def process(tmp_path):
    """Runs code in another process, and returns what it prints. ``standins``: LMCache is there."""

    def run(code, standins=False, **variables):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        kept.update(variables, PYTHONDONTWRITEBYTECODE="1")
        if standins:
            kept["PYTHONPATH"] = str(STANDINS)
        script = tmp_path / "script.py"
        script.write_text(code)
        ran = subprocess.run(
            [sys.executable, str(script)], env=kept, capture_output=True, text=True, timeout=PATIENCE
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stderr == ""
        return ran.stdout.split()

    return run
