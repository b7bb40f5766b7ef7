#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The GLSL text of GGUF's codecs, compiled as C, against their decoders.
set -euo pipefail
cc=${CC:-cc}
if ! command -v "${cc%% *}" >/dev/null; then
    echo "no C compiler ($cc)"
    exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
so=$BUILD/plugins/codec_gguf.so
"$BUILD/test/block_glsl" "$so" >"$dir/text.c"
n=$(grep -c '^float lb_element_' "$dir/text.c")
[ "$n" -eq 15 ] || { echo "expected the GLSL of 15 codecs, found $n"; exit 1; }
$cc -std=c11 -O1 -ffp-contract=off -fPIC -shared -I. "$dir/text.c" -lm -o "$dir/text.so"
"$BUILD/test/block_glsl" "$so" "$dir/text.so"
