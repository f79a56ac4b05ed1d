"""Our modules in the place of LMCache's, in the layouts of its releases."""

import importlib
import shutil
import sys

import pytest

from otel_usage.lmcache import _install
from otel_usage.lmcache import install as put

FLAT = [
    "context",
    "continuous",
    "env_probe",
    "flush",
    "guard",
    "identity",
    "l1_usage",
    "l2_usage",
    "messages",
    "metric_specs",
    "mp",
    "mp_continuous",
    "transport",
]


@pytest.fixture(autouse=True)
def installed(engine):
    """Each test begins and ends with LMCache's own modules."""
    forget()
    yield
    _install.uninstall()
    forget()


def forget():
    for name in [name for name in sys.modules if name.partition(".")[0] == "lmcache"]:
        del sys.modules[name]


@pytest.fixture
def split(monkeypatch, tmp_path):
    """An LMCache with a folder for each deployment mode."""
    import lmcache

    root = tmp_path / "split"
    shutil.copytree(lmcache.__path__[0], root / "lmcache")
    for folder in ("mp", "non_mp"):
        (root / "lmcache/usage_telemetry" / folder).mkdir()
        (root / "lmcache/usage_telemetry" / folder / "__init__.py").touch()
    forget()
    monkeypatch.syspath_prepend(root)


def test_each_module_of_the_release_has_its_place_taken():
    put()
    root = importlib.import_module("lmcache.usage_telemetry")
    assert not hasattr(root, "ORIGINAL")
    for name in FLAT:
        module = importlib.import_module(f"lmcache.usage_telemetry.{name}")
        assert module is importlib.import_module(f"otel_usage.lmcache.{name}")
        assert getattr(root, name) is module
    for name in root.__all__:
        assert getattr(root, name) is not None
    assert sys.modules["lmcache"].usage_telemetry is root


def test_the_old_shim():
    put()
    shim = importlib.import_module("lmcache.usage_context")
    assert len(shim.__all__) == 7
    for name in shim.__all__:
        assert getattr(shim, name) is getattr(sys.modules["otel_usage.lmcache"], name)


def test_the_development_layout(split):
    put()
    root = "lmcache.usage_telemetry"
    mp = importlib.import_module(f"{root}.mp.context")
    assert mp.InitializeMPUsageContext is importlib.import_module("otel_usage.lmcache.mp").InitializeMPUsageContext
    continuous = importlib.import_module(f"{root}.mp.continuous")
    assert continuous.MPContinuousUsageReporter
    assert importlib.import_module(f"{root}.non_mp.context").InitializeUsageContext
    assert importlib.import_module(f"{root}.non_mp.continuous").ContinuousUsageContext
    assert importlib.import_module(f"{root}.base").UsageContextBase
    both = importlib.import_module(f"{root}.mp")
    assert both.InitializeMPUsageContext is mp.InitializeMPUsageContext
    assert both.InitializeMPContinuousUsage is continuous.InitializeMPContinuousUsage
    with pytest.raises(AttributeError):
        both.Nothing
    # A name of the other layout.
    with pytest.raises(ImportError):
        importlib.import_module(f"{root}.mp_continuous")


def test_lmcache_is_not_imported_for_it():
    put()
    assert "lmcache" not in sys.modules


def test_a_caller_that_has_bound_a_name_gets_ours(sender, config, metadata):
    from lmcache.v1 import cache_engine

    put()
    assert cache_engine.start(config, metadata, sender=sender) is not None
    assert sys.modules["lmcache.usage_telemetry"] is sys.modules["otel_usage.lmcache"]


def test_a_test_can_patch_by_lmcaches_name(monkeypatch):
    put()
    from otel_usage.lmcache import get_usage_identity, identity

    importlib.import_module("lmcache.usage_telemetry.identity")
    first = get_usage_identity()
    monkeypatch.setattr("lmcache.usage_telemetry.identity._usage_identity", None)
    assert identity._usage_identity is None
    assert get_usage_identity() != first


def test_our_modules_keep_their_own_specification():
    put()
    module = importlib.import_module("lmcache.usage_telemetry.guard")
    assert module.__name__ == module.__spec__.name == "otel_usage.lmcache.guard"
    importlib.reload(module)


def test_twice_is_once():
    put()
    put()
    assert sum(isinstance(finder, _install._Finder) for finder in sys.meta_path) == 1
    _install.uninstall()
    assert importlib.import_module("lmcache.usage_telemetry").ORIGINAL
