#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# GGUF's codecs against the reference implementation in Python, on thousands of blocks; and what the commands say of a block codec.
set -euo pipefail
lowbit=$BUILD/lowbit
fail() { echo "$1"; exit 1; }

list=$("$lowbit" list codecs --csv)
for row in Q4_0,4.5 Q2_K,2.625 Q6_K,6.5625 TQ1_0,1.6875 GGUF_MXFP4,4.25; do
    grep -q "^$row," <<<"$list" || fail "list codecs: expected a row $row,..., found: $(grep "^${row%,*}," <<<"$list")"
done
said=$("$lowbit" show Q4_0 2>&1) && fail "show Q4_0: expected an error"
grep -q 'codec Q4_0 is a block codec, 32 elements in 18 bytes' <<<"$said" || fail "show Q4_0 said: $said"

if ! [ -x .venv/bin/python ] || ! .venv/bin/python -c 'import gguf' 2>/dev/null; then
    echo "no .venv with gguf: run test/oracle/setup.sh"
    exit 77
fi
if grep -q __asan_ <(nm -D "$BUILD/plugins/codec_gguf.so"); then
    echo "the comparison with gguf: Python cannot load a plugin that was built with the address sanitizer"
    exit 77
fi
if ! .venv/bin/python test/oracle/gguf_check.py "$BUILD/plugins/codec_gguf.so"; then
    echo "repeat: .venv/bin/python test/oracle/gguf_check.py $BUILD/plugins/codec_gguf.so"
    exit 1
fi
