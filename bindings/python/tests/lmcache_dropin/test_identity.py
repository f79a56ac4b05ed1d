"""Who reports, and whether anybody may."""

import fcntl
import os
import uuid

import pytest

from otel_usage.lmcache import ContinuousUsageContext, InitializeUsageContext, get_usage_identity
from otel_usage.lmcache import is_usage_tracking_enabled as enabled
from otel_usage.lmcache.identity import usage_config_dir
from otel_usage.lmcache.transport import usage_server_url


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://stats.test", "http://stats.test/context"),
        ("http://stats.test/", "http://stats.test/context"),
        ("http://stats.test/api/v1", "http://stats.test/api/v1/context"),
    ],
)
def test_the_url_keeps_the_path_of_its_base(monkeypatch, base, url):
    monkeypatch.setenv("LMCACHE_USAGE_TRACK_URL", base)
    assert usage_server_url("context") == url


def test_without_the_variable_the_url_is_upstreams(monkeypatch):
    monkeypatch.delenv("LMCACHE_USAGE_TRACK_URL")
    assert usage_server_url("l1-usage") == "http://stats.lmcache.ai:8080/l1-usage"


def test_reports_are_on_by_default(monkeypatch):
    monkeypatch.delenv("OTEL_USAGE_MODE")
    assert enabled()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LMCACHE_TRACK_USAGE", "false"),
        ("LMCACHE_TRACK_USAGE", "0"),
        ("DO_NOT_TRACK", "1"),
        ("DO_NOT_TRACK", "true"),
        ("DO_NOT_TRACK", "yes"),
        ("DO_NOT_TRACK", "TRUE"),
        # Stricter than upstream.
        ("DO_NOT_TRACK", "0"),
        ("OTEL_USAGE_MODE", "off"),
    ],
)
def test_each_switch_is_read_at_each_call(monkeypatch, variable, value):
    assert enabled()
    monkeypatch.setenv(variable, value)
    assert not enabled()
    monkeypatch.delenv(variable)
    assert enabled()


def test_a_file_switches_off_at_any_time(engine):
    assert enabled()
    folder = engine / ".config" / "lmcache"
    folder.mkdir(parents=True)
    (folder / "do_not_track").touch()
    assert not enabled()


def test_under_continuous_integration_a_senders_caller_gets_nothing(monkeypatch, sender, config, metadata):
    monkeypatch.delenv("OTEL_USAGE_MODE")
    monkeypatch.setenv("CI", "true")
    assert not enabled()
    assert InitializeUsageContext(config, metadata, sender=sender) is None
    monkeypatch.setenv("LMCACHE_USAGE_TRACK_INTERVAL", "0")
    context = ContinuousUsageContext(metadata, sender=sender)
    context.incr_or_send_stats(None)
    assert sender.sent == []


def test_one_identity_in_a_process(engine):
    first = get_usage_identity()
    assert get_usage_identity() is first
    assert uuid.UUID(first.session_id).version == 4
    assert (engine / ".config" / "lmcache" / "machine_id").read_text() == first.machine_id
    assert usage_config_dir() == engine / ".config" / "lmcache"
    with pytest.raises(AttributeError):
        first.session_id = ""


def test_another_run_has_the_same_machine(monkeypatch):
    first = get_usage_identity()
    monkeypatch.setattr("otel_usage.lmcache.identity._usage_identity", None)
    second = get_usage_identity()
    assert second.session_id != first.session_id
    assert second.machine_id == first.machine_id


def test_an_empty_file_gets_an_identifier(engine):
    folder = engine / ".config" / "lmcache"
    folder.mkdir(parents=True)
    (folder / "machine_id").touch()
    machine_id = get_usage_identity().machine_id
    assert (folder / "machine_id").read_text() == machine_id != ""


def test_a_file_with_something_else_stays_and_is_not_sent(engine):
    folder = engine / ".config" / "lmcache"
    folder.mkdir(parents=True)
    (folder / "machine_id").write_text("alice's machine")
    assert get_usage_identity().machine_id == ""
    assert (folder / "machine_id").read_text() == "alice's machine"


@pytest.mark.parametrize("place", ["file", "pipe"])
def test_a_machine_without_a_file_has_no_identifier(engine, place):
    folder = engine / ".config" / "lmcache"
    if place == "file":
        folder.parent.mkdir()
        folder.touch()
    else:
        folder.mkdir(parents=True)
        os.mkfifo(folder / "machine_id")
    identity = get_usage_identity()
    assert identity.machine_id == ""
    assert identity.session_id


def test_the_home_directory_is_the_variables_at_the_call(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "other"))
    assert get_usage_identity().machine_id == (tmp_path / "other/.config/lmcache/machine_id").read_text()


def test_an_engine_does_not_wait_for_a_process_that_holds_the_file(engine, process):
    folder = engine / ".config" / "lmcache"
    folder.mkdir(parents=True)
    with open(folder / "machine_id", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        # In a process of its own, which a wait would keep until this test gives up.
        assert process("from otel_usage.lmcache import get_usage_identity as ask; print(repr(ask().machine_id))") == ["''"]
