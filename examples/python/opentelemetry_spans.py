"""An engine that already uses OpenTelemetry's SDK: its spans that are usage records are reported.

Needs: pip install opentelemetry-sdk. Or choose the exporter by OTEL_TRACES_EXPORTER=otel_usage, without code.
"""

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_usage.span_exporter import UsageSpanExporter

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(UsageSpanExporter("vllm/current", version="0.33.0")))
with provider.get_tracer("engine").start_as_current_span("vllm.report") as span:
    span.set_attribute("vllm.model.architecture", "LlamaForCausalLM")
provider.shutdown()
