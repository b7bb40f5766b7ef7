#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Files written by lowbit load in the public safetensors library and the other way round, byte for byte; malformed files are refused by both.
set -euo pipefail

BUILD=${BUILD:-build}
if [ ! -x .venv/bin/python ]; then
    echo "SKIPPED: .venv/bin/python is missing, so nothing was compared with the safetensors library; test/oracle/setup.sh makes it" >&2
    exit 77
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
if ! .venv/bin/python test/oracle/safetensors_check.py check "$BUILD/test/safetensors_copy" "$BUILD/lowbit" test/data/safetensors "$tmp"; then
    echo "repeat: BUILD=$BUILD bash test/sh/safetensors_oracle.sh" >&2
    exit 1
fi
