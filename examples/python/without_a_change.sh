#!/bin/sh
# Engines that report through this package without a change to them. Each line is one door; run the one you need.
set -eu
export OTEL_USAGE_TAKE_OVER=1
case "${1:-}" in
    # vLLM loads the package's plug-in by itself, once the package is installed.
    vllm) exec vllm serve "$2" ;;
    # LMCache's server loads a module that it is told of.
    lmcache) exec lmcache server --server-module '{"module_path": "otel_usage.lmcache_server_module"}' ;;
    # Any other start of Python.
    run) shift && exec python -m otel_usage run -- "$@" ;;
    *) echo "usage: $0 vllm <model> | lmcache | run <program> ..." >&2 && exit 2 ;;
esac
