"""A usage server on this machine, a home of its own, and a new Python for each script.

The tests run over the installed package: `pip install` the wheel, then `pytest bindings/python/tests`.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

#: Longest wait for something that happens at once on an idle machine. Unit: seconds. After a machine that stood still
#: during a connection, the next attempt is two minutes away.
PATIENCE = 300.0


class Listener(http.server.ThreadingHTTPServer):
    """Lets connections wait while this process stands still. With a full backlog a client would find no server."""

    daemon_threads = True
    request_queue_size = 128


class Server:
    """Keeps each message with its path. Without ``answers`` it accepts connections and stays silent.

    A message that comes again with the same bytes is kept once: the package sends it again if this server, on a machine
    that is busy, does not answer within five seconds. Two reports differ in their times.
    """

    def __init__(self, *, answers: bool = True) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self._one_at_a_time, self._silence = threading.Lock(), threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._one_at_a_time:
                    if message not in outer.messages:
                        outer.messages.append(message)
                if not answers:
                    outer._silence.wait()
                    return
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def handle(self) -> None:
                # A client that gives up, or that was ended, breaks a connection off.
                with contextlib.suppress(ConnectionError, json.JSONDecodeError):
                    super().handle()

            def log_message(self, *_arguments: object) -> None:
                """Stay silent."""

        self._server = Listener(("127.0.0.1", 0), Handler)
        # It looks this often whether it has to end.
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, body in self.messages]

    def wait(self, count: int) -> list[dict[str, Any]]:
        """Return the first messages, as soon as there are so many."""
        waits_until(lambda: len(self.messages) >= count, f"{count} messages")
        return self.bodies

    def close(self) -> None:
        self._silence.set()
        self._server.shutdown()
        self._server.server_close()


def waits_until(condition: Any, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


@pytest.fixture(scope="session", name="wait_until")
def _wait_until() -> Any:
    return waits_until


#: Counts the turns of a thread while something runs: about a hundred in a second in which this process runs. A machine
#: that stands still, or is slow, gives a thread no turns, so that the time which a call waits can be told from the time
#: which it gets. It is text, because scripts of other processes need it too.
TURNS = """
class Turns:
    def __enter__(self):
        import threading, time
        self.count, self._over = 0, False
        def turn():
            while not self._over:
                time.sleep(0.01)
                self.count += 1
        threading.Thread(target=turn, daemon=True).start()
        return self
    def __exit__(self, *_):
        self._over = True
"""


@pytest.fixture(scope="session")
def turns() -> str:
    """The text of a class whose objects count the turns of a thread: `with Turns() as turns: …`."""
    return TURNS


@pytest.fixture
def server() -> Any:
    made = Server()
    yield made
    made.close()


@pytest.fixture(scope="session")
def patience() -> float:
    """Seconds after which a test fails."""
    return PATIENCE


@pytest.fixture
def servers() -> Any:
    """Make further servers."""
    made: list[Server] = []

    def make() -> Server:
        made.append(Server())
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def silent_server() -> Any:
    made = Server(answers=False)
    yield made
    made.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    return made


@pytest.fixture
def variables(server: Server, home: Path) -> dict[str, str]:
    """An environment in which engines report to the server here, and nowhere else."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "OTEL_USAGE_MODE": "on",
        "VLLM_USAGE_STATS_SERVER": server.url,
        "LMCACHE_USAGE_TRACK_URL": server.url,
    }


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> dict[str, str]:
    """This process with the same environment."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


class Python:
    """A new Python that runs a script."""

    patience = PATIENCE

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables

    def start(self, script: str, *options: str, more: dict[str, str] | None = None) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, *options, "-c", textwrap.dedent(script)],
            env={**self.variables, **(more or {})},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    def run(self, script: str, *options: str, more: dict[str, str] | None = None) -> str:
        """Return what the script prints. It must end without an error and without a word on stderr."""
        process = self.start(script, *options, more=more)
        return self.end(process)

    @staticmethod
    def end(process: subprocess.Popen[str], told: str = "") -> str:
        """Tell the script something, and return what it prints."""
        try:
            out, errors = process.communicate(told, PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert process.returncode == 0, errors
        assert errors == "", errors
        return out


@pytest.fixture
def python(variables: dict[str, str]) -> Python:
    return Python(variables)
