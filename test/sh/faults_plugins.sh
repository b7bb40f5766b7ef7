#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# slow
# Plugins that go beyond their arrays are refused by `lowbit verify`, which says where. In a run one that leaks meets the limit of its process, one whose
# numbers are NaN gives rows that say so, and the rest of the sweep goes on.
set -euo pipefail
. test/sh/util.bash

plugins=$tmp/plugins
mkdir "$plugins"
build() { # SOURCE FILE OPTION...
    local source=$1 file=$2
    shift 2
    ${CC:-gcc} -std=c11 -O1 -D_GNU_SOURCE -I. -shared -fPIC "$@" "test/bad_run/$source.c" -o "$file" || fail "$source cannot be built"
}

# ---- Bounds: function | what it does | what is said ----
functions=(none encode decode encode_int encode_f32 decode_f32)
while IFS='|' read -r number touch said; do
    build bounds_codec "$tmp/bounds.so" -DNAME='"BOUNDS"' -DIN="$number" -DTOUCH="$touch"
    expect 1 "$lowbit" verify "$tmp/bounds.so" || continue
    grep -q "^FAILED  BOUNDS: no array is touched beyond its ends: ${functions[number]} of 1 elements: $said was touched$" "$tmp/out" ||
        fail "${functions[number]}: $touch: not said where" "$tmp/out"
    grep -q '^FAILED  BOUNDS: crashed: signal 11' "$tmp/out" || fail "${functions[number]}: $touch: it did not end it" "$tmp/out"
done <<'ROWS'
1|*end = 0|byte 4 of codes (4 bytes)
1|first[-1] = 0|byte -1 of codes (4 bytes)
1|seen = *from_end|byte 8 of binary64 numbers (8 bytes)
2|*(double *)end = 0|byte 8 of binary64 numbers (8 bytes)
2|seen = from[-1]|byte -1 of codes (4 bytes)
3|seen = from_end[100]|byte 108 of whole numbers (8 bytes)
4|*end = 0|byte 4 of codes (4 bytes)
4|seen = *from_end|byte 4 of binary32 numbers (4 bytes)
5|*(float *)end = 0|byte 4 of binary32 numbers (4 bytes)
5|seen = *from_end|byte 4 of codes (4 bytes)
ROWS
build bounds_codec "$tmp/bounds.so" -DNAME='"BOUNDS"'
"$lowbit" verify "$tmp/bounds.so" >"$tmp/out" 2>&1 || true
grep -q '^ok      BOUNDS: no array is touched beyond its ends ([1-9][0-9]* tried)$' "$tmp/out" || fail "a codec that stays within its arrays" "$tmp/out"

# ---- In a run ----
build bad_codec "$plugins/LEAK.so" -DNAME='"LEAK"' -DENCODE='for (size_t i = 0; i < 1000; i++) { char *p = malloc(1 << 20); if (!p) abort(); memset(p, 1, 1 << 20); __asm__ volatile("" : : "r"(p) : "memory"); }'
build bad_codec "$plugins/NANS.so" -DNAME='"NANS"' -DVALUE='return code ? 0.0 / 0.0 : 0'
build bad_codec "$plugins/WIDE_NANS.so" -DNAME='"WIDE_NANS"' -DENCODE='' -DDECODED='0.0 / 0.0'
layers='model.layers=[{"type":"dense","units":16,"activation":"relu"},{"type":"dense","units":10,"activation":"softmax"}]'
leaks=(--set 'formats=["F16","LEAK","NANS","WIDE_NANS","F32"]' --set limits.process_bytes=500000000) status=1
if grep -q __asan_ <(nm "$lowbit"); then # the address sanitizer needs more addresses than any limit leaves
    leaks=(--set 'formats=["F16","NANS","WIDE_NANS","F32"]') status=0
fi
expect $status "$lowbit" run configs/quick.json --plugins "$plugins" --out "$tmp/run" --set data.train=100 --set data.test=16 --set train.epochs=1 \
    --set "$layers" "${leaks[@]}"
row() { # FORMAT QUALITY,...,STATUS: columns 8, 11, 14, 15, 31 of its row are like that
    local got
    got=$(grep "^$1," "$tmp/run/table.csv" | cut -d, -f8,11,14,15,31)
    # shellcheck disable=SC2053
    [[ $got == $2 ]] || fail "$1: $got, wanted $2" "$tmp/err"
}
row F16 '9?.????,*,*,*,ok'
row NANS '*,*,*,0.00,ok'
row WIDE_NANS '0.0000,0.0000,nan,nan,ok'
row F32 '100.0000,*,0,inf,ok'
if [ $status = 1 ]; then
    row LEAK ',,,,crashed'
    grep -q '^warning: trial [0-9a-f]* (LEAK, cpu, seed 1): crashed: signal 6' "$tmp/err" || fail "no word of the one that leaks" "$tmp/err"
fi
finish
