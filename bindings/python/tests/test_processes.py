"""The effects of the package on the process of its host: threads, forks, signals, exits."""

from __future__ import annotations

import json
import multiprocessing
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

#: A report, after which the script goes on as soon as the test says so.
REPORT = """
import otel_usage.vllm as vllm, sys
def report():
    vllm.usage_message.report_usage("LlamaForCausalLM", vllm.UsageContext.ENGINE_CONTEXT)
def threads():
    import os
    names = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm") as name:
                names.append(name.read().strip())
        except OSError:
            pass  # The thread has ended since.
    return sorted(names)
"""


def with_report(script: str) -> str:
    return REPORT + textwrap.dedent(script)


def test_no_thread_before_the_first_report(python):
    """CPython counts the threads of the system at a fork since 3.12, and warns if there is more than one."""
    python.run(
        with_report(
            """
            import os, otel_usage
            from otel_usage import Usage
            usage = Usage("lmcache/1")
            assert vllm.is_usage_stats_enabled() and vllm.usage_message.uuid and usage.enabled
            vllm.declare("a", int, doc="A.", kind="configuration")
            assert len(threads()) == 1, threads()
            child = os.fork()
            if child == 0:
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            report()
            while "otel-usage" not in threads():
                pass
            """
        ),
        "-W",
        "error",
    )


def test_the_first_report_in_a_forked_child_is_the_childs_own(python, server):
    process = python.start(
        with_report(
            """
            import os
            ids = [vllm.usage_message.uuid]
            children = []
            for _ in range(2):
                read, write = os.pipe()
                child = os.fork()
                if child == 0:
                    report()
                    os.write(write, vllm.usage_message.uuid.encode())
                    sys.stdin.read()
                    os._exit(0)
                children.append(child)
                ids.append(os.read(read, 36).decode())
            print(*ids)
            """
        )
    )
    sent = {body["uuid"] for body in server.wait(2)}
    parent, *children = python.end(process).split()
    assert sent == set(children) and len({parent, *children}) == 3


def test_a_child_that_is_forked_after_a_report_has_an_identity_of_its_own(python, server):
    process = python.start(
        with_report(
            """
            import os
            report()
            print(vllm.usage_message.uuid, flush=True)
            child = os.fork()
            if child == 0:
                report()
                print(vllm.usage_message.uuid, flush=True)
                sys.stdin.read()
                os._exit(0)
            sys.stdin.read()
            """
        ),
        # The host forks with a thread of ours alive, and Python warns of that.
        "-W",
        "ignore",
    )
    sent = {body["uuid"] for body in server.wait(2)}
    assert sent == set(python.end(process).split()) and len(sent) == 2


def test_a_fork_while_the_worker_is_busy_leaves_a_child_that_works(python, silent_server):
    python.run(
        with_report(
            """
            import os
            for _ in range(20):
                report()
                parent = vllm.usage_message.uuid
                child = os.fork()
                if child == 0:
                    report()
                    # It does not go on with what it inherited.
                    assert vllm.usage_message.uuid != parent
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
            os._exit(0)
            """
        ),
        "-W",
        "ignore",
        more={"VLLM_USAGE_STATS_SERVER": silent_server.url},
    )


def test_a_child_of_a_process_that_withdrew_reports_nothing(python, server):
    python.run(
        """
        import os, otel_usage
        usage = otel_usage.Usage("vllm/current")
        usage.record("vllm.report", {})
        assert usage.flush(3600).state == "settled"
        usage.withdraw()
        child = os.fork()
        if child == 0:
            assert not usage.enabled
            usage.record("vllm.report", {})
            usage.flush(3600)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        """,
        "-W",
        "ignore",
    )
    assert len(server.messages) == 1


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_child_of_each_start_method_reports(python, server, tmp_path, method):
    script = tmp_path / "engine.py"
    script.write_text(
        with_report(
            f"""
            import multiprocessing
            def worker(end):
                report()
                end.recv()
            if __name__ == "__main__":
                assert vllm.is_usage_stats_enabled()
                context = multiprocessing.get_context({method!r})
                ours, theirs = context.Pipe()
                child = context.Process(target=worker, args=(theirs,))
                child.start()
                sys.stdin.read()
                ours.send("end")
                child.join()
                assert child.exitcode == 0
            """
        )
    )
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-W", "error", script], env=python.variables, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )
    server.wait(1)
    python.end(process)
    assert len(server.messages) == 1


