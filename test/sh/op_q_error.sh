#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What 8 bits cost each operator on normal data, against binary64: a table, and that no operator adds to what the codes of its result cost.
# once
set -euo pipefail

BUILD=${BUILD:-build}
if ! .venv/bin/python -c 'import numpy, safetensors' 2>/dev/null; then
    echo "SKIPPED: .venv has no NumPy; test/oracle/setup.sh makes it" >&2
    exit 77
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
if ! .venv/bin/python test/oracle/op_q_error.py "$BUILD/lowbit" "$tmp" cpu_ref cpu; then
    echo "repeat: BUILD=$BUILD bash test/sh/op_q_error.sh" >&2
    exit 1
fi
