"""The report that the Python originals would make of this machine, for tests/interop.

In: this machine and this environment. Out: one line of JSON with the environment fields of vLLM's
report and of LMCache's EnvMessage on a machine without an accelerator.

Written from the rules that both document, on top of the packages and modules that both use:
py-cpuinfo, psutil, platform, importlib.metadata. No code of theirs is in here.
"""

import importlib.metadata
import json
import os
import platform
import subprocess

import cpuinfo
import psutil

DMI = "/sys/class/dmi/id/"
FILES = ["product_version", "bios_vendor", "product_name", "chassis_asset_tag", "sys_vendor"]
WORDS = [
    ("amazon", "AWS"),
    ("microsoft corporation", "AZURE"),
    ("google", "GCP"),
    ("oraclecloud", "OCI"),
]


def provider():
    """The first word found, in the order of the files; else a variable; else UNKNOWN."""
    for name in FILES:
        if os.path.isfile(DMI + name):
            with open(DMI + name, encoding="utf-8") as file:
                text = file.read().lower()
            for word, cloud in WORDS:
                if word in text:
                    return cloud
    return "RUNPOD" if os.environ.get("RUNPOD_DC_ID") else "UNKNOWN"


def source():
    """How LMCache was installed: by its container, by pip, by conda."""
    if os.path.exists("/proc/1/cgroup"):
        with open("/proc/1/cgroup", encoding="utf-8") as file:
            if "docker" in file.read():
                return "DOCKER"
    try:
        importlib.metadata.distribution("LMCache")
        return "PIP"
    except importlib.metadata.PackageNotFoundError:
        pass
    try:
        listed = subprocess.run(["conda", "list", "LMCache"], capture_output=True, text=True)
        if "LMCache" in listed.stdout:
            return "CONDA"
    except FileNotFoundError:
        pass
    return "UNKNOWN"


def main():
    cpu = cpuinfo.get_cpu_info()
    numbers = ",".join(str(cpu.get(key, "")) for key in ("family", "model", "stepping"))
    memory = psutil.virtual_memory().total
    both = {
        "provider": provider(),
        "cpu_type": cpu.get("brand_raw", ""),
        "cpu_family_model_stepping": numbers,
        "total_memory": memory,
    }
    vllm = {
        **both,
        "num_cpu": cpu.get("count"),
        "architecture": platform.machine(),
        "platform": platform.platform(),
        "xpu_runtime": None,
        "cuda_runtime": None,
        "gpu_count": None,
        "gpu_type": None,
        "gpu_memory_per_device": None,
        "source": os.environ.get("VLLM_USAGE_SOURCE", "production"),
    }
    lmcache = {
        **both,
        "num_cpu": cpu.get("count") or 0,
        "architecture": platform.architecture(),
        "platforms": platform.platform(),
        "gpu_count": psutil.cpu_count(logical=False) or 0,
        "gpu_type": platform.processor(),
        "gpu_memory_per_device": memory,
        "source": source(),
    }
    print(json.dumps({"vllm": vllm, "lmcache": lmcache}))


if __name__ == "__main__":
    main()
