"""Periodic threads that a test lets run."""

from enum import Enum
from types import SimpleNamespace

THREADS: dict[str, "PeriodicThread"] = {}


class ThreadLevel(Enum):
    LOW = "low"


class ThreadRunSummary(SimpleNamespace):
    pass


class PeriodicThread:
    def __init__(self, name, interval, execute_fn, level, init_wait):
        self.name, self.interval, self.level, self.init_wait = name, interval, level, init_wait
        self.run, self.running, self.woken, self.timeouts = execute_fn, False, 0, []
        THREADS[name] = self

    def start(self):
        self.running = True

    def wake(self):
        self.woken += 1

    def stop(self, timeout=5.0):
        self.running = False
        self.timeouts.append(timeout)


create_periodic_thread = PeriodicThread
