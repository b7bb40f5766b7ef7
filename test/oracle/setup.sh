#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Makes .venv with the Python packages that tests use as oracles (requirements.txt beside this file). lowbit itself needs none of it.
# Does nothing where that .venv is there already. Exit: 0 it is there; 1 this Python cannot make it; 3 the package index cannot be reached.
# PyTorch is not among them: what the tests need of it is committed (test/data/nn/README.md says how to make that again).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
wanted=test/oracle/requirements.txt
if cmp -s "$wanted" .venv/installed.txt && .venv/bin/python -c 'import numpy, ml_dtypes, safetensors, jsonschema' 2>/dev/null; then
    echo "oracle: .venv is there"
    exit 0
fi

python=${PYTHON:-python3}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
made=no
if [ ! -x .venv/bin/pip ]; then
    made=yes
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>"$log" || ! "$python" -m venv --clear .venv >"$log" 2>&1; then
        cat "$log" >&2
        rm -rf .venv
        echo "oracle: needs Python 3.10 or newer with venv (scripts/setup.sh installs it)" >&2
        exit 1
    fi
fi
if ! .venv/bin/pip --disable-pip-version-check --no-input install --quiet --only-binary :all: -r "$wanted" >"$log" 2>&1 </dev/null; then
    tail -n 5 "$log" >&2
    if [ $made = yes ]; then rm -rf .venv; fi
    echo "oracle: the packages of $wanted could not be installed. Is the Python package index reachable?" >&2
    echo "oracle: without them the tests that need them are skipped, and say so" >&2
    exit 3
fi
cp "$wanted" .venv/installed.txt
echo "oracle: .venv made"
