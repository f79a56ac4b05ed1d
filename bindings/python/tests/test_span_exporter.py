"""The exporter for OpenTelemetry's SDK for Python."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("opentelemetry.sdk.trace")


def test_the_sdk_finds_the_exporter_by_its_name(python, server):
    process = python.start(
        """
        import sys
        from opentelemetry.sdk._configuration import _import_exporters
        exporters = _import_exporters(["otel_usage"], [], [])[0]
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(exporters["otel_usage"]()))
        tracer = provider.get_tracer("engine")
        with tracer.start_as_current_span("vllm.report") as span:
            span.set_attribute("vllm.model.architecture", "LlamaForCausalLM")
            span.set_attribute("secret", "hf_x")
        with tracer.start_as_current_span("request"):
            pass
        assert provider.force_flush()
        sys.stdin.read()
        provider.shutdown()
        """,
        more={"OTEL_USAGE_CONTRACT": "vllm/current"},
    )
    (message,) = server.wait(1)
    assert message["model_architecture"] == "LlamaForCausalLM" and "hf_x" not in json.dumps(message)
    process.communicate("", python.patience)
    assert process.returncode == 0 and len(server.messages) == 1


def test_spans_of_the_engine_reach_the_native_part_only_if_they_are_records(host):
    from types import SimpleNamespace

    from opentelemetry.sdk.trace.export import SpanExportResult

    from otel_usage.span_exporter import UsageSpanExporter

    exporter = UsageSpanExporter("vllm/current")
    spans = [SimpleNamespace(name="request", attributes={"prompt": "secret"}), SimpleNamespace(name="a", attributes=None)]
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    assert exporter._native.stats()["recorded"] == 0
    assert exporter.force_flush() is True
    exporter.shutdown()


def test_a_contract_that_is_missing_is_one_clear_error(host, monkeypatch):
    from otel_usage.span_exporter import UsageSpanExporter

    monkeypatch.setenv("OTEL_USAGE_CONTRACT", "vlm/1")
    with pytest.raises(ValueError, match="there is no contract .vlm/1.: use"):
        UsageSpanExporter()
    monkeypatch.setenv("OTEL_USAGE_CONTRACT", "/no/such/file.json")
    with pytest.raises(OSError, match="/no/such/file.json"):
        UsageSpanExporter()
