"""A plug-in for pytest that puts our modules in the place of LMCache's: ``pytest -p otel_usage.testing.shim``.

It runs before the tests are collected, so that LMCache's own tests of its usage reporting test this package.
"""

import os

from otel_usage.lmcache import install

# Tests of LMCache expect reports, also where continuous integration would keep them on the machine.
os.environ.setdefault("OTEL_USAGE_MODE", "on")
install()
