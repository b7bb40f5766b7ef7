#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# once
# `lowbit convert` against numpy and ml_dtypes: the codes of 10^5 hard values of F32 and of F64 in each codec.
set -euo pipefail
if ! [ -x .venv/bin/python ]; then
    echo "no .venv: run test/oracle/setup.sh"
    exit 77
fi
if ! .venv/bin/python test/oracle/codec_check.py "$BUILD/lowbit"; then
    echo "repeat: .venv/bin/python test/oracle/codec_check.py $BUILD/lowbit"
    exit 1
fi
