#!/bin/sh
# The same silence by system-call trace, which sees what a filter was not told to look for.
#
# In: the workspace, built here. Out: exit status 0 and a line per part, or 1 and the calls that
# should not be there.
#
#   1. `optout` without its filter, for a handful of rows that are off: no socket, thread, process
#      or changed file. A run that is on must show such calls, or the trace would prove nothing.
#   2. Every example of the main package: no address outside this machine.
#
# Without strace, or where ptrace is not permitted, it says so and exits 0.
set -eu
cd "$(dirname "$0")/../.."

if ! command -v strace >/dev/null 2>&1; then
    echo "strace.sh: skipped, strace is not installed"
    exit 0
fi
if ! strace -o /dev/null true 2>/dev/null; then
    echo "strace.sh: skipped, ptrace is not permitted here"
    exit 0
fi

target=${CARGO_TARGET_DIR:-target}/debug
case $target in /*) ;; *) target=$PWD/$target ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
bad=0

# The calls of a trace that leave a mark. Its first line is the execve that starts the program.
marks() {
    sed -E '1d; s/^[0-9]+ +//' "$1" | grep -E \
        -e '^(socket|socketpair|connect|bind|listen|accept4?|send(to|msg|mmsg))\(' \
        -e '^(clone3?|v?fork|execve(at)?|io_uring_setup|memfd_create)\(' \
        -e '^(mkdir|mknod|rename|unlink|symlink|link|rmdir|creat|truncate|ftruncate|f?chmod)[a-z0-9]*\(' \
        -e '^openat2\(' \
        -e '^open(at)?\(.*O_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)' \
        -e '^p?writev?(64|2)?\(([03-9]|[12][0-9])' \
        || true
}

# run NAME ENGINE [VARIABLE=VALUE ...]: traces one run with a home of its own, made by `home`.
run() {
    name=$1 engine=$2
    shift 2
    (
        cd "$work/home"
        exec env -i HOME="$work/home" "$@" \
            strace -f -qq -s 200 -o "$work/trace" "$target/optout" "$engine" --no-filter
    ) >"$work/out" 2>"$work/err" || {
        echo "strace.sh: $name: exit status $?"
        cat "$work/out" "$work/err"
        bad=1
    }
    marks "$work/trace" >"$work/marks"
}

home() {
    rm -rf "$work/home"
    mkdir "$work/home"
}

# As `run`, for a row that is off.
silent() {
    runs=$((runs + 1))
    run "$@"
    if ! grep -q '^silent consent=off because ' "$work/out" || [ -s "$work/err" ]; then
        echo "strace.sh: $1 is not silent:"
        cat "$work/out" "$work/err"
        bad=1
    fi
    if [ -s "$work/marks" ]; then
        echo "strace.sh: $1 leaves a mark:"
        cat "$work/marks"
        bad=1
    fi
}

cargo build --quiet -p otel-usage-optout
runs=0
home
for engine in vllm/current lmcache/1 own; do
    silent DO_NOT_TRACK $engine DO_NOT_TRACK=
    silent OTEL_USAGE_MODE $engine OTEL_USAGE_MODE=off
    silent OTEL_SDK_DISABLED $engine OTEL_SDK_DISABLED=true
done
silent VLLM_NO_USAGE_STATS vllm/0.4.0 VLLM_NO_USAGE_STATS=0
silent LMCACHE_TRACK_USAGE lmcache/doc LMCACHE_TRACK_USAGE=false
silent THIRD_NO_STATS own THIRD_NO_STATS=
mkdir -p "$work/home/.config/vllm"
: >"$work/home/.config/vllm/do_not_track"
silent "vLLM's marker" vllm/current
home
mkdir -p "$work/home/.config/otel-usage"
echo off >"$work/home/.config/otel-usage/mode"
silent "the mode file" lmcache/1

home
run "the run that is on" vllm/current OTEL_USAGE_MODE=on
for mark in clone socket connect mkdir openat; do
    if ! grep -q "^$mark" "$work/marks"; then
        echo "strace.sh: a run that is on shows no $mark; this trace proves nothing"
        bad=1
    fi
done
echo "strace.sh: $runs runs that are off, and one that is on"

# Internet addresses in a trace that are not this machine's.
foreign() {
    grep -E 'sa_family=AF_INET6?\b' "$1" \
        | grep -v -E \
            -e 'sin_addr=inet_addr\("127\.[0-9.]+"\)' \
            -e 'inet_pton\(AF_INET6, "(::1|::ffff:127\.[0-9.]+)"' \
        || true
}

cat >"$work/trace" <<'EOF'
7 connect(9, {sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("127.0.0.1")}, 16) = 0
7 connect(9, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.127.0.1")}, 16) = 0
7 connect(9, {sa_family=AF_INET6, sin6_port=htons(9), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}, 28) = 0
7 bind(9, {sa_family=AF_INET6, sin6_port=htons(9), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::", &sin6_addr), sin6_scope_id=0}, 28) = 0
7 connect(9, {sa_family=AF_UNIX, sun_path="/run/x"}, 110) = 0
EOF
if [ "$(foreign "$work/trace" | wc -l)" -ne 2 ]; then
    echo "strace.sh: foreign addresses are not told from loopback; this trace proves nothing"
    exit 1
fi

cargo build --quiet --examples
examples=0
for source in examples/*.rs examples/*/main.rs; do
    [ -e "$source" ] || continue
    name=$(basename "${source%/main.rs}" .rs)
    home
    # Not the caller's environment: a proxy or an opt-out there would change what is seen.
    (
        cd "$work/home"
        exec env -i HOME="$work/home" PATH="$PATH" TMPDIR="$work/home" timeout 120 \
            strace -f -qq -e trace=connect,bind,sendto,sendmsg,sendmmsg -o "$work/trace" \
            "$target/examples/$name"
    ) >"$work/out" 2>&1 </dev/null || {
        echo "strace.sh: example $name: exit status $?"
        tail -n 20 "$work/out"
        bad=1
    }
    foreign "$work/trace" >"$work/marks"
    if [ -s "$work/marks" ]; then
        echo "strace.sh: example $name leaves this machine:"
        cat "$work/marks"
        bad=1
    fi
    examples=$((examples + 1))
done
echo "strace.sh: $examples examples"
exit $bad
