# pyright: basic
# LMCache need not be installed here, so that its types are unknown.
"""Reports as LMCache does in an engine. The guarded import is all that changes in LMCache.

Try it without a message leaving this machine: OTEL_USAGE_MODE=local python examples/python/lmcache_report.py
"""

import time
from types import SimpleNamespace

try:
    from otel_usage.lmcache import InitializeUsageContext
except ImportError:  # a platform without a wheel
    from lmcache.usage_context import InitializeUsageContext  # type: ignore

config = SimpleNamespace(
    chunk_size=256,
    local_cpu=True,
    max_local_cpu_size=5.0,
    remote_url=None,
    remote_serde=None,
    save_decode_cache=False,
    enable_blending=False,
    blend_min_tokens=256,
)
metadata = SimpleNamespace(
    model_name="meta-llama/Llama-3.1-8B-Instruct",
    world_size=1,
    worker_id=0,
    kv_dtype="torch.bfloat16",
    kv_shape=(32, 2, 256, 8, 128),
)
InitializeUsageContext(config, metadata)

# An engine lives on. This script would end before its report has left.
time.sleep(1)
