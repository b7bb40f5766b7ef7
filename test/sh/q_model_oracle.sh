#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Integer models that `lowbit run` made, run from their files by `lowbit op q_model`, against the same layers in NumPy.
# once
set -euo pipefail

BUILD=${BUILD:-build}
if ! .venv/bin/python -c 'import numpy, safetensors' 2>/dev/null; then
    echo "SKIPPED: .venv has no NumPy; test/oracle/setup.sh makes it" >&2
    exit 77
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
if ! .venv/bin/python test/oracle/q_model_check.py "$BUILD/lowbit" "$tmp" cpu_ref cpu; then
    echo "repeat: BUILD=$BUILD bash test/sh/q_model_oracle.sh" >&2
    exit 1
fi
