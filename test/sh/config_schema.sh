#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# once
# configs/schema.json is what the option tables say, and a JSON Schema validator and `lowbit check` give the same verdict on every config.
set -euo pipefail
lowbit=${BUILD:-build}/lowbit

if ! "$lowbit" check --schema | cmp - configs/schema.json; then
    echo "configs/schema.json is old; make it again: $lowbit check --schema > configs/schema.json"
    exit 1
fi
if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c 'import jsonschema' 2>/dev/null; then
    echo "skipped: no Python package jsonschema in .venv (test/oracle/setup.sh makes it)"
    exit 77
fi
exec .venv/bin/python test/oracle/schema_check.py "$lowbit"
