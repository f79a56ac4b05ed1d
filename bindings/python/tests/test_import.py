"""The installed package can be imported, and is the wheel's."""

import subprocess
import sys

import otel_usage


def test_the_package_is_the_installed_one() -> None:
    assert "site-packages" in otel_usage.__file__


def test_an_import_starts_no_thread_and_loads_little() -> None:
    code = (
        "import sys, os; before = set(sys.modules); import otel_usage; "
        "print(len(os.listdir('/proc/self/task')), *sorted(set(sys.modules) - before))"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    threads, *modules = ran.stdout.split()
    assert threads == "1"
    assert not {"logging", "dataclasses", "uuid", "asyncio", "typing"} & set(modules), modules