def test_nothing_depends_on_the_end_of_the_interpreter(python, server):
    process = python.start(
        with_report(
            """
            import atexit, os
            before = atexit._ncallbacks()
            report()
            assert atexit._ncallbacks() <= before + LOGGING, atexit._ncallbacks()
            sys.stdin.read()
            os._exit(0)
            """
            # `logging` registers one of its own.
        ).replace("LOGGING", "1")
    )
    server.wait(1)
    python.end(process)


def test_a_wait_lets_other_threads_of_python_run(python, silent_server, turns):
    python.run(
        turns
        + textwrap.dedent(
            """
            import os, otel_usage
            usage = otel_usage.Usage("vllm/current")
            usage.record("vllm.report", {})
            with Turns() as turns:
                # With the interpreter's lock held, the other thread would stand still in each wait. So it does in one
                # wait for which this process is stopped.
                for _ in range(100):
                    before = turns.count
                    usage.flush(0.5)
                    if turns.count - before >= 20:
                        os._exit(0)
            raise AssertionError("the other thread does not run")
            """
        ),
        more={"VLLM_USAGE_STATS_SERVER": silent_server.url},
    )


def test_a_handler_of_a_signal_can_end_a_wait(python, silent_server):
    out = python.run(
        """
        import os, signal, threading, otel_usage
        class Ended(Exception): pass
        heard, turns, waits = threading.Event(), [], []
        def hear(*_):
            turns.append(heard.set())
            # The third signal comes after the second one was heard, so that handlers run during the wait.
            if len(turns) == 3 and waits:
                raise Ended
        signal.signal(signal.SIGUSR1, hear)
        def tell():
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGUSR1)
                heard.wait()
                heard.clear()
        usage = otel_usage.Usage("vllm/current")
        usage.record("vllm.report", {})
        def ended():
            turns.clear()
            teller = threading.Timer(0.2, tell)
            waits.append(teller)
            try:
                teller.start()
                usage.flush(3600)
                waits.clear()
            except Ended:
                return True
            finally:
                teller.join()
            return False
        # A wait ends by itself while this process is stopped for so long that a request is given up.
        print("ended" if any(ended() for _ in range(5)) else "never")
        usage.finish()
        """,
        more={"VLLM_USAGE_STATS_SERVER": silent_server.url},
    )
    assert out == "ended\n"


def test_finish_inside_asyncio_does_not_wait_for_a_silent_server(python, silent_server, turns):
    out = python.run(
        turns
        + textwrap.dedent(
            """
            import asyncio, os, otel_usage
            async def main():
                usage = otel_usage.Usage("vllm/current")
                usage.record("vllm.report", {})
                with Turns() as turns:
                    usage.finish()
                print(turns.count, flush=True)
                os._exit(0)
            asyncio.run(main())
            """
        ),
        more={"VLLM_USAGE_STATS_SERVER": silent_server.url},
    )
    # The limit is 0.25 s, which is 25 turns. A request is given up after five seconds, and the original waits for 20.
    assert int(out) < 250


def test_a_sub_interpreter_is_refused(python):
    out = python.run(
        """
        import os
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        read, write = os.pipe()
        script = f'''
        import os, sys
        try:
            import otel_usage.vllm
            found = "loaded"
        except ImportError as error:
            found = str(error)
        os.write({write}, found.encode())
        '''
        import textwrap
        # The default configuration of 3.12 and later is isolated.
        failed = interpreters.run_string(interpreters.create(), textwrap.dedent(script))
        assert failed is None, failed
        print(os.read(read, 1000).decode(), flush=True)
        os._exit(0)
        """,
        "-W",
        "ignore",
    )
    assert "sub" in out and "interpreter" in out, out


def test_signals_of_the_process_are_blocked_on_our_threads(python, silent_server):
    out = python.run(
        with_report(
            """
            import os, signal
            from pathlib import Path
            def blocked():
                for task in os.listdir("/proc/self/task"):
                    try:
                        lines = Path(f"/proc/self/task/{task}/status").read_text().splitlines()
                    except OSError:
                        continue  # The thread has ended since.
                    status = dict(line.split(":", 1) for line in lines)
                    if status["Name"].strip().startswith("otel-usage"):
                        mask = int(status["SigBlk"], 16)
                        yield " ".join(signal.Signals(n).name for n in (1, 2, 10, 12, 13, 15, 17) if mask >> (n - 1) & 1)
            report()
            # The report returns before the thread that it starts has taken its name.
            while not (masks := list(blocked())):
                pass
            for mask in masks:
                print(mask)
            assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
            sys.stdout.flush()
            os._exit(0)
            """
        ),
        more={"VLLM_USAGE_STATS_SERVER": silent_server.url},
    )
    lines = out.splitlines()
    assert lines and set(lines) == {"SIGHUP SIGINT SIGUSR1 SIGUSR2 SIGPIPE SIGTERM SIGCHLD"}, lines


