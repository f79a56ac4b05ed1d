"""An engine that reports as vLLM does, to its own server and with its own switch."""

import time

from otel_usage.vllm import usage_lib

lib = usage_lib(
    "my_engine/1",
    version="1.2",
    server="http://127.0.0.1:8000",
    switches=["MY_ENGINE_NO_USAGE_STATS"],
    directory=("my_engine", "MY_ENGINE_CONFIG_ROOT"),
)
lib.declare("max_loras", int, doc="Most LoRA adapters in a batch.", kind="configuration")
if lib.is_usage_stats_enabled():
    lib.usage_message.report_usage("LlamaForCausalLM", lib.UsageContext.ENGINE_CONTEXT, {"max_loras": 4})
print(lib.usage_message)

# An engine lives on. This script would end before its report has left.
time.sleep(1)
