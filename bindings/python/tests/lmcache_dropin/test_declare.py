"""Members that LMCache declares beside its call, and members that nobody declared."""

import pytest

from otel_usage.lmcache import (
    InitializeMPUsageContext,
    InitializeUsageContext,
    UsageContext,
    UsageMessage,
    declare,
    undeclared,
)
from otel_usage.lmcache.messages import ContinuousContextMessage, DeploymentMode, EngineMessage, MPServerMessage
from otel_usage.lmcache.transport import report

DOC = "Whether layers are moved one by one."


def layerwise(message=EngineMessage):
    declare(message, "use_layerwise", bool, doc=DOC, kind="configuration")


def body(posts, kind):
    (found,) = [body for _, body in posts if body["message_type"] == kind]
    return found


def test_a_declared_setting_is_taken_from_the_configuration_and_sent(server, config, metadata):
    layerwise()
    layerwise()
    config.use_layerwise = True
    assert InitializeUsageContext(config, metadata) is not None
    sent = body(server.wait_for(3), "EngineMessage")
    assert list(sent)[-2:] == ["kv_shape", "use_layerwise"]
    assert sent["use_layerwise"] is True
    assert undeclared() == {}


def test_a_declared_setting_of_a_server_and_a_number_of_an_interval_are_sent(server, mp_config, storage):
    layerwise(MPServerMessage)
    declare(ContinuousContextMessage, "evictions", int, doc="Evicted chunks.", kind="workload")
    mp_config.use_layerwise = False
    assert InitializeMPUsageContext(mp_config, storage()) is not None
    message = ContinuousContextMessage(1, 2, 3, 4, 5.5)
    message.evictions = 7
    report([message], DeploymentMode.MP_SERVER)
    posts = server.wait_for(3)
    assert body(posts, "MPServerMessage")["use_layerwise"] is False
    assert body(posts, "ContinuousContextMessage")["evictions"] == 7


def test_a_callers_sender_gets_what_is_declared_and_nothing_else(sender, config, metadata):
    layerwise()
    config.use_layerwise = True

    class Context(UsageContext):
        def _collect_messages(self):
            messages = super()._collect_messages()
            messages[1].secret = "hf_x"
            return messages

    Context(config, metadata, sender=sender).report_once()
    sent = sender.sent[1][1]
    assert sent["use_layerwise"] is True and "hf_x" not in str(sender.sent)
    assert undeclared() == {"EngineMessage.secret": 1}


def test_a_setting_that_the_configuration_lacks_is_left_out(server, config, metadata):
    layerwise()
    InitializeUsageContext(config, metadata)
    assert "use_layerwise" not in body(server.wait_for(3), "EngineMessage")


def test_an_undeclared_member_is_dropped_counted_and_named_once(server, config, metadata, lines):
    for config.chunk_size in (1, 2):
        message = EngineMessage.from_config(config, metadata)
        message.secret = "hf_x"
        report([message], DeploymentMode.SINGLE_PROCESS)
    assert "hf_x" not in str(server.wait_for(2))
    assert undeclared() == {"EngineMessage.secret": 2}
    named = [text for _, text in lines() if "secret" in text]
    assert named == ["EngineMessage.secret is not sent, because nobody declared it"]


def test_a_member_that_the_contract_knows_stays_as_it_is(server, config, metadata):
    declare(EngineMessage, "chunksize", str, doc="Not what the contract says.", kind="configuration")
    config.chunksize = "many"
    InitializeUsageContext(config, metadata)
    assert body(server.wait_for(3), "EngineMessage")["chunksize"] == 256


def test_a_declaration_after_the_report_is_a_line_for_debugging(server, config, metadata, lines):
    config.use_layerwise = True
    InitializeUsageContext(config, metadata)
    layerwise()
    assert ("DEBUG", "EngineMessage.use_layerwise was declared after the first report and is not sent") in lines()
    InitializeUsageContext(config, metadata)
    assert "use_layerwise" not in str(server.wait_for(6))


def test_a_wrong_declaration_is_refused():
    class Mine(UsageMessage):
        pass

    for message in (Mine, UsageMessage, dict):
        with pytest.raises(ValueError, match="use_layerwise: .* is no message of LMCache: use a class of"):
            layerwise(message)
    with pytest.raises(ValueError, match="a: .*dict.* cannot be sent: use one of bool, float, int, str"):
        declare(EngineMessage, "a", dict, doc="", kind="configuration")
    with pytest.raises(ValueError, match="a: 'setting' is no kind of data: use one of configuration"):
        declare(EngineMessage, "a", int, doc="", kind="setting")
