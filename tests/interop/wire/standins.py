"""Runs modules of a wheel, unmodified, where most of what they import is not installed.

In: a wheel, the modules to take from it, and values for what they import from elsewhere. Out: the
modules, read from the wheel in memory. Every other module below the same roots is a stand-in that
has any attribute and does nothing. No connection leaves this machine.
"""

import importlib
import importlib.machinery
import importlib.util
import json
import os
import resource
import sys
import threading
import time
import types
import zipfile

# Whatever of these is not taken from the wheel is a stand-in, even where it is installed.
ROOTS = {"aiohttp", "lmcache", "torch", "tpu_inference", "uvloop", "vllm"}


class Anything:
    """The content of a stand-in module: a class that takes and answers anything."""

    def __init__(self, *_args, **_named):
        pass

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_args, **_named: None


class Originals:
    """Finds and loads the modules below `ROOTS`."""

    def __init__(self, wheel, modules):
        self.wheel, self.files = wheel, {}
        with zipfile.ZipFile(wheel) as archive:
            there = set(archive.namelist())
            for module in modules:
                path = module.replace(".", "/")
                path = next(p for p in (f"{path}.py", f"{path}/__init__.py") if p in there)
                self.files[module] = (path, archive.read(path))
        sys.meta_path.insert(0, self)

    def find_spec(self, name, _path=None, _target=None):
        """A stand-in is a package, so that anything below it can be imported."""
        if name.split(".")[0] not in ROOTS:
            return None
        package = name not in self.files or self.files[name][0].endswith("/__init__.py")
        return importlib.machinery.ModuleSpec(name, self, is_package=package)

    def create_module(self, _spec):
        """An ordinary module."""

    def exec_module(self, module):
        """Runs the original, or makes a stand-in."""
        if module.__name__ in self.files:
            path, source = self.files[module.__name__]
            code = compile(source, f"{self.wheel}/{path}", "exec")
            exec(code, module.__dict__)
            return
        module.__getattr__ = lambda name: stand_in(module, name)


def stand_in(module, name):
    """An attribute that nobody set."""
    if name.startswith("__"):
        raise AttributeError(name)
    made = type(name, (Anything,), {})
    setattr(module, name, made)
    return made


def given(module, **values):
    """Sets what the originals import from a module."""
    vars(importlib.import_module(module)).update(values)


def scenario(text):
    """A scenario with its objects as things with attributes."""
    return json.loads(text, object_hook=lambda pairs: types.SimpleNamespace(**pairs))


def load(path):
    """The scenario in a file."""
    with open(path, encoding="utf-8") as file:
        return scenario(file.read())


def loaded_by_engines():
    """Imports what vLLM and LMCache have loaded of the standard library by the time at which they report."""
    for module in ("asyncio", "concurrent.futures", "dataclasses", "json", "logging", "multiprocessing", "uuid"):
        importlib.import_module(module)


def loopback_only(url):
    """Refuses a server elsewhere now, and every connection and look-up elsewhere later."""
    here = ("127.0.0.1", "localhost", "::1")
    if not url.startswith(("http://127.0.0.1:", "https://127.0.0.1:")):
        sys.exit(f"{url} is not on this machine: give http://127.0.0.1:<port> or https://127.0.0.1:<port>")
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]

    def watch(event, arguments):
        host = None
        if event == "socket.getaddrinfo":
            host = arguments[0]
        elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
            host = arguments[1][0]
        if host not in (None, *here):
            raise PermissionError(f"a connection to {host}: only this machine may be talked to")

    sys.addaudithook(watch)


class Cost:
    """Processor time of this process and its children, and time that went by, from now on."""

    def __init__(self):
        self.call, self.threads = {}, self.threads_of_process()
        self.begun, self.before = time.monotonic(), self.spent()
        self.thread = time.thread_time()

    @staticmethod
    def threads_of_process():
        """How many threads there are, also those that are not Python's."""
        return len(os.listdir("/proc/self/task"))

    @staticmethod
    def spent():
        """Seconds on a processor until now."""
        who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, who))

    def returned(self):
        """The call that reports is over for the engine."""
        cpu, wall = time.thread_time() - self.thread, time.monotonic() - self.begun
        threads = self.threads_of_process() - self.threads
        self.call = {"call_cpu_seconds": cpu, "call_wall_seconds": wall, "call_threads": threads}

    def tell(self):
        """One line for whoever started this."""
        wall = time.monotonic() - self.begun
        cost = {"cpu_seconds": self.spent() - self.before, "wall_seconds": wall, **self.call}
        print(json.dumps(cost), flush=True)


# How the engine lives: through all of its scenario (`whole`), until its start is reported (`start`), or
# until its input ends, whatever is still on its way (`cut`).
LIFE = os.environ.get("ENGINE_LIFE", "whole")


def fail(hook):
    """A thread that breaks ends the process: nobody would wait for it in vain."""
    if hook.exc_type is not SystemExit:
        threading.__excepthook__(hook)
        os._exit(1)


threading.excepthook = fail


def until_sent(thread_or_event):
    """Waits for a report, or for the end of the engine."""
    if LIFE == "cut":
        sys.stdin.read()
    elif isinstance(thread_or_event, threading.Thread):
        thread_or_event.join()
    else:
        thread_or_event.wait()