def test_a_process_that_gevent_patched_reports(python, server):
    pytest.importorskip("gevent")
    process = python.start(
        "from gevent import monkey; monkey.patch_all()\n"
        + with_report(
            """
            report()
            # No greenlet gets a turn from now on.
            sys.stdin.read()
            """
        ),
        "-W",
        "ignore",
    )
    server.wait(1)
    python.end(process)


OPTED_OUT = with_report(
    """
    import os
    before = set(os.listdir("/proc/self/fd"))
    assert not vllm.is_usage_stats_enabled()
    report()
    vllm._USAGE_STATS_ENABLED = None
    vllm._reporter.report("LlamaForCausalLM", "ENGINE_CONTEXT", {})
    import otel_usage
    with otel_usage.Usage("lmcache/1") as usage:
        usage.record("lmcache.engine", {})
    assert len(threads()) == 1, threads()
    assert set(os.listdir("/proc/self/fd")) == before
    """
)


def test_an_opted_out_call_makes_no_thread_file_or_socket(python, server, home):
    python.run(OPTED_OUT, more={"DO_NOT_TRACK": "1"})
    assert server.messages == [] and list(home.iterdir()) == []


def test_an_opted_out_call_makes_no_such_system_call(python, tmp_path, patience):
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("there is no strace on this machine")
    log = tmp_path / "calls"
    calls = "trace=clone,clone3,fork,vfork,socket,connect,mkdir,mkdirat,rename,unlink,openat,open,creat"
    program = [strace, "-f", "-e", calls, "-o", log, sys.executable, "-B", "-c", OPTED_OUT]
    done = subprocess.run(
        program, env={**python.variables, "DO_NOT_TRACK": "1"}, capture_output=True, text=True, timeout=patience, check=False
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("strace is not permitted here")
    assert done.returncode == 0, done.stderr
    forbidden = ("clone", "fork", "socket", "connect", "mkdir", "rename", "unlink", "O_CREAT", "O_WRONLY", "O_RDWR")
    # The text in quotes is the name of a file, and devices are not files.
    lines = [re.sub(r'"[^"]*"', "", line) for line in log.read_text().splitlines() if "/dev/null" not in line]
    made = [line for line in lines if any(word in line for word in forbidden)]
    assert made == []


def test_an_error_below_is_nothing_above_and_a_line_for_debugging(python):
    """The system refuses random bytes to the child, so that the native part cannot make its identity and panics."""
    out = python.run(
        with_report(
            """
            import ctypes, logging, os, resource, struct
            logging.basicConfig(stream=sys.stdout, level=logging.DEBUG, format="%(levelname)s %(message)s")
            vllm._reporter._start()
            child = os.fork()
            if child == 0:
                libc = ctypes.CDLL(None, use_errno=True)
                number = {"x86_64": 318, "aarch64": 278}[os.uname().machine]
                # Load the number of the call; if it is `getrandom`, the answer is ENOSYS; else allow it.
                rules = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050026), (0x06, 0, 0, 0x7FFF0000)]
                code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
                class Program(ctypes.Structure):
                    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
                program = Program(len(rules), ctypes.addressof(code))
                if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
                    print("not permitted", flush=True)
                    os._exit(0)
                resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
                print(report(), vllm._reporter._native.enabled, vllm.usage_message, flush=True)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            """
        )
    )
    if "not permitted" in out:
        pytest.skip("a process cannot restrict its system calls here")
    # The place, and nothing on stderr, where a panic would write it.
    assert re.search(r"DEBUG usage reporting met an error of its own at \S+\.rs:\d+:\d+ and did nothing", out), out
    assert "None False <UsageMessage vllm/current off: an error>" in out, out


def test_exits_while_the_worker_is_busy_neither_crash_nor_hang(python, patience):
    program = [sys.executable, Path(__file__).with_name("exits.py"), "8"]
    done = subprocess.run(
        program, env=python.variables, capture_output=True, text=True, timeout=3 * patience, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["exits"] == 8
