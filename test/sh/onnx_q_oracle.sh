#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# `lowbit op` on integer tensors against onnxruntime and against the definitions in NumPy, on cases that are drawn anew each time.
# once
set -euo pipefail

BUILD=${BUILD:-build}
if ! .venv/bin/python -c 'import onnx, onnxruntime' 2>/dev/null; then
    echo "SKIPPED: .venv has no onnxruntime; test/oracle/setup.sh makes it (Python 3.11 or newer)" >&2
    exit 77
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
if ! .venv/bin/python test/oracle/onnx_q_check.py "$BUILD/lowbit" "$tmp" cpu_ref cpu; then
    echo "repeat: BUILD=$BUILD bash test/sh/onnx_q_oracle.sh" >&2
    exit 1
fi
