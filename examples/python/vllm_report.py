# pyright: basic
# vLLM need not be installed here, so that its types are unknown.
"""Reports as vLLM does. The guarded import is all that changes in vLLM.

Try it without a message leaving this machine: OTEL_USAGE_MODE=local python examples/python/vllm_report.py
"""

import time

try:
    from otel_usage.vllm import UsageContext, is_usage_stats_enabled, usage_message
except ImportError:  # a platform without a wheel
    from vllm.usage.usage_lib import (  # type: ignore
        UsageContext,
        is_usage_stats_enabled,
        usage_message,
    )

if is_usage_stats_enabled():
    settings = {"dtype": "torch.bfloat16", "tensor_parallel_size": 8}
    usage_message.report_usage("LlamaForCausalLM", UsageContext.ENGINE_CONTEXT, settings)

# An engine lives on. This script would end before its report has left.
time.sleep(1)
