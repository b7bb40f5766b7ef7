#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# lowbit inspect and lowbit compare: what they print, and their exit status.
set -euo pipefail

BUILD=${BUILD:-build}
lowbit=$BUILD/lowbit
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

# expect STATUS PATTERN COMMAND...: exits so, and its output (both streams) has a line that matches the extended expression.
expect() {
    local status=$1 pattern=$2 got=0
    shift 2
    "$@" >"$tmp/out" 2>&1 </dev/null || got=$?
    if [ $got != "$status" ] || ! grep -Eq -- "$pattern" "$tmp/out"; then
        echo "FAILED: $*"
        echo "  wanted exit status $status and a line like: $pattern"
        echo "  got $got and:"
        sed 's/^/    /' "$tmp/out"
        failed=1
    fi
}

# st FILE HEADER DATA: a safetensors file; DATA in printf's escapes.
st() {
    local n=${#2}
    { printf "\\x$(printf %02x $((n % 256)))\\x$(printf %02x $((n / 256)))\\0\\0\\0\\0\\0\\0%s" "$2" && printf "$3"; } >"$1"
}

w='"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}'
one='\0\0\200\077' one_up='\1\0\200\077' two='\0\0\0\100' minus='\0\0\0\200' plus='\0\0\0\0' nan='\0\0\300\177'
st "$tmp/a" "{$w}" "$one$two$plus"
st "$tmp/ulp" "{$w}" "$one_up$two$minus"
st "$tmp/nan" "{$w}" "$one$nan$plus"
st "$tmp/meta" "{\"__metadata__\":{\"made by\":\"a\\nb\"},$w}" "$one$two$plus"
st "$tmp/shape" '{"w":{"dtype":"F32","shape":[1,3],"data_offsets":[0,12]}}' "$one$two$plus"
st "$tmp/bytes" '{"w":{"dtype":"BOOL","shape":[12],"data_offsets":[0,12]}}' "$one$two$plus"
st "$tmp/bytes2" '{"w":{"dtype":"BOOL","shape":[12],"data_offsets":[0,12]}}' "$one_up$two$minus"
st "$tmp/c64" '{"w":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}' "$one$two"
st "$tmp/c64b" '{"w":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}' "$one_up$two"
st "$tmp/f16" '{"w":{"dtype":"F16","shape":[3],"data_offsets":[0,6]}}' '\0\074\0\102\0\0'
st "$tmp/i64" '{"w":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}' '\1\0\0\0\0\0\0\100'
st "$tmp/i64b" '{"w":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}' '\2\0\0\0\0\0\0\100'
st "$tmp/other" '{"v":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}' "$one$two$plus"
st "$tmp/bad" '{"w":{"dtype":"F33","shape":[3],"data_offsets":[0,12]}}' "$one$two$plus"

# The one step at 1 is 2^-23; -0 and +0 differ in a code, and are no step apart.
expect 0 '^w +F32 +\[3\] +3 +0 +0 +0 +0 +yes$' "$lowbit" compare "$tmp/a" "$tmp/a"
expect 0 '^metadata   different$' "$lowbit" compare "$tmp/a" "$tmp/meta"
expect 1 '^w +F32 +\[3\] +3 +2 +1.19209e-07 +3.97364e-08 +1 +no$' "$lowbit" compare "$tmp/a" "$tmp/ulp"
expect 1 '^w,F32,F32,\[3\],\[3\],3,2,1.1920928955078125e-07,3.9736429850260414e-08,1,no,[0-9a-f]{64},[0-9a-f]{64}$' \
    "$lowbit" compare --csv "$tmp/a" "$tmp/ulp"
expect 1 '^w +F32 +\[3\] +3 +1 +nan +nan +0 +no$' "$lowbit" compare "$tmp/a" "$tmp/nan"
expect 1 '^w +F32 +\[3\] / \[1, 3\] +- +- +- +- +- +no$' "$lowbit" compare "$tmp/a" "$tmp/shape"
expect 1 '^w +F32 / F16 +\[3\] +3 +1 +1 +0.333333 +- +no$' "$lowbit" compare "$tmp/a" "$tmp/f16"
expect 1 '^w +BOOL +\[12\] +12 +2 +1 +0.166667 +- +no$' "$lowbit" compare "$tmp/bytes" "$tmp/bytes2"
expect 1 '^w +C64 +\[1\] +1 +1 +- +- +- +no$' "$lowbit" compare "$tmp/c64" "$tmp/c64b"
expect 1 '^w +I64 +\[1\] +1 +1 +1 +1 +1 +no$' "$lowbit" compare "$tmp/i64" "$tmp/i64b"
expect 1 '^w +F32 / - .* only in A$' "$lowbit" compare "$tmp/a" "$tmp/other"
expect 1 '^v +- / F32 .* only in B$' "$lowbit" compare "$tmp/a" "$tmp/other"
expect 2 'bad: tensor "w": dtype "F33"' "$lowbit" compare "$tmp/a" "$tmp/bad"
expect 2 'none: No such file' "$lowbit" compare "$tmp/none" "$tmp/a"
expect 2 'expected two files' "$lowbit" compare "$tmp/a"
expect 2 'is a third' "$lowbit" compare "$tmp/a" "$tmp/a" "$tmp/a"

expect 0 '^header     55 bytes; data: 12 bytes from byte 63 on$' "$lowbit" inspect "$tmp/a"
expect 0 '^w +F32 +\[3\] +12 +0 +- +- +32 +-$' "$lowbit" inspect "$tmp/a"
expect 0 '^w,F32,"\[1, 3\]",12,0,,,32,$' "$lowbit" inspect --csv "$tmp/shape"
expect 0 '^metadata   made by = a\\x0ab$' "$lowbit" inspect "$tmp/meta"
expect 0 '^content    23 tensors, 481 elements, SHA-256 [0-9a-f]{64}$' "$lowbit" inspect test/data/safetensors/all_dtypes.safetensors
expect 2 'bad: tensor "w": dtype "F33"' "$lowbit" inspect "$tmp/bad"
expect 2 'expected a file' "$lowbit" inspect
printf '\0\0\010\003\0\0\0\002\0\0\0\001\0\0\0\003abcdef' >"$tmp/idx"
expect 0 '^content    unsigned bytes, shape \[2, 1, 3\]$' "$lowbit" inspect "$tmp/idx"
printf '{"a":1,"b":2}\n{}\n' >"$tmp/lines"
expect 0 'JSON lines, 17 bytes, 2 lines$' "$lowbit" inspect "$tmp/lines"
: >"$tmp/empty"
expect 2 'empty: 0 bytes; a safetensors file begins with' "$lowbit" inspect "$tmp/empty"

if [ $failed != 0 ]; then
    echo "repeat: BUILD=$BUILD bash test/sh/inspect_compare.sh"
    exit 1
fi
