#!/usr/bin/env bash
# Our numbers for NVIDIA devices beside nvidia-smi's and torch's, each difference explained.
#
# In: this machine, and python3 with torch if it is there. Out: a table for each way of choosing
# devices; exit status 1 for a difference that is not explained. Without an NVIDIA GPU: one line.
set -uo pipefail
cd "$(dirname "$0")/.."

if ! listing=$(nvidia-smi --query-gpu=name,memory.total,uuid,driver_version,mig.mode.current \
    --format=csv,noheader,nounits 2>/dev/null) || [ -z "$listing" ]; then
    echo "check-gpu: no NVIDIA GPU here (nvidia-smi names none); nothing compared"
    exit 0
fi
cargo build --quiet --example accelerators || exit 1
ours=$(cargo metadata --format-version 1 --no-deps |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/examples/accelerators

column() { printf '%s\n' "$listing" | cut -d, -f"$1" | sed 's/^ *//'; }
value() { printf '%s\n' "$2" | sed -n "s/^$1=//p"; }

torch='
import sys
try:
    import torch
    count = torch.cuda.device_count()
    print("torch=" + torch.__version__)
    print("runtime=" + str(torch.version.cuda))
    print("count=" + str(count))
    if count:
        first = torch.cuda.get_device_properties(0)
        print("name=" + first.name)
        print("memory=" + str(first.total_memory))
except ImportError:
    pass
'

unexplained=0
line() { # what, ours, theirs, whose, why they may differ (empty: they may not)
    if [ "$2" = "$3" ]; then
        printf '  %-12s %-40s = %s\n' "$1" "$2" "$4"
    elif [ -n "$5" ]; then
        printf '  %-12s %-40s %s: %s; %s\n' "$1" "$2" "$4" "$3" "$5"
    else
        printf '  %-12s %-40s %s: %s  <-- NOT EXPLAINED\n' "$1" "$2" "$4" "$3"
        unexplained=1
    fi
}

check() { # variables to set, as NAME=value
    printf '\n%s\n' "${*:-no variable set}"
    local clean=(env -u CUDA_VISIBLE_DEVICES -u CUDA_DEVICE_ORDER "$@")
    local our their why count name memory
    our=$("${clean[@]}" "$ours")
    count=$(value count "$our") name=$(value name "$our") memory=$(value memory "$our")
    [ "$(value libcuda "$our")" = "not loaded" ] || line "CUDA" "loaded" "not loaded" "expected" ""
    their=$(command -v python3 >/dev/null && "${clean[@]}" python3 -c "$torch" 2>/dev/null)
    if [ -z "$their" ]; then
        echo "  torch is not importable here: count, name and memory are ours alone"
        printf '  %-12s %s\n' count "$count" name "$name" memory "$memory"
        return
    fi
    why=""
    if [ "$(value count "$their")" = 0 ] && [ "$count" = unknown ]; then
        line count none none torch ""
        return
    fi
    [ "$count" = unknown ] && [ -n "$cut" ] && why="of several slices (MIG) CUDA decides"
    line count "$count" "$(value count "$their")" torch "$why"
    why=""
    [ "$name" = unknown ] && [ -n "$mixed" ] && why="devices differ, and CUDA orders them by speed"
    [ "$name" = unknown ] && [ -n "$cut" ] && why="slices (MIG) differ, or cannot be listed"
    line name "$name" "$(value name "$their")" torch "$why"
    local torch_memory
    torch_memory=$(value memory "$their")
    if [ "$memory" = unknown ]; then
        why=${why:-"the driver does not say (before 510, or memory shared with the host)"}
    elif [ "$memory" -ge "$torch_memory" ] &&
        [ $(((memory - torch_memory) * 100 / memory)) -lt 5 ]; then
        why="$(((memory - torch_memory) >> 20)) MiB are the driver's own, and not CUDA's to give"
    else
        why=""
    fi
    line memory "$memory" "$torch_memory" torch "$why"
    line CUDA "$(value driver_cuda "$our")" "$(value runtime "$their")" torch \
        "ours is the newest the driver supports, torch's what it was built for"
}

cut=$(column 5 | grep -x Enabled || true)
mixed=$([ "$(column 1 | sort -u | wc -l)" -gt 1 ] && echo yes)
printf '%s\n' "nvidia-smi:" "$listing" | sed '2,$s/^/  /'

# The driver's own numbers are the same ones, in MiB.
our=$(env -u CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER=PCI_BUS_ID "$ours")
printf '\nagainst nvidia-smi, by bus\n'
line source "$(value source "$our")" nvml expected ""
line driver "$(value driver "$our")" "$(column 4 | head -n 1)" nvidia-smi ""
line driver_cuda "$(value driver_cuda "$our")" \
    "$(nvidia-smi | sed -n 's/.*CUDA Version: *\([0-9.]*\).*/\1/p' | head -n 1)" nvidia-smi ""
if [ -n "$cut" ]; then
    echo "  slices (MIG): nvidia-smi lists whole devices, which we never report"
else
    line count "$(value count "$our")" "$(column 1 | wc -l)" nvidia-smi ""
    line name "$(value name "$our")" "$(column 1 | head -n 1)" nvidia-smi ""
    memory=$(value memory "$our")
    [ "$memory" = unknown ] || memory=$((memory >> 20))
    line "memory MiB" "$memory" "$(column 2 | head -n 1)" nvidia-smi \
        "$([ "$memory" = unknown ] && echo "the driver does not say, or is older than 510")"
fi

first=$(column 3 | head -n 1)
check
check CUDA_DEVICE_ORDER=PCI_BUS_ID
check CUDA_VISIBLE_DEVICES=
check CUDA_VISIBLE_DEVICES=-1
check CUDA_VISIBLE_DEVICES=0
check CUDA_VISIBLE_DEVICES=0,0
check CUDA_VISIBLE_DEVICES="$first"
check CUDA_VISIBLE_DEVICES="${first:0:12}"
slice=$(nvidia-smi -L 2>/dev/null | sed -n 's/.*UUID: \(MIG-[^)]*\)).*/\1/p' | head -n 1)
[ -z "$slice" ] || check CUDA_VISIBLE_DEVICES="$slice"

echo
[ "$unexplained" = 0 ] && echo "check-gpu: every difference is explained" ||
    echo "check-gpu: there are differences without an explanation"
exit "$unexplained"
